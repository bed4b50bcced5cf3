"""A cell of one's own: an LSTM whose gates also see the memory cell (Gers, Schraudolph & Schmidhuber 2002).

ostinato train lyrics-en --cell-file examples/cells/peephole_lstm.py --set model.cell=peephole-lstm -o peephole
ostinato write peephole --cell-file examples/cells/peephole_lstm.py
"""

from ostinato.cells import Array, Cell, CellWeights, affine, register, sigmoid, split, tanh


def peephole_lstm(
    x: Array, state: tuple[Array, ...], weights: CellWeights, p_i: Array, p_f: Array, p_o: Array
) -> tuple[Array, ...]:
    """One time step, with σ the logistic function and ⊙ the element-wise product:

        i  = σ(W_ii x + b_ii + W_hi h + b_hi + p_i ⊙ c)   input gate
        f  = σ(W_if x + b_if + W_hf h + b_hf + p_f ⊙ c)   forget gate
        g  = tanh(W_ig x + b_ig + W_hg h + b_hg)          candidate
        c' = f ⊙ c + i ⊙ g
        o  = σ(W_io x + b_io + W_ho h + b_ho + p_o ⊙ c')  output gate
        h' = o ⊙ tanh(c')

    x: input (B, I), or (B,) integers for one-hot rows; state: (h, c), (B, H) each; the weights as those of an LSTM;
    p_i, p_f, p_o: the peepholes, (H,) each. Returns (h', c'), (B, H) each.
    """
    h, c = state
    products = affine(x, weights.weight_ih, weights.bias_ih) + affine(h, weights.weight_hh, weights.bias_hh)
    i, f, g, o = split(products, 4)
    i, f = sigmoid(i + p_i * c), sigmoid(f + p_f * c)
    c = f * c + i * tanh(g)
    return sigmoid(o + p_o * c) * tanh(c), c


register(
    Cell(
        "peephole-lstm",
        gates=4,
        parts=("h", "c"),
        step=peephole_lstm,
        vectors=("peephole_i", "peephole_f", "peephole_o"),
    )
)
