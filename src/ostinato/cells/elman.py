"""The Elman cell (J. Elman, "Finding structure in time", Cognitive Science 14, 1990), as torch.nn.RNN computes it."""

from collections.abc import Callable

from ostinato.cells.arrays import Array, affine, relu, tanh
from ostinato.cells.weights import CellWeights


def _elman(activation: Callable[[Array], Array], x: Array, h: Array, weights: CellWeights) -> Array:
    W_ih, W_hh, b_ih, b_hh = weights
    return activation(affine(x, W_ih, b_ih) + affine(h, W_hh, b_hh))


def elman_tanh(x: Array, state: tuple[Array, ...], weights: CellWeights) -> tuple[Array, ...]:
    """One time step:

        h' = tanh(W_ih x + b_ih + W_hh h + b_hh)

    x: input (B, I), or (B,) integers for one-hot rows; state: (h,), the hidden state (B, H) before the step;
    W_ih (H, I), b_ih (H,): from the input; W_hh (H, H), b_hh (H,): from the hidden state. Returns (h',), (B, H).
    """
    (h,) = state
    return (_elman(tanh, x, h, weights),)


def elman_relu(x: Array, state: tuple[Array, ...], weights: CellWeights) -> tuple[Array, ...]:
    """One time step: h' = max(0, W_ih x + b_ih + W_hh h + b_hh), with the symbols and shapes of `elman_tanh`."""
    (h,) = state
    return (_elman(relu, x, h, weights),)
