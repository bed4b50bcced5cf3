"""Log-linear mixtures with a gate: a distribution, a state, a likelihood with one maximum, a saved form."""

import copy
import itertools

import numpy as np
import pytest

from ostinato.bundle import read_bundle, write_bundle
from ostinato.errors import BundleError, UsageError
from ostinato.ngram import (
    GatedMixture,
    NgramModel,
    SavedPart,
    cross_fit_gate,
    fit_gate,
    fit_ngram,
    hear,
    join_gated,
    mixed_scores,
    untrained,
)
from ostinato.ngram.gated import _derivatives
from ostinato.runtime import load
from ostinato.text.tokenizers import build

NEWLINE = 3


@pytest.fixture(scope="module")
def parts():
    ids = np.random.default_rng(1).integers(0, 8, 600)
    return fit_ngram(ids, 8, order=1), fit_ngram(np.sort(ids), 8, order=3)


@pytest.fixture(scope="module")
def text():
    return np.random.default_rng(2).integers(0, 8, 300).repeat(2)


@pytest.fixture(scope="module")
def heard(parts, text):
    return hear(untrained(parts, NEWLINE), text)


def fitted(parts, heard):
    return GatedMixture(parts, fit_gate(heard, untrained(parts, NEWLINE).gate), NEWLINE)


def test_equal_weights_are_the_geometric_mean(parts):
    mixture = untrained(parts, NEWLINE)
    logits, state = mixture.step(np.array([0, 5]), mixture.initial_state(2))
    product = np.sqrt(np.prod([np.exp(p.step(np.array([0, 5]), p.initial_state(2))[0]) for p in parts], axis=0))
    np.testing.assert_allclose(np.exp(logits), product / product.sum(axis=1, keepdims=True), rtol=1e-12)
    assert state[1].tolist() == [0, 1]


def test_fitting_finds_the_maximum(parts, heard):
    mixture = fitted(parts, heard)
    best = mixed_scores(heard, mixture.gate).sum()
    assert best > mixed_scores(heard, untrained(parts, NEWLINE).gate).sum() + 10
    slope, curve = _derivatives(heard, mixture.gate)
    moved = mixture.gate.copy()
    moved[1, 2] += 1e-3
    change = mixed_scores(heard, moved).sum() - best
    assert change == pytest.approx(1e-3 * slope[1, 2] - 5e-7 * curve[moved.shape[1] + 2, moved.shape[1] + 2], abs=2e-4)


def test_score_is_the_sum_of_steps_and_sums_to_one(parts, heard, text):
    mixture = fitted(parts, heard)
    np.testing.assert_allclose(mixture.score(text[:100]), mixed_scores(heard, mixture.gate)[:100], atol=1e-5)
    logits, _ = mixture.step(text[:4], mixture.initial_state(4))
    np.testing.assert_allclose(np.exp(logits).sum(axis=1), 1, rtol=1e-12)


def test_a_state_is_a_value(parts, heard):
    mixture = fitted(parts, heard)
    _, state = mixture.step(np.array([0, 3, 5]), mixture.initial_state(3))
    kept = copy.deepcopy(state)
    first, _ = mixture.step(np.array([1, 2, 3]), state)
    again, _ = mixture.step(np.array([1, 2, 3]), kept)
    np.testing.assert_array_equal(first, again)
    picked, _ = mixture.step(np.array([3, 1]), mixture.select(state, np.array([2, 0])))
    np.testing.assert_allclose(picked, first[[2, 0]], atol=1e-12)


def test_no_token_is_measured_with_a_gate_that_has_seen_it(parts, heard, text):
    start = untrained(parts, NEWLINE).gate
    scores = cross_fit_gate(heard, start, 250)
    other = fit_gate(heard.part(slice(250, None)), start)
    np.testing.assert_array_equal(scores[:250], mixed_scores(heard.part(slice(0, 250)), other))
    np.testing.assert_array_equal(cross_fit_gate(heard, start, len(text)), mixed_scores(heard, start))


def test_saved_and_loaded_it_is_the_same(tmp_path):
    tokenizer = build("byte", [""])
    ids = np.random.default_rng(3).integers(1, 257, 500)
    models = fit_ngram(ids, 257, order=1), fit_ngram(ids, 257, order=3)
    mixture = GatedMixture(models, np.arange(14.0).reshape(2, 7) / 20, 11)
    model, tensors = join_gated(
        [SavedPart("ngram", m.settings, m.arrays) for m in models], mixture.gate, mixture.newline
    )
    write_bundle(
        tmp_path / "m", config={"kind": "mixture", "model": model}, tokenizer=tokenizer, tensors=tensors, card=""
    )
    loaded = load(tmp_path / "m")
    assert isinstance(loaded, GatedMixture)
    np.testing.assert_array_equal(loaded.score(ids[:50]), mixture.score(ids[:50]))
    broken = {**model, "gate": [[1.0]]}
    write_bundle(
        tmp_path / "n", config={"kind": "mixture", "model": broken}, tokenizer=tokenizer, tensors=tensors, card=""
    )
    with pytest.raises(BundleError, match="not a complete mixture"):
        load(read_bundle(tmp_path / "n"))


def test_what_does_not_belong_together_is_told(parts):
    assert isinstance(parts[0], NgramModel)
    with pytest.raises(UsageError, match="gate of this mixture must be finite"):
        GatedMixture(parts, np.zeros((2, 2)), NEWLINE)
    with pytest.raises(UsageError, match="same vocabulary"):
        untrained((parts[0], fit_ngram(np.array([1, 2]), 5, order=1)), NEWLINE)
    with pytest.raises(UsageError, match="got none"):
        hear(untrained(parts, NEWLINE), np.zeros(0, np.uint32))


def test_reading_on_joining_and_scoring_many_are_the_plain_steps(parts, heard, text):
    mixture = fitted(parts, heard)
    ids = text[:40]
    _, stepped = mixture.step(np.array([0]), mixture.initial_state(1))
    start = stepped
    for token in ids:
        _, stepped = mixture.step(np.array([token]), stepped)
    read = mixture.read_on(ids, start)
    np.testing.assert_array_equal(read[1], stepped[1])
    both = mixture.join([read, start])
    after, _ = mixture.step(np.array([2, 3]), both)
    np.testing.assert_allclose(after[:1], mixture.step(np.array([2]), stepped)[0], atol=1e-12)
    np.testing.assert_allclose(after[1:], mixture.step(np.array([3]), start)[0], atol=1e-12)
    texts = [text[:7], text[:0], text[7:50]]
    for one, scores in zip(texts, mixture.score_many(texts), strict=True):
        np.testing.assert_allclose(scores, mixture.score(one), atol=1e-12)


def test_a_text_is_heard_as_rows_that_begin_with_documents(parts):
    numbers = np.random.default_rng(5)
    ids = numbers.integers(1, 8, 400)
    ids[49::50] = 0
    mixture = untrained(parts, NEWLINE)
    together = hear(mixture, ids, 4)
    ends = [0, 100, 200, 300, 400]
    for first, end in itertools.pairwise(ends):
        alone = hear(mixture, ids[first:end])
        np.testing.assert_allclose(together.said[first:end], alone.said, atol=1e-5)
        np.testing.assert_allclose(together.scores[:, first:end], alone.scores, atol=1e-12)
        np.testing.assert_allclose(together.features[first:end], alone.features, atol=1e-12)


def test_some_of_the_parts_have_their_own_features(parts, heard):
    three = hear(untrained((*parts, parts[0]), NEWLINE), heard.columns[:50])
    np.testing.assert_allclose(three.of([0, 1]).features, heard.features[:50])
    np.testing.assert_allclose(three.of([0, 1]).said, heard.said[:50])


def test_of_a_long_text_every_few_tokens_are_enough(parts, heard, monkeypatch):
    start = untrained(parts, NEWLINE).gate
    whole = mixed_scores(heard, fit_gate(heard, start)).mean()
    monkeypatch.setattr("ostinato.ngram.gated._FITTED", heard.said.size // 3)
    some = mixed_scores(heard, fit_gate(heard, start)).mean()
    assert whole - 0.05 < some < whole


def test_tokens_that_never_come_can_be_heard_together(parts):
    ids = np.array([1, 2, 3, 1, 2, 0, 5] * 20)
    mixture = untrained(parts, NEWLINE)
    whole = hear(mixture, ids)
    some = hear(mixture, ids, 1, np.array([1, 4]))
    assert some.said.shape == (140, 2, 7)  # 0 to 5, and 6 and 7 together
    assert some.together == 2
    np.testing.assert_array_equal(some.scores, whole.scores)
    gate = mixture.gate * 1.1
    np.testing.assert_allclose(mixed_scores(some, gate), mixed_scores(whole, gate), atol=0.02)
    total = np.exp(some.said[:, :, :-1]).sum(axis=2) + 2 * np.exp(some.said[:, :, -1])
    np.testing.assert_allclose(total, 1, rtol=1e-5)
