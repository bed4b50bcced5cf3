"""The NumPy inside against torch and the kernels; what units follow."""

from types import SimpleNamespace

import numpy as np
import pytest

from ostinato.kernels.shape import Shape
from ostinato.server.problems import Problem
from ostinato.studio.follows import correlations, features
from ostinato.studio.looking import _traceable
from ostinato.studio.network import Network

torch = pytest.importorskip("torch")

V, H, E, T, B = 20, 8, 6, 9, 3


def network_of(cell, *, layers=2, embedding=E, tied=False):
    random = np.random.default_rng(3)
    shapes = Shape(cell, layers, H, embedding, V, tied).tensors()
    tensors = {name: random.uniform(-0.7, 0.7, shape).astype(np.float32) for name, shape in shapes.items()}
    return Network(cell, layers, H, embedding, tensors)


@pytest.mark.parametrize("cell", ["rnn", "rnn-relu", "gru", "lstm"])
@pytest.mark.parametrize(("embedding", "tied"), [(E, False), (0, False), (E, True)])
def test_gradients_by_distance_are_torch_s(cell, embedding, tied):
    network = network_of(cell, embedding=embedding, tied=tied)
    ids = np.random.default_rng(1).integers(0, V, (B, T))
    targets = np.array([3, 1, 4])
    found = network.gradient_norms(ids, targets)
    expected = torch_norms(network, ids, targets)
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-7)


def torch_norms(network, ids, targets):
    """The same by autograd: the cells of `cells/`, step by step."""
    from ostinato.cells import CELLS, CellWeights

    cell = CELLS[network.cell]
    t = {name: torch.tensor(value) for name, value in network.tensors.items()}
    weights = [CellWeights(*(t[f"recurrent.{n}_l{k}"] for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")))
               for k in range(network.layers)]  # fmt: skip
    states = [tuple(torch.zeros(B, H) for _ in cell.parts) for _ in weights]
    first = []
    for step in range(T):
        x = torch.tensor(ids[:, step])
        x = t["embedding.weight"][x] if network.embedding_size else x
        for k, w in enumerate(weights):
            states[k] = cell.step(x, states[k], w)
            x = states[k][0]
            if k == 0:
                if not x.requires_grad:
                    x.requires_grad_()
                    states[k] = (x, *states[k][1:])
                x.retain_grad()
                first.append(x)
    features_ = x
    if "projection.weight" in t:
        features_ = features_ @ t["projection.weight"].T
    logits = features_ @ t.get("head.weight", t.get("embedding.weight")).T + t["head.bias"]
    torch.nn.functional.cross_entropy(logits, torch.tensor(targets), reduction="sum").backward()
    return [h.grad.norm(dim=1).mean().item() for h in reversed(first)]


@pytest.mark.parametrize("cell", ["rnn", "rnn-relu", "gru", "lstm"])
def test_a_trace_has_the_equations_parts(cell):
    network = network_of(cell)
    ids = np.random.default_rng(2).integers(1, V, T)
    for layer in (0, 1):
        traced = network.trace(ids, layer)
        assert all(part.shape == (T, H) for part in traced.values())
        if cell == "lstm":
            np.testing.assert_allclose(traced["h"], traced["o"] * np.tanh(traced["c"]), rtol=1e-5)
            c = traced["c"]
            np.testing.assert_allclose(
                c[1:], traced["f"][1:] * c[:-1] + traced["i"][1:] * traced["g"][1:], rtol=1e-4, atol=1e-6
            )
        if cell == "gru":
            h, z, n = traced["h"], traced["z"], traced["n"]
            np.testing.assert_allclose(h[1:], (1 - z[1:]) * n[1:] + z[1:] * h[:-1], rtol=1e-4, atol=1e-6)


def test_features_say_where_a_token_stands():
    text = "He said “so\nlong”.\nBye"
    starts = list(range(len(text)))
    found = features(text, starts, [at + 1 for at in starts], "o")
    assert [text[at] for at in np.flatnonzero(found["line_end"])] == ["o", ".", "e"]
    assert [text[at] for at in np.flatnonzero(found["line_start"])] == ["H", "l", "B"]
    assert "".join(text[at] for at in np.flatnonzero(found["quotes"])) == "“so\nlong"
    assert "".join(text[at] for at in np.flatnonzero(found["word_start"])) == "HsslB"
    assert "".join(text[at] for at in np.flatnonzero(found["capitals"])) == "HB"
    assert "".join(text[at] for at in np.flatnonzero(found["search"])) == "oo"
    assert found["position"].max() == 11
    assert "quotes" not in features("no marks", [0, 2], [2, 8])


def test_a_unit_that_follows_a_feature_is_found():
    random = np.random.default_rng(0)
    feature = random.integers(0, 2, 200).astype(float)
    units = random.standard_normal((200, 5)).astype(np.float32)
    units[:, 3] = -2 * feature + 0.01 * units[:, 3]
    units[:, 4] = 1.0
    found = correlations(units, feature)
    assert found[3] == pytest.approx(-1, abs=0.01)
    assert found[4] == 0
    assert np.abs(found[:3]).max() < 0.4


def test_a_cell_of_ones_own_is_refused_with_the_reason():
    with pytest.raises(Problem, match="the cell mgu of mine is one of its own"):
        _traceable(SimpleNamespace(name="mine"), Network("mgu", 1, H, E, {}))
