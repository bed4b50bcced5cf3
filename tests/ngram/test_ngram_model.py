import copy
import json
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import BundleError, UsageError
from ostinato.kernels.ngram import ngram_probabilities, ngram_probabilities_numpy
from ostinato.ngram.fit import SMOOTHINGS, fit_ngram, from_arrays, unseen_note
from ostinato.ngram.smoothing import kneser_ney_discounts
from ostinato.protocols import StepModel

V = 7
texts = st.lists(st.integers(0, 5), min_size=1, max_size=80).map(lambda ids: np.array(ids, dtype=np.uint16))
orders = st.integers(1, 5)
smoothings = st.sampled_from(SMOOTHINGS)


def distributions(model, ids):
    """The distribution before each token of `ids`, (T, V), by stepping; and the states."""
    logits, state = model.step(np.array([0]), model.initial_state(1))
    rows, states = [logits[0]], [state]
    for token in ids:
        logits, state = model.step(np.array([token]), state)
        rows.append(logits[0])
        states.append(state)
    return np.exp(np.array(rows)), states


def plain_kneser_ney(ids, order, discounts):
    """p(w | context) as the paper writes it, with dictionaries; a document is <s> w1 .. wm </s>."""
    grams = [Counter() for _ in range(order + 1)]
    document = ["<s>"]
    for token in ids.tolist():
        document.append("</s>" if token == 0 else token)
        for n in range(1, order + 1):
            if n <= len(document) and not (n == 1 and document[-1] == "<s>"):
                grams[n][tuple(document[-n:])] += 1
        if token == 0:
            document = ["<s>"]
    adjusted = [None] * (order + 1)
    for n in range(1, order + 1):
        if n == order:
            adjusted[n] = grams[n]
        else:
            left = Counter(gram[1:] for gram in grams[n + 1])
            adjusted[n] = {g: (c if g[0] == "<s>" else left[g]) for g, c in grams[n].items()}
    followers = [defaultdict(dict) for _ in range(order + 1)]
    for n in range(1, order + 1):
        for gram, count in adjusted[n].items():
            followers[n][gram[:-1]][gram[-1]] = count

    def discount(n, count):
        return discounts[n - 1][min(count, 3) - 1]

    def p(word, context):
        n = len(context) + 1
        lower = 1 / V if n == 1 else p(word, context[1:])
        seen = followers[n].get(tuple(context))
        if not seen:
            return lower
        total = sum(seen.values())
        gamma = sum(discount(n, count) for count in seen.values()) / total
        own = max(seen[word] - discount(n, seen[word]), 0) / total if word in seen else 0
        return own + gamma * lower

    return p


@given(texts, texts, orders)
def test_kneser_ney_is_the_paper_s(training, test, order):
    model = fit_ngram(training, V, order=order)
    p = plain_kneser_ney(training, order, model.settings["discounts"])
    history, expected = ["<s>"], []
    for token in test.tolist():
        word = "</s>" if token == 0 else token
        expected.append(p(word, history[-(order - 1) :] if order > 1 else []))
        history = ["<s>"] if token == 0 else [*history, word]
    np.testing.assert_allclose(np.exp(model.score(test)), expected, rtol=1e-12)


@given(texts, texts, orders, smoothings, st.sampled_from([(), (0, 1), (0, 1, 2)]))
def test_every_distribution_sums_to_one_and_is_what_score_gives(training, test, order, smoothing, thresholds):
    thresholds = thresholds[:order] if smoothing == "kneser-ney" else ()
    model = fit_ngram(training, V, order=order, smoothing=smoothing, k=0.3, prune_counts=thresholds)
    rows, _ = distributions(model, test)
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(rows[np.arange(len(test)), test], np.exp(model.score(test)), rtol=1e-12)
    if smoothing != "maximum-likelihood":
        assert rows.min() > 0


@given(texts, texts, orders, smoothings)
def test_compiled_kernel_and_numpy_twin_give_the_same_bits(training, test, order, smoothing):
    model = fit_ngram(training, V, order=order, smoothing=smoothing)
    shares, weights = [level.share for level in model.levels], [level.weight for level in model.levels]
    arguments = (model.words, model.children, shares, weights, model.unigram(), test)
    ours = ngram_probabilities(*arguments, restart=model.restart)
    np.testing.assert_array_equal(ours, ngram_probabilities_numpy(*arguments, restart=model.restart))


@pytest.mark.parametrize("size", [V, 70_000])
def test_kernel_and_twin_over_block_borders(size):
    random = np.random.default_rng(3)
    ids = (random.zipf(1.5, 3000) % size).astype(np.uint32)
    model = fit_ngram(ids, size, order=4)
    shares, weights = [level.share for level in model.levels], [level.weight for level in model.levels]
    arguments = (model.words, model.children, shares, weights, model.unigram(), ids)
    np.testing.assert_array_equal(ngram_probabilities(*arguments), ngram_probabilities_numpy(*arguments))


def test_maximum_likelihood_is_relative_frequency():
    ids = np.array([1, 2, 0, 1, 3, 0, 1, 2, 0], dtype=np.uint16)
    model = fit_ngram(ids, V, order=2, smoothing="maximum-likelihood")
    rows, _ = distributions(model, [1])
    assert rows[0].tolist() == [0, 1, 0, 0, 0, 0, 0]
    np.testing.assert_allclose(rows[1], [0, 0, 2 / 3, 1 / 3, 0, 0, 0])


def test_unseen_events_of_maximum_likelihood_are_named():
    model = fit_ngram(np.array([1, 2, 0], dtype=np.uint16), V, order=2, smoothing="maximum-likelihood")
    scores = model.score(np.array([1, 1, 0], dtype=np.uint16))
    assert unseen_note(scores).startswith("2 of 3 tokens never followed their context")
    assert unseen_note(scores[:1]) is None
    assert not np.isnan(scores).any()


def test_add_k_after_seen_and_unseen_contexts():
    model = fit_ngram(np.array([1, 2, 0], dtype=np.uint16), V, order=3, smoothing="add-k", k=0.5)
    rows, _ = distributions(model, [1, 1])
    np.testing.assert_allclose(rows[0], (np.arange(V) == 1) * 1.0 / 4.5 + 0.5 / 4.5)
    np.testing.assert_allclose(rows[1], (np.arange(V) == 2) * 1.0 / 4.5 + 0.5 / 4.5)
    np.testing.assert_allclose(rows[2], 1 / V)


def test_discounts_of_known_counts_of_counts():
    counts = np.repeat([1, 2, 3, 4, 9], [40, 12, 6, 4, 5])
    y = 40 / 64
    expected = (1 - 2 * y * 12 / 40, 2 - 3 * y * 6 / 12, 3 - 4 * y * 4 / 6)
    assert kneser_ney_discounts(counts) == pytest.approx(expected)


@pytest.mark.parametrize("counts", [[], [1, 1], [2, 3, 4], [1] + [2] * 2 + [3] * 9])
def test_discounts_that_do_not_exist(counts):
    assert kneser_ney_discounts(np.array(counts, dtype=np.int64)) is None


def test_a_fallback_is_noted():
    model = fit_ngram(np.array([1, 1, 1, 1], dtype=np.uint16), 2, order=3)
    assert model.settings["notes"] == [
        "too little text to estimate the discounts of order 1, 2, 3: 0.5, 1.0, 1.5 are used instead"
    ]
    assert np.isfinite(model.score(np.array([1, 0], dtype=np.uint16))).all()


def test_context_starts_afresh_after_a_document():
    ids = np.array([1, 2, 3, 0, 4, 2, 5, 0], dtype=np.uint16)
    model = fit_ngram(ids, V, order=3)
    again = model.score(np.concatenate([ids[4:], ids]))
    np.testing.assert_array_equal(again[4:], model.score(ids))


@given(texts, orders, smoothings)
def test_states_are_values(training, order, smoothing):
    model = fit_ngram(training, V, order=order, smoothing=smoothing)
    assert isinstance(model, StepModel)
    state = model.initial_state(2)
    _, state = model.step(np.array([0, 3]), state)
    before = copy.deepcopy(state)
    first, _ = model.step(np.array([1, 2]), state)
    np.testing.assert_array_equal(state, before)
    swapped, _ = model.step(np.array([2, 1, 2]), model.select(state, np.array([1, 0, 1])))
    np.testing.assert_array_equal(swapped, first[[1, 0, 1]])


@given(texts, orders, smoothings)
def test_saved_arrays_give_the_same_bits(training, order, smoothing):
    thresholds = (0, 1)[:order] if smoothing == "kneser-ney" else ()
    model = fit_ngram(training, V, order=order, smoothing=smoothing, prune_counts=thresholds)
    settings = json.loads(json.dumps(model.settings))
    again = from_arrays(settings, model.arrays)
    np.testing.assert_array_equal(again.score(training), model.score(training))
    assert again.sizes == model.sizes
    assert again.parameter_count == sum(len(x.share) + len(x.weight) for x in model.levels)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("words.2", None),
        ("words.2", np.array([9, 9, 9], dtype=np.uint16)),
        ("words.2", np.array([1.0, 2.0, 0.0])),
        ("children.1", np.array([0, 9, 1, 1, 1, 1, 1, 3], dtype=np.uint32)),
        ("children.1", np.array([0, 3], dtype=np.uint32)),
        ("counts.2", np.array([1], dtype=np.uint8)),
        ("counts.1", np.array([1], dtype=np.uint8)),
        ("counts.1", np.zeros(V, dtype=np.uint8)),
        ("counts.2", np.array([1, 0, 1], dtype=np.uint8)),
        ("counts.2", np.array([1, -1, 1], dtype=np.int8)),
    ],
)
def test_damaged_arrays_are_refused(name, value):
    model = fit_ngram(np.array([1, 2, 0], dtype=np.uint16), V, order=2)
    arrays = {**model.arrays, name: value}
    if value is None:
        del arrays[name]
    with pytest.raises(BundleError, match="do not fit"):
        from_arrays(model.settings, arrays)


@pytest.mark.parametrize(
    "changed",
    [{"order": 40}, {"order": "2"}, {"smoothing": "guess"}, {"discounts": [[1]]}, {"discounts": [[0.5, 1, 9]] * 2}],
)
def test_damaged_settings_are_refused(changed):
    model = fit_ngram(np.array([1, 2, 0], dtype=np.uint16), V, order=2)
    with pytest.raises(BundleError, match="do not fit"):
        from_arrays({**model.settings, **changed}, model.arrays)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"smoothing": "good-turing"}, "must be one of kneser-ney, add-k, maximum-likelihood, got 'good-turing'"),
        ({"smoothing": "add-k", "k": 0}, "k of add-k smoothing must be above 0, got 0"),
        ({"smoothing": "add-k", "prune_counts": (0, 1)}, "only kneser-ney can be pruned"),
    ],
)
def test_refuses_settings(arguments, message):
    with pytest.raises(UsageError, match=message):
        fit_ngram(np.array([1, 2, 0], dtype=np.uint16), V, **arguments)


def test_refuses_ids_outside_the_vocabulary():
    model = fit_ngram(np.array([1, 2, 0], dtype=np.uint16), V, order=2)
    with pytest.raises(UsageError, match=r"token ids must lie in 0 \.\. 6, got 7"):
        model.score(np.array([7], dtype=np.uint16))
    with pytest.raises(UsageError, match=r"token ids must lie in 0 \.\. 6, got -1"):
        model.score(np.array([-1]))


def test_refuses_states_of_another_batch_or_model():
    model = fit_ngram(np.array([1, 2, 0], dtype=np.uint16), V, order=3)
    ids, state = np.array([1, 2]), model.initial_state(2)
    for wrong in (model.initial_state(3), state[:, :1], state.astype(float), None):
        with pytest.raises(UsageError, match="state must be whole numbers of shape"):
            model.step(ids, wrong)
    for node in (99, -3):
        with pytest.raises(UsageError, match="state must hold nodes of this model"):
            model.step(ids, np.full_like(state, node))
    with pytest.raises(UsageError, match=r"token ids must lie in 0 \.\. 6, got -2"):
        model.step(-ids, state)
    with pytest.raises(UsageError, match="ids must not be empty"):
        model.step(ids[:0], model.initial_state(0))
