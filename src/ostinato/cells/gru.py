"""The gated recurrent unit (Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014).

This is the form with the reset gate after the product (torch.nn, cuDNN), not before it as in the paper's equation (8):
it lets W_hh h of all three gates be one product.
"""

from ostinato.cells.arrays import Array, affine, sigmoid, split, tanh
from ostinato.cells.weights import CellWeights


def gru(x: Array, state: tuple[Array, ...], weights: CellWeights) -> tuple[Array, ...]:
    """One time step, with σ the logistic function and ⊙ the element-wise product:

        r  = σ(W_ir x + b_ir + W_hr h + b_hr)           reset gate
        z  = σ(W_iz x + b_iz + W_hz h + b_hz)           update gate
        n  = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))  new candidate
        h' = (1 - z) ⊙ n + z ⊙ h

    x: input (B, I), or (B,) integers for one-hot rows; state: (h,), the hidden state (B, H) before the step;
    W_ih (3H, I) = [W_ir; W_iz; W_in], W_hh (3H, H) = [W_hr; W_hz; W_hn], and b_ih, b_hh (3H,) alike.
    Returns (h',), (B, H).
    """
    (h,) = state
    W_ih, W_hh, b_ih, b_hh = weights
    r_x, z_x, n_x = split(affine(x, W_ih, b_ih), 3)
    r_h, z_h, n_h = split(affine(h, W_hh, b_hh), 3)
    r = sigmoid(r_x + r_h)
    z = sigmoid(z_x + z_h)
    n = tanh(n_x + r * n_h)
    return ((1 - z) * n + z * h,)
