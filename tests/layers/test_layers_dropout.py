import pytest
import torch

from ostinato.layers import dropout, embedding_dropout, weight_drop


@pytest.mark.parametrize("locked", [False, True])
def test_dropout_drops_a_share_and_keeps_the_mean(locked):
    torch.manual_seed(1)
    y = dropout(torch.ones(50, 20, 30), 0.3, locked=locked)
    torch.testing.assert_close(y.unique(), torch.tensor([0, 1 / 0.7]), rtol=1e-5, atol=0)
    assert abs((y == 0).double().mean() - 0.3) < 0.06
    assert (y == y[:1]).all() == locked


def test_locked_masks_differ_between_rows():
    torch.manual_seed(1)
    y = dropout(torch.ones(2, 2, 100), 0.5, locked=True)
    assert (y[:, 0] != y[:, 1]).any()


def test_weight_drop_scales_what_it_keeps():
    torch.manual_seed(1)
    w = torch.randn(100, 100)
    d = weight_drop(w, 0.25)
    kept = d != 0
    assert abs(kept.double().mean() - 0.75) < 0.02
    torch.testing.assert_close(d[kept], w[kept] / 0.75)


def test_embedding_dropout_drops_whole_tokens():
    torch.manual_seed(1)
    weight = torch.randn(40, 5)
    ids = torch.randint(40, (30, 8))
    ratio = embedding_dropout(ids, weight, 0.5) / weight[ids]
    factors = torch.stack([ratio[ids == token].unique().mean() for token in ids.unique()])
    torch.testing.assert_close(ratio, factors[torch.searchsorted(ids.unique(), ids)].unsqueeze(-1).expand_as(ratio))
    torch.testing.assert_close(factors[factors != 0], torch.full_like(factors[factors != 0], 2.0))
    assert 0.25 < (factors == 0).double().mean() < 0.75


def test_neighbouring_masks_are_independent():
    """Several values of a mask come from one random word."""
    torch.manual_seed(1)
    dropped = (dropout(torch.ones(1, 4000, 16), 0.4, locked=False)[0] == 0).double()
    correlations = torch.corrcoef(dropped.t()) - torch.eye(16)
    assert correlations.abs().max() < 0.06
    assert (dropped.mean(0) - 0.4).abs().max() < 0.03


@pytest.mark.parametrize("p", [0.999999, 1.0])
def test_everything_can_be_dropped(p):
    assert (dropout(torch.ones(2, 3, 4), p, locked=True) == 0).all()


def test_zero_is_the_identity():
    x = torch.randn(3, 2, 4)
    assert dropout(x, 0.0, locked=True) is x
    assert weight_drop(x, 0.0) is x
    assert torch.equal(embedding_dropout(torch.tensor([1, 0]), x[0], 0.0), x[0][[1, 0]])
