import pytest
import torch

from ostinato.layers import dropout, embedding_dropout, weight_drop


@pytest.mark.parametrize("locked", [False, True])
def test_dropout_drops_a_share_and_keeps_the_mean(locked):
    torch.manual_seed(1)
    y = dropout(torch.ones(50, 20, 30), 0.3, locked=locked)
    assert set(y.unique().tolist()) == {0.0, torch.tensor(1 / 0.7).item()}
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


def test_zero_is_the_identity():
    x = torch.randn(3, 2, 4)
    assert dropout(x, 0.0, locked=True) is x
    assert weight_drop(x, 0.0) is x
    assert torch.equal(embedding_dropout(torch.tensor([1, 0]), x[0], 0.0), x[0][[1, 0]])
