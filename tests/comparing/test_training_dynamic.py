import copy

import numpy as np
import pytest
import torch

from ostinato.comparing.dynamic import dynamic_scores
from ostinato.errors import TextError, UsageError
from ostinato.models.language_model import LanguageModel
from ostinato.models.step import TorchStepModel
from ostinato.settings import ModelSettings

V = 8


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(3)
    return LanguageModel(ModelSettings(hidden_size=12, embedding_size=6, dropout=0.2), V)


def ids_of(pattern, times):
    return np.array(pattern * times, dtype=np.uint16)


def test_without_learning_it_is_the_model_s_own_score(model):
    ids = ids_of([1, 2, 3, 0, 5], 9)
    scores = dynamic_scores(model, ids, ids, window=7, learning_rate=0.0)
    np.testing.assert_allclose(scores, TorchStepModel(model).score(ids), atol=1e-5)


def test_it_learns_from_what_it_has_read_and_only_then(model):
    ids, training = ids_of([1, 2, 3, 4], 60), ids_of([5, 6, 0], 30)
    before = copy.deepcopy(model.state_dict())
    scores = dynamic_scores(model, ids, training, window=10, learning_rate=5e-3)
    static = TorchStepModel(model).score(ids)
    np.testing.assert_allclose(scores[:10], static[:10], atol=1e-5)
    assert scores[-40:].mean() > static[-40:].mean() + 0.5
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_it_does_not_see_the_future(model):
    ids, training = ids_of([1, 2, 3, 4], 10), ids_of([5, 6, 0], 30)
    whole = dynamic_scores(model, ids, training, window=6)
    np.testing.assert_allclose(dynamic_scores(model, ids[:20], training, window=6), whole[:20], atol=1e-6)


def test_a_full_pull_brings_the_weights_back(model):
    ids = ids_of([1, 2, 3, 4], 20)
    weak = dynamic_scores(model, ids, ids, decay=0.0)
    strong = dynamic_scores(model, ids, ids, decay=1.0)
    static = TorchStepModel(model).score(ids)
    assert abs(strong - static).max() < abs(weak - static).max()


@pytest.mark.parametrize("values", [{"window": 0}, {"statistics": 0}, {"learning_rate": -1.0}, {"decay": 1.5}])
def test_refuses_values(model, values):
    with pytest.raises(UsageError, match="dynamic evaluation needs"):
        dynamic_scores(model, ids_of([1], 3), ids_of([1], 3), **values)


def test_refuses_no_training_text(model):
    with pytest.raises(TextError, match="got 0 tokens"):
        dynamic_scores(model, ids_of([1], 3), ids_of([1], 0))
