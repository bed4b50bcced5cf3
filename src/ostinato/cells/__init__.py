"""One time step of each recurrent cell, as its equation is written. A cell knows no time axis."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ostinato.cells.elman import elman_relu, elman_tanh
from ostinato.cells.gru import gru
from ostinato.cells.lstm import lstm
from ostinato.cells.weights import CellWeights, affine

__all__ = ["CELLS", "Cell", "CellWeights", "Step", "affine", "elman_relu", "elman_tanh", "gru", "lstm"]


class Step(Protocol):
    """One time step: input (B, I) and the state's parts, (B, H) each, to the new parts; the first is the output."""

    def __call__(self, x: Tensor, state: tuple[Tensor, ...], weights: CellWeights) -> tuple[Tensor, ...]: ...


@dataclass(frozen=True)
class Cell:
    """A cell's name in settings, the number G of its gates, its state's parts in order, and its step."""

    name: str
    gates: int
    parts: tuple[str, ...]
    step: Step


CELLS: dict[str, Cell] = {
    cell.name: cell
    for cell in (
        Cell("rnn", 1, ("h",), elman_tanh),
        Cell("rnn-relu", 1, ("h",), elman_relu),
        Cell("gru", 3, ("h",), gru),
        Cell("lstm", 4, ("h", "c"), lstm),
    )
}
"""Every cell by its name in settings."""
