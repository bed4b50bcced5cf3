"""The recurrent model in NumPy: the same calls and the same numbers, for machines without the compiled kernels."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ostinato.cells import CellWeights
from ostinato.errors import BundleError
from ostinato.kernels import gateway
from ostinato.kernels.shape import Array, FloatArray, IdArray, Shape, check_tensor

_BLOCK = 64
"""Steps of a text whose input products are one matrix product."""


class NumpyRecurrent:
    """`shape.Recurrent` in NumPy."""

    def __init__(self, shape: Shape, tensors: Mapping[str, Array], precision: str) -> None:
        self.shape = shape
        taken: dict[str, FloatArray] = {}
        for name, expected in shape.tensors().items():
            check_tensor(name, tensors[name], expected)
            tensor = np.array(tensors[name], np.float32)
            if not np.isfinite(tensor).all():
                raise BundleError(
                    f"tensor {name!r} holds a value that is no finite number; train or copy the model again"
                )
            taken[name] = tensor
        int8 = precision == "int8"
        self._take_layers(shape, taken, int8)
        self._projection = _Matrix(taken["projection.weight"], int8) if "projection.weight" in taken else None
        self._head = _Matrix(taken["embedding.weight" if shape.tied else "head.weight"], int8)
        self._head_bias = taken["head.bias"]
        self._embedding = self._head.values() if shape.tied else taken.get("embedding.weight")

    def _take_layers(self, shape: Shape, taken: Mapping[str, FloatArray], int8: bool) -> None:
        """Keep the weights of the recurrent layers."""
        one_hot = shape.embedding_size == 0
        layers = range(shape.layers)
        self._recurrent = [_Matrix(taken[f"recurrent.weight_hh_l{k}"], int8) for k in layers]
        self._input = [_Matrix(taken[f"recurrent.weight_ih_l{k}"], int8 and not (one_hot and k == 0)) for k in layers]
        self._bias = [taken[f"recurrent.bias_ih_l{k}"] for k in layers]
        self._recurrent_bias = [taken[f"recurrent.bias_hh_l{k}"] for k in layers]

    def step(self, ids: IdArray, state: FloatArray, logits: bool = True) -> tuple[FloatArray, FloatArray]:
        """See `shape.Recurrent.step`."""
        ids, state = gateway.STEP.take(self.shape.sizes(), ids, state)
        hidden, after = self._run(ids[None], state)
        return self._logits(hidden[0]) if logits else np.empty((0, self.shape.vocabulary_size), np.float32), after

    def score(
        self, ids: IdArray, state: FloatArray, logits: FloatArray, features: FloatArray | None = None
    ) -> tuple[npt.NDArray[np.float64], FloatArray]:
        """See `shape.Recurrent.score`."""
        ids, state, logits, features = gateway.SCORE.take(self.shape.sizes(), ids, state, logits, features)
        state = state.copy()
        out = np.empty(len(ids))
        for first in range(0, len(ids), _BLOCK):
            block = ids[first : first + _BLOCK]
            hidden, state = self._run(block[:, None], state)
            following = self._logits(hidden[:, 0])
            if features is not None:
                features[first : first + len(block)] = hidden[:, 0]
            scores = np.concatenate([logits[None], following[:-1]]).astype(np.float64)
            top = scores.max(axis=1)
            total = np.log(np.exp(scores - top[:, None]).sum(axis=1)) + top
            out[first : first + len(block)] = scores[np.arange(len(block)), block] - total
            logits = following[-1]
        return out, state

    def _logits(self, hidden: FloatArray) -> FloatArray:
        if self._projection is not None:
            hidden = self._projection(hidden)
        return self._head(hidden) + self._head_bias

    def _run(self, ids: IdArray, state: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Read ids (T, B): the last layer's h after each (T, B, H), and the new state."""
        shape, after = self.shape, state.astype(np.float32)
        steps, rows = ids.shape
        x: FloatArray = np.empty((0, 0), np.float32)
        for k in range(shape.layers):
            if k == 0 and self._embedding is None:
                products = self._input[0].columns(ids.ravel())
            else:
                given = x if self._embedding is None or k > 0 else self._embedding[ids.ravel()]
                products = self._input[k](given)
            products = (products + self._bias[k]).reshape(steps, rows, -1)
            h, hidden = after[k], np.empty((steps, rows, shape.hidden_size), np.float32)
            for t in range(steps):
                gh = self._recurrent[k](h) + self._recurrent_bias[k]
                c = after[shape.layers + k] if shape.cell == "lstm" else None
                h = hidden[t] = _next_h(shape.cell, products[t], gh, h, c)
            after[k] = h
            x = hidden.reshape(steps * rows, -1)
        return x.reshape(steps, rows, -1), after


def one_step(cell: str, x: Array, state: tuple[Array, ...], weights: CellWeights) -> tuple[Array, ...]:
    """One step of a cell by its name, as the kernels compute it, in the precision of the arrays.

    The last part of `state` is changed in place.
    """
    W_ih, W_hh, b_ih, b_hh = weights
    h, *rest = state
    c = rest[0] if rest else None
    new = _next_h(cell, x @ W_ih.T + b_ih, h @ W_hh.T + b_hh, h, c)
    return (new,) if c is None else (new, c)


def _next_h(cell: str, gx: FloatArray, gh: FloatArray, h: FloatArray, c: FloatArray | None) -> FloatArray:
    """The new h from the products of input and state, biases included; an LSTM's c is changed in place."""
    if c is not None:
        return _lstm(gx, gh, c)
    if cell == "gru":
        return _gru(gx, gh, h)
    total = gx + gh
    new: FloatArray = np.tanh(total) if cell == "rnn" else np.maximum(total, 0)
    return new


def _sigmoid(x: FloatArray) -> FloatArray:
    half = np.float32(0.5)
    y: FloatArray = half + half * np.tanh(half * x)
    return y


def _gru(gx: FloatArray, gh: FloatArray, h: FloatArray) -> FloatArray:
    xr, xz, xn = np.split(gx, 3, axis=1)
    hr, hz, hn = np.split(gh, 3, axis=1)
    r, z = _sigmoid(xr + hr), _sigmoid(xz + hz)
    n = np.tanh(xn + r * hn)
    new: FloatArray = n + z * (h - n)
    return new


def _lstm(gx: FloatArray, gh: FloatArray, c: FloatArray) -> FloatArray:
    """The new h; c is changed in place."""
    i, f, g, o = np.split(gx + gh, 4, axis=1)
    c[:] = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
    h: FloatArray = _sigmoid(o) * np.tanh(c)
    return h


class _Matrix:
    """Weights (R, K) and their product with vectors; int8: whole numbers from -127 to 127 and one scale per row."""

    def __init__(self, weights: FloatArray, int8: bool) -> None:
        self._scale: FloatArray | None = None
        if int8:
            weights, self._scale = quantize(weights)
        self._transposed = weights.T

    def __call__(self, x: FloatArray) -> FloatArray:
        """x (B, K) -> (B, R)."""
        if self._scale is None:
            return x @ self._transposed
        whole, scale = quantize(x)
        return (whole @ self._transposed) * (scale[:, None] * self._scale)

    def columns(self, ids: IdArray) -> FloatArray:
        """Columns `ids` as rows: (B, R), what a one-hot x gives."""
        return self._transposed[ids]

    def values(self) -> FloatArray:
        """The weights that products are made with, (R, K)."""
        return self._transposed.T if self._scale is None else self._transposed.T * self._scale[:, None]


def quantize(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Each row as whole numbers from -127 to 127 (kept as floats: BLAS multiplies those), and its scale."""
    largest = np.abs(rows).max(axis=1)
    scale = np.where(largest > 1e-30, largest / np.float32(127), np.float32(1))
    return np.rint(rows * (np.float32(1) / scale)[:, None]), scale
