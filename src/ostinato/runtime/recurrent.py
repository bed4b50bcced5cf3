"""Recurrent language models on the kernels, as a `StepModel`."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ostinato.bundle import Bundle, RecurrentConfig, check_tensors, model_config
from ostinato.kernels import Kernels
from ostinato.kernels.native import NativeRecurrent, Sampling
from ostinato.kernels.recurrent import build
from ostinato.kernels.shape import Recurrent, Shape
from ostinato.protocols import END_OF_DOCUMENT, Ids

FloatArray = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def load_recurrent(
    bundle: Bundle, *, precision: str = "fp32", isa: str | None = None, threads: int | None = None
) -> "RecurrentModel":
    """The model in a bundle of kind `recurrent`; see `load`.

    Raises BundleError where config, tokenizer and tensors do not belong together, UsageError as `load`.
    """
    shape = Shape(**dataclasses.asdict(model_config(RecurrentConfig, bundle)))
    check_tensors(bundle.path, shape.tensors(), bundle.tensors)
    recurrent, kernels = build(shape, bundle.tensors, precision=precision, isa=isa, threads=threads)
    kind = WritingRecurrentModel if isinstance(recurrent, NativeRecurrent) else RecurrentModel
    return kind(recurrent, kernels, precision)


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
        before: Sequence[Sequence[int]] = (),
    ) -> tuple[list[list[int]], FloatArray]:
        """Read, draw, read what was drawn, and so on: see `generation.BlockModel`.

        Raises UsageError for arrays that do not fit each other, GenerationError where no token is allowed.
        """
        return self._recurrent.decode(
            ids, state, samplers=samplers, u=u, lengths=lengths, recent=recent, forbidden=forbidden, stops=stops,
            before=before,
        )  # fmt: skip

    def read_on(self, ids: Ids, state: FloatArray) -> FloatArray:
        """The state (S, 1, H) after all of `ids`, (T,): in the kernels' blocks, without logits. Raises UsageError."""
        return self._recurrent.read(ids, state) if len(ids) else state

    def score_many(self, texts: Sequence[Ids]) -> list[npt.NDArray[np.float64]]:
        """`score` of each text, (T,) float64, side by side. Raises UsageError."""
        logits, state = self._recurrent.step(np.array([END_OF_DOCUMENT], np.uint32), self.initial_state(1))
        return self._recurrent.score_many(texts, state, logits[0])
