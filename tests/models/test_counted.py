"""Classes and tags without a recurrent network: what is learnt, and that what is saved is checked."""

import math

import numpy as np
import pytest
import torch

from ostinato.errors import BundleError
from ostinato.models.counted import (
    CommonestTag,
    Regression,
    fit_ngrams,
    fit_summaries,
    joined,
    ngram_entries,
    summary_entries,
    table_size,
)


def test_ngrams_are_counted_with_the_ends_of_the_text():
    rows, values = ngram_entries("aba", 1 << 16)
    # of "^aba$": ^ a b $, ^a ab ba a$, ^ab aba ba$, ^aba aba$; a occurs twice
    assert len(rows) == 4 + 4 + 3 + 2
    assert np.square(values).sum() == pytest.approx(1)
    assert sorted(np.round(values / values.min(), 4)) == [1] * 12 + [round(math.log(3) / math.log(2), 4)]
    assert rows.min() >= 0
    assert rows.max() < 1 << 16
    assert not np.array_equal(ngram_entries("ab", 1 << 16)[0], ngram_entries("ba", 1 << 16)[0])


@pytest.mark.parametrize("text", ["", "a", "风", "\ud800", "😀" * 3])
def test_any_text_has_entries(text):
    rows, values = ngram_entries(text, 64)
    assert len(rows) == len(values) > 0
    assert rows.max() < 64


def test_the_table_stays_small():
    assert table_size(2) == 1 << 16
    assert table_size(1000) * 1000 <= 1 << 22
    assert table_size(10_000_000) == 2


def test_logits_are_sums_over_the_entries_of_each_record():
    model = Regression(8, 3)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        model.weight.copy_(torch.randn(8, 3, generator=generator))
        model.bias.copy_(torch.randn(3, generator=generator))
    records = [(np.array([1, 4]), np.array([0.5, 2], np.float32)), (np.array([7]), np.array([3], np.float32))]
    logits = model(*(torch.from_numpy(a) for a in joined(records))).detach()
    w, b = model.weight.detach(), model.bias.detach()
    assert torch.allclose(logits, torch.stack([0.5 * w[1] + 2 * w[4] + b, 3 * w[7] + b]))


def test_a_fit_ends_where_the_gradient_is_zero():
    generator = np.random.default_rng(2)
    records = [(np.arange(3), generator.normal(size=3).astype(np.float32)) for _ in range(30)]
    targets = generator.integers(0, 2, 30)
    model = Regression(3, 2)
    model.fit(records, targets)
    loss = model.loss(*(torch.from_numpy(a) for a in joined(records)), torch.from_numpy(targets))[0]
    (loss + model.weight.square().sum() / (2 * 10 * 30)).backward()
    assert model.weight.grad.abs().max() < 1e-3


def test_texts_and_series_are_told_apart():
    texts = [f"{a}{b}" for a in "abcdefgh" for b in ("ing", "ed")]
    model = fit_ngrams(texts, np.array([t.endswith("ed") for t in texts], np.int64), 2)
    batch = [torch.from_numpy(a) for a in joined([ngram_entries(t, len(model.weight)) for t in ("zing", "zed")])]
    assert model(*batch).argmax(-1).tolist() == [0, 1]
    generator = np.random.default_rng(3)
    series = [(generator.normal(size=(9, 2)) + [1000, 0] + k % 2).astype(np.float32) for k in range(40)]
    model = fit_summaries(series, np.arange(40) % 2, 2)
    batch = [torch.from_numpy(a) for a in joined([summary_entries(one) for one in series])]
    assert (model(*batch).argmax(-1).numpy() == np.arange(40) % 2).mean() > 0.9


def test_summaries_are_those_of_each_feature():
    rows, values = summary_entries(np.array([[1, 10], [5, 30], [3, 20]], np.float32))
    assert rows.tolist() == list(range(12))
    assert values[:10].tolist() == [1, 10, 3, 20, 1, 10, 5, 30, 3, 20]
    assert values[10:] == pytest.approx([math.sqrt(8 / 3), math.sqrt(200 / 3)])


def test_the_commonest_tag_of_a_token_and_of_its_end():
    model = CommonestTag.counted([(["running", "cat", "cat", "song"], [0, 1, 1, 1]), (["cat", "using"], [2, 0])], 3)
    assert model.tag("cat") == 1
    assert model.tag("walking") == 0  # as running and using, against song
    assert model.tag("xg") == 0
    assert model.tag("zzz") == 1  # the commonest of all
    again = CommonestTag(len(model.tags), 3)
    again.load_tensors(model.save_tensors())
    assert again.tag("walking") == 0


@pytest.mark.parametrize(
    ("keys", "tags", "message"),
    [
        ([[0.5, 1]], [0], "hashes and tags from 0 to 1"),
        ([[1, -1]], [0], "hashes and tags from 0 to 1"),
        ([[1, 1 << 24]], [0], "hashes and tags from 0 to 1"),
        ([[1, 1]], [2], "hashes and tags from 0 to 1"),
        ([[1, 1]], [-1], "hashes and tags from 0 to 1"),
        ([[1, 1]], [1], "no tag for unknown tokens"),
    ],
)
def test_a_damaged_table_is_refused(keys, tags, message):
    with pytest.raises(BundleError, match=message):
        CommonestTag(1, 2).load_tensors({"keys": np.array(keys, np.float32), "tags": np.array(tags, np.float32)})
