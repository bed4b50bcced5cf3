"""What every cell is given: two weight matrices and two biases."""

from typing import NamedTuple

from ostinato.cells.arrays import Array


class CellWeights(NamedTuple):
    """The parameters of one cell, in torch.nn's layout: G gates stacked along the first axis.

    weight_ih: (G·H, I), weight_hh: (G·H, H), bias_ih and bias_hh: (G·H,) or None for no bias.
    """

    weight_ih: Array
    weight_hh: Array
    bias_ih: Array | None
    bias_hh: Array | None
