import copy

import numpy as np
import pytest
import torch

from ostinato.errors import UsageError
from ostinato.models import LanguageModel, TorchStepModel, step
from ostinato.protocols import StepModel
from ostinato.settings import CELLS, ModelSettings

V = 19


def _model(cell="lstm") -> LanguageModel:
    torch.manual_seed(1)
    settings = ModelSettings(cell=cell, layers=2, hidden_size=8, embedding_size=5, dropout=0.5, weight_drop=0.5)
    model = LanguageModel(settings, V)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model


def _ids(count, dtype=np.uint16):
    return np.random.default_rng(1).integers(0, V, count).astype(dtype)


def _one_by_one(model, ids):
    """log-probabilities of `ids` from single steps of the step model."""
    state, before, scores = model.initial_state(1), 0, []
    for token in ids:
        logits, state = model.step(np.array([before], ids.dtype), state)
        logits = logits[0].astype(np.float64)
        scores.append(logits[token] - np.log(np.exp(logits).sum()))
        before = token
    return np.array(scores)


def _arrays(state):
    return state if isinstance(state, tuple) else (state,)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_score_is_what_steps_give(cell, dtype, monkeypatch):
    monkeypatch.setattr(step, "TOKENS_AT_ONCE", 16)
    model = TorchStepModel(_model(cell))
    assert isinstance(model, StepModel)
    assert model.vocabulary_size == V
    ids = _ids(40, dtype)
    scores = model.score(ids)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, _one_by_one(model, ids), rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_states_are_plain_values(cell):
    model = TorchStepModel(_model(cell))
    ids = _ids(3)
    state = model.step(ids, model.initial_state(3))[1]
    kept = copy.deepcopy(state)
    first, after = model.step(ids, state)
    again, _ = model.step(ids, kept)
    np.testing.assert_array_equal(first, again)
    for a, b, c in zip(_arrays(state), _arrays(kept), _arrays(after), strict=True):
        assert isinstance(a, np.ndarray)
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)


@pytest.mark.parametrize("cell", CELLS)
def test_select_repeats_and_drops_rows(cell):
    model = TorchStepModel(_model(cell))
    ids, rows = _ids(3), np.array([2, 0, 0, 2])
    logits, state = model.step(ids, model.step(ids, model.initial_state(3))[1])
    after, _ = model.step(ids, state)
    selected, _ = model.step(ids[rows], model.select(state, rows))
    np.testing.assert_allclose(selected, after[rows], atol=1e-6)
    assert logits.shape == (3, V)
    assert logits.dtype == np.float32


@pytest.mark.parametrize("count", [0, 1, 2, 5, 41])
@pytest.mark.parametrize("rows", [1, 2, 7, 64])
def test_side_by_side_scoring_covers_every_token_in_order(count, rows, monkeypatch):
    """With pieces that are warmed up on everything before them, or that forget quickly, nothing differs."""
    monkeypatch.setattr(step, "TOKENS_AT_ONCE", 10)
    forgetful = _model("rnn")
    for name, parameter in forgetful.recurrent.named_parameters():
        if "weight_hh" in name:
            parameter.data *= 0.02
    model = TorchStepModel(forgetful)
    ids = _ids(count)
    scores = model.score_rows(ids, rows=rows, warmup=5)
    assert scores.shape == (count,)
    np.testing.assert_allclose(scores, model.score(ids), atol=2e-2 if count < 10 * rows else 1e-5)


def test_two_pieces_with_full_warmup_are_exact():
    model, ids = TorchStepModel(_model()), _ids(40)
    np.testing.assert_allclose(model.score_rows(ids, rows=2, warmup=20), model.score(ids), atol=1e-6)
    assert np.abs(model.score_rows(ids, rows=2, warmup=0) - model.score(ids)).max() > 1e-3


@pytest.mark.parametrize("cell", CELLS[2:])
def test_the_default_warmup_suffices(cell):
    model, ids = TorchStepModel(_model(cell)), _ids(3000)
    assert model.score_rows(ids).mean() == pytest.approx(model.score(ids).mean(), abs=1e-4)


def test_scoring_in_mixed_precision_is_close():
    model, ids = _model(), _ids(500)
    exact = TorchStepModel(model).score(ids).mean()
    assert TorchStepModel(model, precision="bf16").score(ids).mean() == pytest.approx(exact, abs=5e-3)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_keeps_its_mode(training):
    model = _model().train(training)
    wrapped = TorchStepModel(model)
    np.testing.assert_array_equal(wrapped.score(_ids(9)), wrapped.score(_ids(9)))
    wrapped.step(_ids(1), wrapped.initial_state(1))
    assert model.training == training
    with pytest.raises(UsageError):
        wrapped.step(_ids(2), wrapped.initial_state(1))
    assert model.training == training


def test_refuses():
    model = TorchStepModel(_model())
    with pytest.raises(UsageError, match=r"ids must lie in 0 \.\. 18, got 0 \.\. 19"):
        model.score(np.array([0, 19], np.uint16))
    with pytest.raises(UsageError, match="ids must be integers of one dimension, got float64"):
        model.step(np.zeros(2), model.initial_state(2))
    with pytest.raises(UsageError, match="rows must be at least 1 and warmup at least 0, got 0 and 3"):
        model.score_rows(_ids(5), rows=0, warmup=3)
