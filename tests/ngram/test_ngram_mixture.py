import copy
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.bundle import Bundle
from ostinato.errors import BundleError, UsageError
from ostinato.ngram import Mixture, SavedPart, UnigramCache, cache_part, cross_fit, fit_ngram, fit_weights, from_arrays
from ostinato.ngram.mixture import join_parts, load_mixture, mix
from ostinato.protocols import StepModel, join, read_on, score_many

V = 6
texts = st.lists(st.integers(0, V - 1), min_size=1, max_size=40).map(lambda ids: np.array(ids, dtype=np.uint16))


TOKENIZER = SimpleNamespace(vocabulary_size=V)


def parts_of(training, window):
    base = np.arange(1, V + 1) / np.arange(1, V + 1).sum()
    return (
        fit_ngram(training, V, order=3),
        fit_ngram(training, V, order=2, smoothing="add-k"),
        fit_ngram(training, V, order=2, smoothing="maximum-likelihood"),
        UnigramCache(base, window),
    )


WEIGHTS = np.array([0.4, 0.2, 0.1, 0.3])


@given(texts, texts, st.integers(1, 12))
def test_mixture_sums_to_one_and_steps_as_it_scores(training, test, window):
    mixture = Mixture(parts_of(training, window), WEIGHTS)
    assert isinstance(mixture, StepModel)
    logits, state = mixture.step(np.array([0]), mixture.initial_state(1))
    stepped = []
    for token in test:
        np.testing.assert_allclose(np.exp(logits).sum(), 1, atol=1e-12)
        stepped.append(logits[0, token])
        before = copy.deepcopy(state)
        logits, after = mixture.step(np.array([token]), state)
        again, _ = mixture.step(np.array([token]), before)
        np.testing.assert_array_equal(again, logits)
        state = after
    np.testing.assert_allclose(np.exp(stepped), np.exp(mixture.score(test)), rtol=1e-10)


def test_cache_is_counts_of_the_window():
    cache = UnigramCache(np.full(4, 0.25), 3)
    scores = np.exp(cache.score(np.array([1, 1, 2, 3, 1, 1], dtype=np.uint16)))
    # windows: [0] [0 1] [0 1 1] [1 1 2] [1 2 3] [2 3 1]
    np.testing.assert_allclose(scores, [0.25 / 2, 1.25 / 3, 0.25 / 4, 0.25 / 4, 1.25 / 4, 1.25 / 4])


def test_rows_are_selected_in_every_part():
    mixture = Mixture(parts_of(np.array([1, 2, 3, 0], dtype=np.uint16), 4), WEIGHTS)
    _, state = mixture.step(np.array([1, 2]), mixture.initial_state(2))
    first, _ = mixture.step(np.array([2, 3]), state)
    second, _ = mixture.step(np.array([3, 2]), mixture.select(state, np.array([1, 0])))
    np.testing.assert_array_equal(first, second[::-1])


@given(texts, st.lists(texts, max_size=5), st.integers(1, 9))
def test_many_texts_score_as_each_alone(training, many, window):
    many = [*many, np.zeros(0, np.uint16)]
    *ngrams, cache = parts_of(training, window)
    with np.errstate(divide="ignore"):
        for model in (*ngrams, cache, Mixture((ngrams[0], cache), np.array([0.3, 0.7]))):
            for got, ids in zip(score_many(model, many), many, strict=True):
                np.testing.assert_array_equal(got, model.score(ids))
    assert score_many(cache, []) == score_many(ngrams[0], []) == []


@given(texts, texts, st.integers(1, 9))
def test_prompts_are_read_and_states_joined_as_by_steps(training, prompt, window):
    model = Mixture(parts_of(training, window), np.array([0.4, 0.2, 0.1, 0.3]))
    state, end = model.initial_state(1), np.zeros(1, np.int64)
    _, state = model.step(end, state)
    stepped = state
    for token in prompt:
        _, stepped = model.step(np.array([token]), stepped)
    read = read_on(model, prompt, state)
    for got, expected in zip(read, stepped, strict=True):
        np.testing.assert_array_equal(got, expected)
    both, _ = model.step(np.array([1, 2]), join(model, [state, stepped]))
    np.testing.assert_allclose(both[0], model.step(np.array([1]), state)[0][0])
    np.testing.assert_allclose(both[1], model.step(np.array([2]), stepped)[0][0])


def test_fitted_weights_are_the_likeliest():
    random = np.random.default_rng(1)
    parts = np.log(random.dirichlet(np.ones(500), size=3))
    weights = fit_weights(parts)
    best = mix(weights, parts).sum()
    assert weights.sum() == pytest.approx(1)
    for _ in range(200):
        assert mix(random.dirichlet(np.ones(3)), parts).sum() <= best + 1e-6


def test_fitting_recovers_the_weights_a_text_was_drawn_with():
    random = np.random.default_rng(2)
    distributions = random.dirichlet(np.full(50, 0.3), size=2)
    drawn = random.choice(50, size=200_000, p=np.array([0.7, 0.3]) @ distributions)
    assert fit_weights(np.log(distributions[:, drawn])) == pytest.approx([0.7, 0.3], abs=0.01)


def test_each_half_is_mixed_with_the_weights_of_the_other():
    random = np.random.default_rng(5)
    parts = np.log(random.dirichlet(np.ones(60), size=2))
    mixed = cross_fit(parts, 20)
    np.testing.assert_allclose(mixed[:20], mix(fit_weights(parts[:, 20:]), parts[:, :20]))
    np.testing.assert_allclose(mixed[20:], mix(fit_weights(parts[:, :20]), parts[:, 20:]))
    np.testing.assert_allclose(cross_fit(parts[:, :1], 0), mix(np.array([0.5, 0.5]), parts[:, :1]))


def test_an_impossible_part_gets_no_weight_and_no_nan():
    weights = fit_weights(np.array([[-np.inf, -np.inf], [-1.0, -2.0]]))
    assert weights == pytest.approx([0, 1])
    assert fit_weights(np.array([[-np.inf, -1.0], [-np.inf, -2.0]])) == pytest.approx([1, 0], abs=1e-6)
    with pytest.raises(UsageError, match="fitted on held-out text"):
        fit_weights(np.full((2, 3), -np.inf))


@pytest.mark.parametrize("weights", [[1.0], [0.5, 0.4], [1.5, -0.5]])
def test_refuses_weights(weights):
    model = fit_ngram(np.array([1, 0], dtype=np.uint16), V, order=1)
    with pytest.raises(UsageError, match="sum to 1"):
        Mixture((model, model), np.array(weights))


def test_refuses_different_vocabularies_and_empty_windows():
    ids = np.array([1, 0], dtype=np.uint16)
    with pytest.raises(UsageError, match="same vocabulary, got sizes 6, 7"):
        Mixture((fit_ngram(ids, 6, order=1), fit_ngram(ids, 7, order=1)), np.array([0.5, 0.5]))
    with pytest.raises(UsageError, match="1 token or more, got 0"):
        UnigramCache(np.ones(1), 0)


def saved(mixture):
    ngram, cache = mixture.parts
    config, tensors = join_parts([SavedPart("ngram", ngram.settings, ngram.arrays), cache_part(cache)], mixture.weights)
    return Bundle(Path("m"), json.loads(json.dumps({"kind": "mixture", "model": config})), TOKENIZER, tensors, "")


def load_part(bundle):
    assert bundle.kind == "ngram"
    return from_arrays(bundle.config["model"], bundle.tensors)


def test_a_saved_mixture_comes_back():
    training = np.array([1, 2, 3, 1, 2, 0, 1, 2, 0], dtype=np.uint16)
    mixture = Mixture((fit_ngram(training, V, order=3), UnigramCache(np.full(V, 1 / V), 5)), np.array([0.8, 0.2]))
    again = load_mixture(saved(mixture), load_part)
    np.testing.assert_array_equal(again.score(training), mixture.score(training))


@pytest.mark.parametrize("damage", ["base", "weights", "parts"])
def test_a_damaged_mixture_is_refused(damage):
    training = np.array([1, 2, 0], dtype=np.uint16)
    mixture = Mixture((fit_ngram(training, V, order=2), UnigramCache(np.full(V, 1 / V), 5)), np.array([0.8, 0.2]))
    bundle = saved(mixture)
    if damage == "base":
        bundle.tensors["1.base"] = np.ones(V)
    elif damage == "weights":
        bundle.config["model"]["weights"] = [0.5, 0.1]
    else:
        del bundle.config["model"]["parts"]
    with pytest.raises(BundleError, match=r"not a complete mixture|model\.parts cannot be None"):
        load_mixture(bundle, load_part)
