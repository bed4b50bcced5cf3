"""A recurrent language model on raw arrays: its shape, and what both implementations do.

Weights are named and laid out as torch.nn has them; G gates a cell (1 RNN, 3 GRU: r, z, n; 4 LSTM: i, f, g, o), E the
embedding's size, H the hidden size, V the vocabulary's:

    embedding.weight                       (V, E)        not with one-hot input (E = 0)
    recurrent.weight_ih_l{k}               (G H, E)      k = 0; (G H, V) with one-hot input; (G H, H) for k > 0
    recurrent.weight_hh_l{k}               (G H, H)
    recurrent.bias_ih_l{k}, .bias_hh_l{k}  (G H,)
    recurrent.{vector}_l{k}                (H,)          for each of the vectors that a cell of a user's own has
    projection.weight                      (E, H)        only if tied and E != H
    head.weight                            (V, H)        not if tied: the embedding's weights are used
    head.bias                              (V,)
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ostinato import cells
from ostinato.errors import BundleError

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]
IdArray = npt.NDArray[np.uint32]

CELLS = ("rnn", "rnn-relu", "gru", "lstm")
"""The cells that the kernels have, by their numbers in the C interface."""
PRECISIONS = ("fp32", "int8")

TABLE_BYTES = 16 << 20
"""Memory for input products of whole tokens, kept so that a token met again is looked up and not multiplied."""


@dataclass(frozen=True)
class Shape:
    """The shape of a model; `embedding_size` 0 means one-hot input, which cannot be tied."""

    cell: str
    layers: int
    hidden_size: int
    embedding_size: int
    vocabulary_size: int
    tied: bool

    @property
    def gates(self) -> int:
        """G, the gates of the cell."""
        return cells.CELLS[self.cell].gates

    @property
    def states(self) -> int:
        """Arrays of a state: h of every layer, then c of every layer (LSTM), and so on for every part of the cell."""
        return self.layers * len(cells.CELLS[self.cell].parts)

    def sizes(self) -> dict[str, int]:
        """The dimensions that `gateway` checks arrays against, by their letters."""
        return {"S": self.states, "H": self.hidden_size, "V": self.vocabulary_size, "1": 1}

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the weights, in the order in which `Recurrent` takes them: biases first."""
        rows, hidden, embedding = self.gates * self.hidden_size, self.hidden_size, self.embedding_size
        shapes: dict[str, tuple[int, ...]] = {}
        for k in range(self.layers):
            shapes[f"recurrent.bias_ih_l{k}"] = shapes[f"recurrent.bias_hh_l{k}"] = (rows,)
            shapes |= {f"recurrent.{vector}_l{k}": (hidden,) for vector in cells.CELLS[self.cell].vectors}
        shapes["head.bias"] = (self.vocabulary_size,)
        for k in range(self.layers):
            inputs = hidden if k > 0 else embedding or self.vocabulary_size
            shapes[f"recurrent.weight_ih_l{k}"] = (rows, inputs)
            shapes[f"recurrent.weight_hh_l{k}"] = (rows, hidden)
        if embedding:
            shapes["embedding.weight"] = (self.vocabulary_size, embedding)
        if not self.tied:
            shapes["head.weight"] = (self.vocabulary_size, hidden)
        elif embedding != hidden:
            shapes["projection.weight"] = (embedding, hidden)
        return shapes

    def token_weights(self) -> int:
        """How many weights a token goes through, without the first input product (mostly looked up)."""
        cells = self.gates * self.hidden_size**2 * (2 * self.layers - 1)
        output = self.embedding_size if self.tied else self.hidden_size
        projection = output * self.hidden_size if self.tied and output != self.hidden_size else 0
        return cells + projection + output * self.vocabulary_size


def check_tensor(name: str, tensor: Array, expected: tuple[int, ...]) -> None:
    """Raises BundleError for a weight that is no array of floats of the expected shape."""
    if tensor.shape != expected or tensor.dtype.kind != "f":
        raise BundleError(
            f"tensor {name!r} is {tensor.dtype} {tensor.shape}, expected floats {expected}; "
            "train or copy the model again"
        )


class Recurrent(Protocol):
    """What an implementation does. Arrays are dense and float32 unless said otherwise; B rows, S `Shape.states`.

    Safe to call from several threads at once.
    """

    shape: Shape

    def step(self, ids: IdArray, state: FloatArray, logits: bool = True) -> tuple[FloatArray, FloatArray]:
        """Read ids (B,) in states (S, B, H): new logits (B, V) (unless not wanted: (0, V)) and new states.

        Raises UsageError for arrays of another shape or kind, and for an id that is not below V.
        """
        ...

    def score(
        self, ids: IdArray, state: FloatArray, logits: FloatArray, features: FloatArray | None = None
    ) -> tuple[npt.NDArray[np.float64], FloatArray]:
        """log-probabilities (T,) float64 of ids (T,) from a state (S, 1, H) and the logits (V,) it came with.

        Returns also the state after the last id; `features` (T, H), dense float32, is filled with the last layer's h
        after each id. Raises UsageError as `step` does.
        """
        ...
