"""Each cell against its equations, evaluated independently in NumPy, gate by gate, with random unequal weights."""

import numpy as np
import pytest
import torch

from ostinato import settings
from ostinato.cells import BUILT_IN, CELLS, Cell, CellWeights, affine

B, N, H = 3, 4, 5  # rows, inputs, units


def _sigmoid(a):
    return 1 / (1 + np.exp(-a))


def _draw(cell: Cell, *, bias: bool = True, seed: int = 1):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    G = cell.gates
    biases = (draw(G * H), draw(G * H)) if bias else (None, None)
    weights = CellWeights(draw(G * H, N), draw(G * H, H), *biases)
    return draw(B, N), tuple(draw(B, H) for _ in cell.parts), weights


def _by_hand(name, x, state, weights):
    """Row by row and gate by gate, from the equations of the docstrings."""
    W_ih, W_hh, b_ih, b_hh = (np.asarray(w) for w in weights)

    def gates(r, count):
        rows = [slice(k * H, (k + 1) * H) for k in range(count)]
        return [(W_ih[s] @ x[r] + b_ih[s], W_hh[s] @ state[0][r] + b_hh[s]) for s in rows]

    new = [np.empty((B, H)) for _ in state]
    for r in range(B):
        if name in ("rnn", "rnn-relu"):
            ((a, b),) = gates(r, 1)
            new[0][r] = np.tanh(a + b) if name == "rnn" else np.maximum(0, a + b)
        elif name == "gru":
            (ra, rb), (za, zb), (na, nb) = gates(r, 3)
            z = _sigmoid(za + zb)
            n = np.tanh(na + _sigmoid(ra + rb) * nb)
            new[0][r] = (1 - z) * n + z * state[0][r]
        else:
            i, f, g, o = (a + b for a, b in gates(r, 4))
            new[1][r] = _sigmoid(f) * state[1][r] + _sigmoid(i) * np.tanh(g)
            new[0][r] = _sigmoid(o) * np.tanh(new[1][r])
    return new


def test_cells_are_those_of_the_settings():
    assert tuple(CELLS) == settings.CELLS == BUILT_IN


@pytest.mark.parametrize("name", CELLS)
def test_step_is_the_equation(name):
    x, state, weights = _draw(CELLS[name])
    expected = _by_hand(name, x.numpy(), [part.numpy() for part in state], weights)
    actual = CELLS[name].step(x, state, weights)
    assert len(actual) == len(CELLS[name].parts)
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), e, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", CELLS)
def test_no_bias_is_zero_bias(name):
    x, state, weights = _draw(CELLS[name], bias=False)
    zero = torch.zeros(len(weights.weight_hh), dtype=x.dtype)
    with_zero = weights._replace(bias_ih=zero, bias_hh=zero)
    for a, b in zip(CELLS[name].step(x, state, weights), CELLS[name].step(x, state, with_zero), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", CELLS)
def test_integers_stand_for_one_hot_rows(name):
    _, state, weights = _draw(CELLS[name])
    ids = torch.tensor([2, 0, 3])
    rows = torch.nn.functional.one_hot(ids, N).double()
    for a, b in zip(CELLS[name].step(ids, state, weights), CELLS[name].step(rows, state, weights), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", CELLS)
def test_gradcheck(name):
    x, state, weights = _draw(CELLS[name], seed=2)
    tensors = [t.requires_grad_() for t in (x, *state, *weights)]
    count = len(state)

    def step(x, *rest):
        return CELLS[name].step(x, rest[:count], CellWeights(*rest[count:]))

    assert torch.autograd.gradcheck(step, tensors)


def test_affine_without_bias():
    x, W = torch.randn(2, 3), torch.randn(4, 3)
    torch.testing.assert_close(affine(x, W, None), x @ W.t())
    assert torch.equal(affine(torch.tensor([1, 2]), W, None), W[:, [1, 2]].t())
