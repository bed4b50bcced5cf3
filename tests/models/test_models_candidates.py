"""The sampled softmax against the whole one."""

import numpy as np
import pytest
import torch

from ostinato.errors import UsageError
from ostinato.models.candidates import Candidates, head_loss
from ostinato.models.language_model import LanguageModel
from ostinato.models.window_mlp import build_language_model
from ostinato.settings import ModelSettings

V, F, N = 200, 7, 50
OPTIONS = {"hidden_size": 6, "embedding_size": 6, "dropout": 0.0, "backend": "torch"}


def inputs(seed=0):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(V, F, generator=generator, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(V, generator=generator, dtype=torch.float64, requires_grad=True)
    return weight, bias, torch.randint(20, (N,), generator=generator)


def test_all_of_the_vocabulary_is_the_whole_softmax():
    weight, bias, targets = inputs()
    rows, values, places = Candidates(np.ones(V), V).select(weight, bias, targets)
    torch.testing.assert_close(rows, weight)
    torch.testing.assert_close(values, bias)
    torch.testing.assert_close(places, targets)


def test_candidates_are_the_targets_and_about_as_many_as_wanted():
    weight, bias, targets = inputs()
    counts = np.arange(V)[::-1] ** 2
    sizes = []
    for seed in range(50):
        torch.manual_seed(seed)
        rows, _, places = Candidates(counts, 60).select(weight, bias, targets)
        torch.testing.assert_close(rows[places], weight[targets])
        sizes.append(len(rows))
    assert 60 <= np.mean(sizes) < 60 + len(set(targets.tolist()))


def test_learns_the_distribution_of_the_whole_softmax():
    """Targets drawn with known odds: biases trained on candidates alone come to be the logarithms of the odds."""
    odds = torch.linspace(1, 20, V).pow(2)
    generator = torch.Generator().manual_seed(0)
    candidates = Candidates(odds.numpy(), 40)
    bias = torch.zeros(V, requires_grad=True)
    weight = torch.zeros(V, 1)
    optimizer = torch.optim.Adam([bias], 0.05)
    average = torch.zeros(V)
    torch.manual_seed(0)
    for step in range(1500):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 1500)
        targets = torch.multinomial(odds, 300, replacement=True, generator=generator)
        _, values, places = candidates.select(weight, bias, targets)
        loss = torch.nn.functional.cross_entropy(values.expand(len(targets), -1), places)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average += bias.detach() * (step >= 500) / 1000
    expected, found = (odds / odds.sum()).log(), average.log_softmax(0)
    divergence = float((expected.exp() * (expected - found)).sum())
    assert 0 <= divergence < 0.01  # of ln 200 = 5.3


@pytest.mark.parametrize("context", [0, 2])
def test_only_learning_uses_them(context):
    model = build_language_model(ModelSettings(**OPTIONS, context=context), V)
    model.candidates = Candidates(np.ones(V), 10)
    ids, targets = torch.randint(V, (2, 3, 5), generator=torch.Generator().manual_seed(1))
    whole = model.eval().loss(ids, targets)[0]
    assert not torch.equal(model.train().loss(ids, targets)[0], whole)
    model.candidates = None
    torch.testing.assert_close(model.loss(ids, targets)[0], whole)


def test_rows_that_are_no_candidates_get_no_gradient():
    model = LanguageModel(ModelSettings(**OPTIONS), V)
    model.candidates = Candidates(np.ones(V), 10)
    features, targets = torch.ones(4, 6), torch.tensor([1, 2, 3, 3])
    head_loss(model.train(), features, model.output_weight, targets).backward()
    touched = model.head.weight.grad.abs().sum(1) > 0
    assert touched[targets].all()
    assert touched.sum() < 40


def test_too_few():
    with pytest.raises(UsageError, match="candidates must be at least 1, got 0"):
        Candidates(np.ones(V), 0)
