"""A cell of one's own: the minimal gated unit, a GRU with one gate (Zhou, Wu, Zhang & Zhou 2016, equations 4 to 6).

ostinato train lyrics-en --cell-file examples/cells/minimal_gated_unit.py --set model.cell=minimal-gated -o mgu
ostinato write mgu --cell-file examples/cells/minimal_gated_unit.py
"""

from ostinato.cells import Array, Cell, CellWeights, affine, register, sigmoid, split, tanh


def minimal_gated_unit(x: Array, state: tuple[Array, ...], weights: CellWeights) -> tuple[Array, ...]:
    """One time step, with σ the logistic function and ⊙ the element-wise product:

        f  = σ(W_if x + b_if + W_hf h + b_hf)          forget gate
        n  = tanh(W_in x + b_in + W_hn (f ⊙ h) + b_hn)  candidate
        h' = (1 - f) ⊙ h + f ⊙ n

    x: input (B, I), or (B,) integers for one-hot rows; state: (h,), the hidden state (B, H) before the step;
    W_ih (2H, I) = [W_if; W_in], W_hh (2H, H) = [W_hf; W_hn], and b_ih, b_hh (2H,) alike. Returns (h',), (B, H).
    """
    (h,) = state
    f_x, n_x = split(affine(x, weights.weight_ih, weights.bias_ih), 2)
    W_hf, W_hn = split(weights.weight_hh, 2, axis=0)
    b_hf, b_hn = (None, None) if weights.bias_hh is None else split(weights.bias_hh, 2)
    f = sigmoid(f_x + affine(h, W_hf, b_hf))
    n = tanh(n_x + affine(f * h, W_hn, b_hn))
    return ((1 - f) * h + f * n,)


register(Cell("minimal-gated", gates=2, parts=("h",), step=minimal_gated_unit))
