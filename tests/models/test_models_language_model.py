"""The language model against its equations in NumPy, from the tensors it saves."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from ostinato.errors import BundleError, SettingsError, UsageError
from ostinato.models import LanguageModel, autocast
from ostinato.settings import CELLS, ModelSettings

V, H, B, T = 23, 6, 3, 7
GATES = {"rnn": 1, "rnn-relu": 1, "gru": 3, "lstm": 4}
SHAPES = [(0, False), (5, False), (6, True), (5, True)]
"""(embedding size, tied): one-hot, embedded, tied, tied through a projection."""

kinds = pytest.mark.parametrize(
    ("cell", "embedding_size", "tied"), [(c, *s) for c, s in itertools.product(CELLS, SHAPES)]
)


def _model(cell="lstm", embedding_size=5, tied=False, vocabulary_size=V, **keywords) -> LanguageModel:
    torch.manual_seed(1)
    keywords = {"layers": 2, "hidden_size": H, "dropout": 0.0, "initialisation": "uniform-0.1", **keywords}
    model = LanguageModel(
        ModelSettings(cell=cell, embedding_size=embedding_size, tied=tied, **keywords), vocabulary_size
    )
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def _ids(*shape, seed=2):
    return torch.randint(V, shape, generator=torch.Generator().manual_seed(seed))


def _sigmoid(a):
    return 1 / (1 + np.exp(-a))


def _logits_by_hand(tensors, cell, ids):
    """Logits of one row of ids, float64, straight from the contract of the saved tensors."""
    tensors = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
    h, c = np.zeros((2, H)), np.zeros((2, H))
    logits = []
    for token in ids:
        x = tensors["embedding.weight"][token] if "embedding.weight" in tensors else np.eye(V)[token]
        for k in range(2):
            a = tensors[f"recurrent.weight_ih_l{k}"] @ x + tensors[f"recurrent.bias_ih_l{k}"]
            b = tensors[f"recurrent.weight_hh_l{k}"] @ h[k] + tensors[f"recurrent.bias_hh_l{k}"]
            if cell == "rnn":
                h[k] = np.tanh(a + b)
            elif cell == "rnn-relu":
                h[k] = np.maximum(0, a + b)
            elif cell == "gru":
                r, z = _sigmoid(a + b)[: 2 * H].reshape(2, H)
                n = np.tanh(a[2 * H :] + r * b[2 * H :])
                h[k] = (1 - z) * n + z * h[k]
            else:
                i, f, g, o = (a + b).reshape(4, H)
                c[k] = _sigmoid(f) * c[k] + _sigmoid(i) * np.tanh(g)
                h[k] = _sigmoid(o) * np.tanh(c[k])
            x = h[k]
        features = tensors["projection.weight"] @ x if "projection.weight" in tensors else x
        weight = tensors["head.weight"] if "head.weight" in tensors else tensors["embedding.weight"]
        logits.append(weight @ features + tensors["head.bias"])
    return np.array(logits)


@kinds
def test_logits_are_those_of_the_saved_tensors(cell, embedding_size, tied):
    model, ids = _model(cell, embedding_size, tied), _ids(B, T)
    logits, _ = model(ids)
    assert logits.shape == (B, T, V)
    for row, expected in zip(ids.numpy(), logits.detach().numpy(), strict=True):
        np.testing.assert_allclose(_logits_by_hand(model.save_tensors(), cell, row), expected, atol=2e-5)


@kinds
def test_tensors_have_the_names_and_shapes_of_a_bundle(cell, embedding_size, tied):
    G, features = GATES[cell], embedding_size if tied else H
    expected = {"head.bias": (V,)}
    if embedding_size:
        expected["embedding.weight"] = (V, embedding_size)
    if not tied:
        expected["head.weight"] = (V, H)
    elif features != H:
        expected["projection.weight"] = (embedding_size, H)
    for k, inputs in enumerate((embedding_size or V, H)):
        expected |= {f"recurrent.weight_ih_l{k}": (G * H, inputs), f"recurrent.weight_hh_l{k}": (G * H, H)}
        expected |= {f"recurrent.bias_{kind}_l{k}": (G * H,) for kind in ("ih", "hh")}
    model = _model(cell, embedding_size, tied)
    tensors = model.save_tensors()
    assert {name: tensor.shape for name, tensor in tensors.items()} == expected
    assert all(tensor.dtype == np.float32 for tensor in tensors.values())
    assert model.parameter_count == sum(np.prod(shape) for shape in expected.values())
    assert model.hidden(_ids(B, T))[0].shape == (B, T, features)


@kinds
def test_loss_is_the_mean_cross_entropy_and_reaches_every_parameter(cell, embedding_size, tied):
    model, ids, targets = _model(cell, embedding_size, tied), _ids(B, T), _ids(B, T, seed=3)
    loss, _ = model.loss(ids, targets)
    expected = torch.nn.functional.cross_entropy(model(ids)[0].flatten(0, 1), targets.flatten())
    torch.testing.assert_close(loss, expected)
    names = [name for name, _ in model.named_parameters()]
    gradients = [torch.autograd.grad(value, list(model.parameters())) for value in (loss, expected)]
    for name, ours, theirs in zip(names, *gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7, msg=lambda m, name=name: f"{name}: {m}")
        assert ours.abs().sum() > 0


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("vocabulary_size", [5, 200], ids=["V<GH", "V>GH"])
def test_one_hot_look_up_is_the_reference(cell, vocabulary_size):
    model = _model(cell, 0, vocabulary_size=vocabulary_size)
    ids = torch.randint(vocabulary_size, (B, T))
    results = []
    for backend in ("torch", "reference"):
        model.recurrent.backend = backend
        loss, _ = model.loss(ids, ids)
        results.append((model(ids)[0], *torch.autograd.grad(loss, list(model.parameters()))))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_a_carried_state_joins_the_pieces_of_a_text(cell):
    model, ids = _model(cell), _ids(B, T)
    whole, last = model(ids)
    state, pieces = model.initial_state(B), []
    for piece in ids.split(3, dim=1):
        logits, state = model(piece, state)
        pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole)
    torch.testing.assert_close(state, last)


@pytest.mark.parametrize("cell", CELLS)
def test_detach_stops_gradients(cell):
    model = _model(cell)
    _, state = model(_ids(B, T))
    detached = model.detach(state)
    for part in detached if isinstance(detached, tuple) else (detached,):
        assert not part.requires_grad
    torch.testing.assert_close(detached, state)


@pytest.mark.parametrize(
    "keywords",
    [{"dropout": 0.5}, {"dropout": 0.5, "locked_dropout": False}, {"weight_drop": 0.5}, {"embedding_dropout": 0.5}],
    ids=str,
)
def test_dropout_acts_in_training_only(keywords):
    model, plain, ids = _model(**keywords), _model(), _ids(B, T)
    plain.load_tensors(model.save_tensors())
    assert not torch.allclose(model(ids)[0], plain(ids)[0])
    model.eval()
    torch.testing.assert_close(model(ids)[0], plain(ids)[0])


def test_dropout_reaches_the_features_of_a_single_layer():
    model = _model(layers=1, dropout=0.5)
    features, _ = model.hidden(_ids(B, T))
    dropped = features == 0
    assert 0 < dropped.double().mean() < 1
    assert (dropped == dropped[:, :1]).all()


@pytest.mark.parametrize("cell", CELLS)
def test_mixed_precision(cell):
    model, ids = _model(cell), _ids(B, T).to(torch.int32)
    exact, _ = model.loss(ids, ids)
    with autocast("bf16", torch.device("cpu")):
        loss, state = model.loss(ids, ids)
        loss, state = model.loss(ids, ids, model.detach(state))
        first, _ = model.loss(ids, ids)
    loss.backward()
    assert loss.dtype == torch.float32
    assert all(part.dtype == torch.float32 for part in (state if isinstance(state, tuple) else (state,)))
    torch.testing.assert_close(first, exact, rtol=0.02, atol=0)
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in model.parameters())


def test_training_learns():
    torch.manual_seed(1)
    model = LanguageModel(ModelSettings(cell="gru", hidden_size=16, embedding_size=8, dropout=0.0), V)
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    ids = torch.arange(20).repeat(2, 2)
    for _ in range(30):
        loss, _ = model.loss(ids[:, :-1], ids[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1


def test_save_and_load():
    model, other, ids = _model(), _model(), _ids(B, T)
    saved = model.save_tensors()
    for parameter in other.parameters():
        torch.nn.init.zeros_(parameter)
    assert not torch.equal(other(ids)[0], model(ids)[0])
    other.load_tensors(saved)
    assert torch.equal(other(ids)[0], model(ids)[0])
    saved["head.bias"][:] = 9
    assert not (model.head.bias == 9).any()
    assert not (other.head.bias == 9).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("head.bias"), "missing head.bias; unknown none"),
        (lambda t: t.update({"extra": t["head.bias"]}), "missing none; unknown extra"),
        (lambda t: t.update({"head.bias": np.zeros(3)}), r"head.bias must have shape \(23,\), got \(3,\)"),
    ],
)
def test_loading_refuses_what_does_not_fit_and_changes_nothing(change, message):
    model = _model()
    before = model.save_tensors()
    tensors = {name: tensor + 1 for name, tensor in before.items()}
    change(tensors)
    with pytest.raises(BundleError, match=message):
        model.load_tensors(tensors)
    for name, tensor in model.save_tensors().items():
        np.testing.assert_array_equal(tensor, before[name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": None}, "model.hidden_size is still auto"),
        ({"embedding_size": None}, "model.embedding_size is still auto"),
        ({"dropout": None}, "model.dropout is still auto"),
        ({"embedding_size": 0, "tied": True}, "model.tied needs an embedding"),
        ({"embedding_size": 0, "embedding_dropout": 0.1}, "model.embedding_dropout needs an embedding"),
        ({"cell": "elman"}, "model.cell must be one of rnn, rnn-relu, gru, lstm, got 'elman'"),
    ],
)
def test_settings_refused(change, message):
    settings = ModelSettings(hidden_size=H, embedding_size=5, dropout=0.0)
    with pytest.raises(SettingsError, match=message):
        LanguageModel(dataclasses.replace(settings, **change), V)


def test_ids_refused():
    model = _model()
    with pytest.raises(UsageError, match=r"ids must be integers \(B, T\), got torch.int64 \(5,\)"):
        model(torch.zeros(5, dtype=torch.long))
    with pytest.raises(UsageError, match="ids must be integers"):
        model(torch.zeros(2, 5))
    with pytest.raises(UsageError, match=r"shape of ids \(2, 5\), got \(2, 4\)"):
        model.loss(_ids(2, 5), _ids(2, 4))
