"""Long short-term memory (Hochreiter and Schmidhuber, 1997) with a forget gate (Gers et al., 2000)."""

from ostinato.cells.arrays import Array, affine, sigmoid, split, tanh
from ostinato.cells.weights import CellWeights


def lstm(x: Array, state: tuple[Array, ...], weights: CellWeights) -> tuple[Array, ...]:
    """One time step, with σ the logistic function and ⊙ the element-wise product:

        i  = σ(W_ii x + b_ii + W_hi h + b_hi)     input gate
        f  = σ(W_if x + b_if + W_hf h + b_hf)     forget gate
        g  = tanh(W_ig x + b_ig + W_hg h + b_hg)  candidate
        o  = σ(W_io x + b_io + W_ho h + b_ho)     output gate
        c' = f ⊙ c + i ⊙ g
        h' = o ⊙ tanh(c')

    x: input (B, I), or (B,) integers for one-hot rows; state: (h, c), the hidden state and the memory cell before the
    step, (B, H) each; W_ih (4H, I) = [W_ii; W_if; W_ig; W_io], W_hh (4H, H) = [W_hi; W_hf; W_hg; W_ho], and b_ih, b_hh
    (4H,) alike. Returns (h', c'), (B, H) each.
    """
    h, c = state
    W_ih, W_hh, b_ih, b_hh = weights
    i, f, g, o = split(affine(x, W_ih, b_ih) + affine(h, W_hh, b_hh), 4)
    i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
    c = f * c + i * g
    h = o * tanh(c)
    return h, c
