"""Recurrent language models on the kernels, as a `StepModel`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.bundle import Bundle
from ostinato.errors import BundleError
from ostinato.kernels import Kernels
from ostinato.kernels.native import NativeRecurrent, Sampling
from ostinato.kernels.recurrent import build
from ostinato.kernels.shape import CELLS, Recurrent, Shape
from ostinato.protocols import END_OF_DOCUMENT, Ids

FloatArray = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_LIMITS = {
    "layers": (1, 64),
    "hidden_size": (1, 1 << 16),
    "embedding_size": (0, 1 << 16),
    "vocabulary_size": (1, 1 << 28),
}


def load_recurrent(
    bundle: Bundle, *, precision: str = "fp32", isa: str | None = None, threads: int | None = None
) -> "RecurrentModel":
    """The model in a bundle of kind `recurrent`; see `load`.

    Raises BundleError where config, tokenizer and tensors do not belong together, UsageError as `load`.
    """
    shape = _shape(bundle)
    if shape.vocabulary_size != bundle.tokenizer.vocabulary_size:
        raise BundleError(
            f"{bundle.path} has a model of {shape.vocabulary_size} tokens and a tokenizer of "
            f"{bundle.tokenizer.vocabulary_size}: they do not belong together; copy or train it again"
        )
    _check_tensors(bundle.path, shape, bundle.tensors)
    recurrent, kernels = build(shape, bundle.tensors, precision=precision, isa=isa, threads=threads)
    kind = WritingRecurrentModel if isinstance(recurrent, NativeRecurrent) else RecurrentModel
    return kind(recurrent, kernels, precision)


def _shape(bundle: Bundle) -> Shape:
    config = bundle.config.get("model")
    values: Mapping[str, Any] = config if isinstance(config, dict) else {}
    where = bundle.path / "config.json"
    for name, (low, high) in _LIMITS.items():
        value = values.get(name)
        if type(value) is not int or not low <= value <= high:
            raise BundleError(f"{where}: model.{name} must be {low} to {high}, got {value!r}; train or copy it again")
    if values.get("cell") not in CELLS:
        raise BundleError(f"{where}: model.cell must be one of {', '.join(CELLS)}, got {values.get('cell')!r}")
    tied = values.get("tied")
    if type(tied) is not bool or (tied and values["embedding_size"] == 0):
        raise BundleError(f"{where}: model.tied cannot be {tied!r} here; train or copy the model again")
    return Shape(
        cell=values["cell"],
        layers=values["layers"],
        hidden_size=values["hidden_size"],
        embedding_size=values["embedding_size"],
        vocabulary_size=values["vocabulary_size"],
        tied=tied,
    )


def _check_tensors(path: Any, shape: Shape, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
    expected = shape.tensors()
    if expected.keys() != set(tensors):
        missing, extra = sorted(expected.keys() - set(tensors)), sorted(set(tensors) - expected.keys())
        names = f"misses {', '.join(missing)}" if missing else f"has {', '.join(extra)} besides"
        raise BundleError(f"{path}: the model {names}, which its config.json says otherwise; copy or train it again")
    for name, size in expected.items():
        tensor = tensors[name]
        if tensor.shape != size or tensor.dtype != np.float32:
            raise BundleError(
                f"{path}: tensor {name} is {tensor.dtype} {tensor.shape}, but config.json asks for float32 {size}; "
                "copy or train it again"
            )


class RecurrentModel:
    """A `StepModel`. A state is (S, B, H) float32: h of every layer, then, for an LSTM, c of every layer.

    Safe to use from several threads at once. `kernels` says what it runs on, `precision` is fp32 or int8.
    """

    def __init__(self, recurrent: Recurrent, kernels: Kernels, precision: str) -> None:
        self._recurrent = recurrent
        self.kernels = kernels
        self.precision = precision

    @property
    def vocabulary_size(self) -> int:
        """V, the number of token ids."""
        return self._recurrent.shape.vocabulary_size

    def initial_state(self, batch: int) -> FloatArray:
        """Zeros, (S, batch, H)."""
        return np.zeros((self._recurrent.shape.states, batch, self._recurrent.shape.hidden_size), np.float32)

    def step(self, ids: Ids, state: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Read one token a row, (B,): logits (B, V) float32 and the new state. Raises UsageError."""
        return self._recurrent.step(ids, state)

    def select(self, state: FloatArray, rows: npt.NDArray[np.intp]) -> FloatArray:
        """The state of the given rows, in that order."""
        return state[:, rows]

    def join(self, states: Sequence[FloatArray]) -> FloatArray:
        """One state with the rows of all `states`."""
        return np.concatenate(states, axis=1)

    def hidden(self, state: FloatArray) -> FloatArray:
        """The last layer's h in `state`, (B, H): what the next token is predicted from."""
        last: FloatArray = state[self._recurrent.shape.layers - 1]
        return last

    def score(self, ids: Ids) -> npt.NDArray[np.float64]:
        """log P(ids[t] | END_OF_DOCUMENT, ids[:t]) in nats for every t, (T,) float64. Raises UsageError."""
        logits, state = self._recurrent.step(np.array([END_OF_DOCUMENT], np.uint32), self.initial_state(1))
        return self._recurrent.score(ids, state, logits[0])[0]

    def read(self, ids: Ids) -> tuple[npt.NDArray[np.float64], FloatArray]:
        """`score`, and the last layer's h that each of the ids is predicted from, (T, H) float32. Raises UsageError."""
        ids = np.asarray(ids)
        logits, state = self._recurrent.step(np.array([END_OF_DOCUMENT], np.uint32), self.initial_state(1))
        hidden = np.empty((ids.size + 1, state.shape[2]), np.float32)
        hidden[0] = self.hidden(state)
        scores, _ = self._recurrent.score(ids, state, logits[0], hidden[1:])
        return scores, hidden[:-1]


class WritingRecurrentModel(RecurrentModel):
    """A `RecurrentModel` on compiled kernels, which also writes below Python."""

    _recurrent: NativeRecurrent

    def decode_block(
        self,
        ids: Ids,
        state: FloatArray,
        *,
        samplers: Sequence[Sampling],
        u: npt.NDArray[np.float64],
        lengths: Sequence[int],
        recent: Sequence[Sequence[int]],
        forbidden: Sequence[Mask],
        stops: Sequence[Mask],
    ) -> tuple[list[list[int]], FloatArray]:
        """Read, draw, read what was drawn, and so on: see `generation.BlockModel`.

        Raises UsageError for arrays that do not fit each other, GenerationError where no token is allowed.
        """
        return self._recurrent.decode(
            ids, state, samplers=samplers, u=u, lengths=lengths, recent=recent, forbidden=forbidden, stops=stops
        )

    def read_on(self, ids: Ids, state: FloatArray) -> FloatArray:
        """The state (S, 1, H) after all of `ids`, (T,): in the kernels' blocks, without logits. Raises UsageError."""
        return self._recurrent.read(ids, state) if len(ids) else state

    def score_many(self, texts: Sequence[Ids]) -> list[npt.NDArray[np.float64]]:
        """`score` of each text, (T,) float64, side by side. Raises UsageError."""
        logits, state = self._recurrent.step(np.array([END_OF_DOCUMENT], np.uint32), self.initial_state(1))
        return self._recurrent.score_many(texts, state, logits[0])
