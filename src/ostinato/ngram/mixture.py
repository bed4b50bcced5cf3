"""Several models as one: linear interpolation, with weights found on held-out text by expectation maximisation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.bundle import Bundle, MixtureConfig, model_config, part_of
from ostinato.errors import BundleError, UsageError
from ostinato.ngram.cache import UnigramCache
from ostinato.ngram.continuous import ContinuousCache, HiddenStates
from ostinato.ngram.gated import GatedMixture
from ostinato.protocols import END_OF_DOCUMENT, Floats, Ids, State, StepModel, join, read_on, score_many

Weights = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Mixture:
    """p(w) = sum of weights[k] times what parts[k] gives w (Jelinek & Mercer 1980). A state holds each part's.

    parts: K models of one vocabulary. weights: (K,) float64, not negative, summing to 1. Raises UsageError otherwise.
    """

    parts: tuple[StepModel, ...]
    weights: Weights

    def __post_init__(self) -> None:
        if len({part.vocabulary_size for part in self.parts}) != 1:
            sizes = ", ".join(str(part.vocabulary_size) for part in self.parts)
            raise UsageError(f"the parts of a mixture must have the same vocabulary, got sizes {sizes or 'of no part'}")
        fits = self.weights.shape == (len(self.parts),) and bool(np.all(self.weights >= 0))
        if not fits or abs(float(self.weights.sum()) - 1) > 1e-9:
            raise UsageError(
                f"a mixture of {len(self.parts)} needs as many weights that sum to 1, got {self.weights.tolist()}"
            )

    @property
    def vocabulary_size(self) -> int:
        """V, the number of token ids."""
        return self.parts[0].vocabulary_size

    def initial_state(self, batch: int) -> State:
        """Rows that have read nothing."""
        return tuple(part.initial_state(batch) for part in self.parts)

    def step(self, ids: Ids, state: State) -> tuple[Floats, State]:
        """Read one token a row: ids (batch,). Returns log-probabilities (batch, V) float64 and the new state.

        Raises UsageError for ids or states of another vocabulary, batch or model.
        """
        if not isinstance(state, tuple) or len(state) != len(self.parts):
            raise UsageError(f"state must be a tuple of {len(self.parts)}, one per part, got a {type(state).__name__}")
        total = np.zeros((1, self.vocabulary_size))
        states = []
        for part, weight, part_state in zip(self.parts, self.weights, state, strict=True):
            logits, new_state = part.step(ids, part_state)
            total = total + weight * _softmax(logits)
            states.append(new_state)
        with np.errstate(divide="ignore"):
            return np.log(total), tuple(states)

    def select(self, state: State, rows: npt.NDArray[np.intp]) -> State:
        """The state of the given rows, in that order."""
        return tuple(part.select(part_state, rows) for part, part_state in zip(self.parts, state, strict=True))

    def score(self, ids: Ids) -> npt.NDArray[np.float64]:
        """ln P(ids[t] | what came before) for every t: (T,) float64."""
        return mix(self.weights, np.array([part.score(ids) for part in self.parts]))

    def score_many(self, texts: Sequence[Ids]) -> list[npt.NDArray[np.float64]]:
        """`score` of each text."""
        parts = [score_many(part, texts) for part in self.parts]
        return [mix(self.weights, np.array(scores)) for scores in zip(*parts, strict=True)]

    def read_on(self, ids: Ids, state: State) -> State:
        """The state of one row after all of `ids`, (T,)."""
        return tuple(read_on(part, ids, part_state) for part, part_state in zip(self.parts, state, strict=True))

    def join(self, states: Sequence[State]) -> State | None:
        """One state with the rows of all `states`; None where a part cannot join its own."""
        joined = [join(part, of_part) for part, of_part in zip(self.parts, zip(*states, strict=True), strict=True)]
        return None if any(state is None for state in joined) else tuple(joined)


def mix(weights: Weights, log_probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The log-probabilities (T,) of a mixture from those of its parts, (K, T)."""
    with np.errstate(divide="ignore"):
        mixed: npt.NDArray[np.float64] = np.log(weights @ np.exp(log_probabilities))
    return mixed


def fit_weights(
    log_probabilities: npt.NDArray[np.float64], *, iterations: int = 1000, tolerance: float = 1e-9
) -> Weights:
    """The weights (K,) under which a mixture finds a text likeliest, by expectation maximisation.

    log_probabilities: (K, T), what each part gives each token of a text that none was trained on. Stops when no weight
    moves by more than `tolerance`. Tokens to which every part gives probability 0 are skipped. Raises UsageError for
    no tokens.
    """
    probabilities = np.exp(log_probabilities)
    probabilities = probabilities[:, probabilities.max(axis=0, initial=0) > 0]
    parts, tokens = probabilities.shape
    if not tokens:
        raise UsageError("the weights of a mixture are fitted on held-out text, got none that a part can predict")
    weights = np.full(parts, 1 / parts)
    for _ in range(iterations):
        shares = weights[:, None] * probabilities
        shares /= shares.sum(axis=0)
        updated: Weights = shares.mean(axis=1)
        moved = np.abs(updated - weights).max()
        weights = updated
        if moved < tolerance:
            break
    normalised: Weights = weights / weights.sum()
    return normalised


def cross_fit(log_probabilities: npt.NDArray[np.float64], middle: int) -> npt.NDArray[np.float64]:
    """The log-probabilities (T,) of a mixture whose weights, for each half of a text, were fitted on the other half.

    log_probabilities: (K, T) of the parts; the halves are [:middle] and [middle:]. So no token is measured with weights
    that have seen it. Equal weights where a half is empty.
    """
    halves = log_probabilities[:, :middle], log_probabilities[:, middle:]
    equal = np.full(len(log_probabilities), 1 / len(log_probabilities))
    first, second = (fit_weights(half) if half.shape[1] else equal for half in halves)
    return np.concatenate([mix(second, halves[0]), mix(first, halves[1])])


def middle_of(ids: Ids) -> int:
    """Where the second half of a text (T,) begins: with a document, if one begins there."""
    ends = np.flatnonzero(ids == END_OF_DOCUMENT) + 1
    later = ends[ends >= len(ids) // 2]
    return int(later[0]) if len(later) and later[0] < len(ids) else len(ids) // 2


def _softmax(logits: Floats) -> npt.NDArray[np.float64]:
    weights = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    normalised: npt.NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return normalised


@dataclass(frozen=True)
class SavedPart:
    """A part as it lies in a bundle: its kind (`ngram`, `recurrent`, `cache`, ...), `config["model"]` and tensors."""

    kind: str
    model: Mapping[str, Any]
    tensors: Mapping[str, npt.NDArray[Any]]


def cache_part(cache: UnigramCache) -> SavedPart:
    """A unigram cache to be saved."""
    return SavedPart("cache", {"window": cache.window, "vocabulary_size": cache.vocabulary_size}, {"base": cache.base})


def continuous_part(cache: ContinuousCache, network: SavedPart) -> SavedPart:
    """A continuous cache to be saved, with its network."""
    model = {
        "vocabulary_size": cache.vocabulary_size,
        "window": cache.window,
        "flatness": cache.flatness,
        "share": cache.share,
        "unit": cache.unit,
        "of": {"kind": network.kind, "model": dict(network.model)},
    }
    return SavedPart("continuous-cache", model, network.tensors)


def join_parts(parts: Sequence[SavedPart], weights: Weights) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """`config["model"]` and the tensors of a bundle of kind `mixture`: those of part k have `k.` before their names."""
    return _joined(parts, {"weights": weights.tolist()})


def join_gated(
    parts: Sequence[SavedPart], gate: Weights, newline: int
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """As `join_parts`, of the parts of a gated mixture with this gate and newline."""
    return _joined(parts, {"gate": gate.tolist(), "newline": newline})


def _joined(parts: Sequence[SavedPart], how: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    model = {
        "vocabulary_size": parts[0].model["vocabulary_size"],
        **how,
        "parts": [{"kind": part.kind, "model": dict(part.model)} for part in parts],
    }
    return model, {f"{k}.{name}": tensor for k, part in enumerate(parts) for name, tensor in part.tensors.items()}


def load_mixture(bundle: Bundle, load: Callable[[Bundle], StepModel]) -> Mixture | GatedMixture:
    """The mixture in `bundle`. `load` loads a part of another kind, given as a bundle of its own.

    Raises BundleError when the bundle does not hold what its config says.
    """
    model_config(MixtureConfig, bundle)
    try:
        model = bundle.config["model"]
        parts: list[StepModel] = []
        for k, part in enumerate(model["parts"]):
            own = part["model"]["of"] if part["kind"] == "continuous-cache" else part
            bundled = part_of(bundle, k, own)
            if part["kind"] == "cache":
                parts.append(_load_cache(part["model"], bundled.tensors))
                continue
            loaded = load(bundled)
            parts.append(loaded if own is part else _load_continuous(part["model"], loaded))
        if "gate" in model:
            return GatedMixture(tuple(parts), np.array(model["gate"], dtype=np.float64), int(model["newline"]))
        return Mixture(tuple(parts), np.array(model["weights"], dtype=np.float64))
    except (KeyError, TypeError, ValueError, UsageError) as error:
        raise BundleError(f"{bundle.path} is not a complete mixture ({error}); train or copy the model again") from None


def _load_cache(model: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]]) -> UnigramCache:
    base = tensors["base"]
    if base.shape != (model["vocabulary_size"],) or abs(float(base.sum()) - 1) > 1e-6:
        raise ValueError("the cache's base is no distribution over the vocabulary")
    return UnigramCache(base, int(model["window"]))


def _load_continuous(model: Mapping[str, Any], network: StepModel) -> ContinuousCache:
    if not isinstance(network, HiddenStates):
        raise ValueError("the network of its continuous cache shows no hidden states")
    values = int(model["window"]), float(model["flatness"]), float(model["share"])
    return ContinuousCache(network, *values, unit=bool(model.get("unit", False)))  # as it was before there was a choice
