"""The Elman cell (J. Elman, "Finding structure in time", Cognitive Science 14, 1990), as torch.nn.RNN computes it."""

from collections.abc import Callable

import torch
from torch import Tensor

from ostinato.cells.weights import CellWeights, affine


def _elman(activation: Callable[[Tensor], Tensor], x: Tensor, h: Tensor, weights: CellWeights) -> Tensor:
    W_ih, W_hh, b_ih, b_hh = weights
    return activation(affine(x, W_ih, b_ih) + affine(h, W_hh, b_hh))


def elman_tanh(x: Tensor, state: tuple[Tensor, ...], weights: CellWeights) -> tuple[Tensor, ...]:
    """One time step:

        h' = tanh(W_ih x + b_ih + W_hh h + b_hh)

    x: input (B, I), or (B,) integers for one-hot rows; state: (h,), the hidden state (B, H) before the step;
    W_ih (H, I), b_ih (H,): from the input; W_hh (H, H), b_hh (H,): from the hidden state. Returns (h',), (B, H).
    """
    (h,) = state
    return (_elman(torch.tanh, x, h, weights),)


def elman_relu(x: Tensor, state: tuple[Tensor, ...], weights: CellWeights) -> tuple[Tensor, ...]:
    """One time step: h' = max(0, W_ih x + b_ih + W_hh h + b_hh), with the symbols and shapes of `elman_tanh`."""
    (h,) = state
    return (_elman(torch.relu, x, h, weights),)
