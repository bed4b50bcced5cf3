"""The continuous cache: words come back where the network is in a state like theirs (Grave et al. 2017)."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from ostinato.errors import UsageError
from ostinato.protocols import Floats, Ids, State, StepModel

_BLOCK = 256
_NOTHING = -1
_LEAST_LENGTH = np.float32(1e-6)
"""Of features that are divided by theirs: those of a state of zeros stay zeros."""


@runtime_checkable
class HiddenStates(StepModel, Protocol):
    """A StepModel that shows what it predicts the next token from."""

    def hidden(self, state: State) -> Floats:
        """The features (batch, H) of a state that has read something: the last recurrent layer's output."""
        ...

    def read(self, ids: Ids) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
        """ln P of each token of a text (T,), after END_OF_DOCUMENT, and the features it is predicted from, (T, H)."""
        ...


@dataclass(frozen=True)
class ContinuousCache:
    """p(w) = (1 - share) p_model(w) + share p_cache(w), with Grave et al.'s equation 2 over the last `window` tokens:

        p_cache(w | h_t) = sum of exp(flatness h_t . h_i) over the i with x_{i+1} = w, divided by the sum over all i

    where x_{i+1} is the token that followed the features h_i. With `unit` the features are divided by their length:
    one flatness then suits all networks, whether their features are small or large. Where nothing is remembered yet the
    model speaks alone. The memory reaches over ends of documents. A state is the model's own, the features (batch,
    window, H) float32, the tokens that followed them (batch, window) int64, -1 where there are none, and the features
    that none followed yet. Raises UsageError for values out of range.
    """

    model: HiddenStates
    window: int
    flatness: float
    share: float
    unit: bool = False

    def __post_init__(self) -> None:
        if self.window < 1 or self.flatness < 0 or not 0 <= self.share <= 1:
            raise UsageError(
                "a continuous cache needs a window of 1 or more, a flatness of 0 or more and a share between 0 and 1, "
                f"got {self.window}, {self.flatness}, {self.share}"
            )

    @property
    def vocabulary_size(self) -> int:
        """V, the number of token ids."""
        return self.model.vocabulary_size

    def initial_state(self, batch: int) -> State:
        """Nothing read."""
        return self.model.initial_state(batch), None, np.full((batch, self.window), _NOTHING, dtype=np.int64), None

    def step(self, ids: Ids, state: State) -> tuple[Floats, State]:
        """Read one token a row: ids (batch,). Returns log-probabilities (batch, V) float64 and the new state."""
        inner, features, words, last = state
        logits, inner = self.model.step(ids, inner)
        hidden = self._features(self.model.hidden(inner))
        if last is None:
            features = np.zeros((len(ids), self.window, hidden.shape[1]), dtype=np.float32)
        else:
            features = np.concatenate([features[:, 1:], last[:, None]], axis=1)
            words = np.concatenate([words[:, 1:], np.asarray(ids, dtype=np.int64)[:, None]], axis=1)
        z = logits.astype(np.float64)
        mixed = np.exp(z - z.max(axis=1, keepdims=True))
        mixed /= mixed.sum(axis=1, keepdims=True)
        for row, h, past, followed in zip(mixed, hidden, features, words, strict=True):
            known = followed >= 0
            if known.any():
                weights = _softmax(self.flatness * (past[known] @ h).astype(np.float64))
                row *= 1 - self.share
                row += self.share * np.bincount(followed[known], weights, minlength=self.vocabulary_size)
        with np.errstate(divide="ignore"):
            return np.log(mixed, out=mixed), (inner, features, words, hidden)

    def _features(self, hidden: Floats) -> Floats:
        """The features (T, H) that are compared."""
        if not self.unit:
            return hidden
        scaled: Floats = hidden / np.maximum(np.linalg.norm(hidden, axis=1, keepdims=True), _LEAST_LENGTH)
        return scaled

    def select(self, state: State, rows: npt.NDArray[np.intp]) -> State:
        """The state of the given rows, in that order."""
        inner, features, words, last = state
        inner = self.model.select(inner, rows)
        if last is None:
            return inner, None, words[rows], None
        return inner, features[rows], words[rows], last[rows]

    def score(self, ids: Ids) -> npt.NDArray[np.float64]:
        """ln P(ids[t] | what came before) for every t: (T,) float64."""
        model, hidden = self.model.read(ids)
        cache = self.cache_score(ids, hidden)
        cache[:1] = model[:1]
        with np.errstate(divide="ignore"):
            scores: npt.NDArray[np.float64] = np.log((1 - self.share) * np.exp(model) + self.share * np.exp(cache))
        return scores

    def cache_score(self, ids: Ids, hidden: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """ln p_cache of every token, (T,) float64, from the features (T, H) each is predicted from.

        -inf where the cache does not hold the token; so too for the first, which has nothing before it.
        """
        cache = np.empty(len(ids))
        hidden = self._features(hidden)
        for first in range(0, len(ids), _BLOCK):
            stop = min(first + _BLOCK, len(ids))
            begin = max(0, first - self.window)
            # h_i for i in begin .. stop-2 was followed by ids[i]; row t may use the window before it.
            z = self.flatness * (hidden[first:stop] @ hidden[begin:stop].T).astype(np.float64)
            t, i = np.arange(first, stop)[:, None], np.arange(begin, stop)[None, :]
            weights = np.where((i < t) & (i >= t - self.window), z, -np.inf)
            weights = np.exp(weights - np.maximum(weights.max(axis=1, keepdims=True), -1e300))
            same = ids[begin:stop][None, :] == ids[first:stop][:, None]
            with np.errstate(divide="ignore", invalid="ignore"):
                cache[first:stop] = np.log((weights * same).sum(axis=1) / weights.sum(axis=1))
        cache[:1] = -np.inf
        return cache


def _softmax(z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    weights = np.exp(z - z.max())
    normalised: npt.NDArray[np.float64] = weights / weights.sum()
    return normalised
