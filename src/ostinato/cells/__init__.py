"""One time step of each recurrent cell, as its equation is written, and the registry of cells by name.

A cell knows no time axis. It is written once, in functions that take NumPy arrays and torch tensors alike.
"""

from ostinato.cells.arrays import Array, affine, namespace, relu, sigmoid, split, tanh
from ostinato.cells.elman import elman_relu, elman_tanh
from ostinato.cells.gru import gru
from ostinato.cells.lstm import lstm
from ostinato.cells.registry import (
    BUILT_IN,
    CELLS,
    NAMES,
    Cell,
    Step,
    cell_file,
    describe_cell,
    load_cell_file,
    register,
)
from ostinato.cells.trial import same_cell
from ostinato.cells.weights import CellWeights

__all__ = [
    "BUILT_IN",
    "CELLS",
    "NAMES",
    "Array",
    "Cell",
    "CellWeights",
    "Step",
    "affine",
    "cell_file",
    "describe_cell",
    "elman_relu",
    "elman_tanh",
    "gru",
    "load_cell_file",
    "lstm",
    "namespace",
    "register",
    "relu",
    "same_cell",
    "sigmoid",
    "split",
    "tanh",
]
