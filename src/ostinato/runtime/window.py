"""The network over the last few tokens (`models.window_mlp`) as a `StepModel`, in NumPy."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ostinato.bundle import Bundle, WindowConfig, check_finite, check_tensors, model_config
from ostinato.kernels.gateway import Signature
from ostinato.protocols import END_OF_DOCUMENT, Floats, Ids

_TOKENS_AT_ONCE = 512
_STEP = Signature(ids="int64[B] < V", state="int64[B,M?] < V")
_SCORE = Signature(ids="int64[T?] < V")


class WindowModel:
    """logits = U P tanh(W [e(w_{t-n+1}); ...; e(w_t)] + b) + c; the state is the last n - 1 ids, (batch, n - 1)."""

    def __init__(
        self,
        embedding: Floats,
        window: Floats,
        bias: Floats,
        projection: Floats | None,
        head: Floats,
        head_bias: Floats,
    ) -> None:
        self._embedding, self._window, self._bias = embedding, np.ascontiguousarray(window.T), bias
        self._projection = None if projection is None else np.ascontiguousarray(projection.T)
        self._head, self._head_bias = np.ascontiguousarray(head.T), head_bias
        self._context = window.shape[1] // embedding.shape[1]

    @property
    def vocabulary_size(self) -> int:
        return len(self._embedding)

    def initial_state(self, batch: int) -> npt.NDArray[np.int64]:
        return np.full((batch, self._context - 1), END_OF_DOCUMENT, np.int64)

    def step(self, ids: Ids, state: npt.NDArray[np.int64]) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Read one token a row, (batch,): logits (batch, V) float32 and the new state. Raises UsageError."""
        ids, state = _STEP.take({"V": self.vocabulary_size, "M": self._context - 1}, ids, state)
        read = np.concatenate([state, ids[:, None]], axis=1)
        return self._logits(read), read[:, 1:]

    def select(self, state: npt.NDArray[np.int64], rows: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
        return state[rows]

    def join(self, states: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
        """One state with the rows of all `states`."""
        return np.concatenate(states)

    def score(self, ids: Ids) -> npt.NDArray[np.float64]:
        """log P(ids[t] | the n ids before it) in nats for every t, (T,) float64. Raises UsageError."""
        (targets,) = _SCORE.take({"V": self.vocabulary_size}, ids)
        read = np.concatenate([np.full(self._context, END_OF_DOCUMENT, np.int64), targets])
        windows = np.lib.stride_tricks.sliding_window_view(read, self._context)
        scores = np.empty(len(targets))
        for first in range(0, len(targets), _TOKENS_AT_ONCE):
            part = slice(first, min(first + _TOKENS_AT_ONCE, len(targets)))
            logits = self._logits(windows[part]).astype(np.float64)
            logits -= logits.max(1, keepdims=True)
            chosen = np.take_along_axis(logits, targets[part, None], 1)[:, 0]
            scores[part] = chosen - np.log(np.exp(logits).sum(1))
        return scores

    def _logits(self, read: npt.NDArray[np.int64]) -> Floats:
        x = self._embedding[read].reshape(len(read), -1)
        h = np.tanh(x @ self._window + self._bias)
        if self._projection is not None:
            h = h @ self._projection
        logits: Floats = h @ self._head + self._head_bias
        return logits


def load_window(bundle: Bundle) -> WindowModel:
    """The model in a bundle of kind `window`. Raises BundleError where config, tokenizer and tensors do not
    belong together."""
    config = model_config(WindowConfig, bundle)
    tensors = bundle.tensors
    check_tensors(bundle.path, config.tensors(), tensors)
    check_finite(bundle.path, tensors)
    embedding = tensors["embedding.weight"]
    return WindowModel(
        embedding,
        tensors["window.weight"],
        tensors["window.bias"],
        tensors.get("projection.weight"),
        tensors.get("head.weight", embedding),
        tensors["head.bias"],
    )
