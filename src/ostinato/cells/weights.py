"""What every cell is given, two weight matrices and two biases, and the product W x + b it is made of."""

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional


class CellWeights(NamedTuple):
    """The parameters of one cell, in torch.nn's layout: G gates stacked along the first axis, G = 1, 3 or 4.

    weight_ih: (G·H, I), weight_hh: (G·H, H), bias_ih and bias_hh: (G·H,) or None for no bias.
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None


def affine(x: Tensor, W: Tensor, b: Tensor | None) -> Tensor:
    """W x + b for every row of `x`: (B, N) floats to (B, M), with `W` (M, N) and `b` (M,) or None.

    An integer `x`, (B,), stands for one-hot rows given by the place of their one: then W x is that column of W.
    """
    if x.is_floating_point():
        return functional.linear(x, W, b)
    column = functional.embedding(x, W.t())
    return column if b is None else column + b
