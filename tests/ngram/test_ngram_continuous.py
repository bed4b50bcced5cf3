import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.bundle import Bundle
from ostinato.errors import BundleError, UsageError
from ostinato.ngram import Mixture, SavedPart, UnigramCache, cache_part
from ostinato.ngram.continuous import ContinuousCache, HiddenStates
from ostinato.ngram.mixture import continuous_part, join_parts, load_mixture
from ostinato.protocols import StepModel

V, H = 5, 3


class Elman:
    """A tiny network in NumPy: h = tanh(a[token] + w h), logits = o h."""

    vocabulary_size = V

    def __init__(self, seed=0):
        random = np.random.default_rng(seed)
        self.a, self.w, self.o = (random.normal(size=shape) for shape in ((V, H), (H, H), (V, H)))

    def initial_state(self, batch):
        return np.zeros((batch, H))

    def step(self, ids, state):
        h = np.tanh(self.a[ids] + state @ self.w.T)
        return h @ self.o.T, h

    def select(self, state, rows):
        return state[rows]

    def hidden(self, state):
        return state

    def read(self, ids):
        z, state = self.step(np.array([0]), self.initial_state(1))
        scores, hidden = [], []
        for token in ids:
            scores.append(z[0, token] - np.log(np.exp(z[0]).sum()))
            hidden.append(state[0])
            z, state = self.step(np.array([token]), state)
        return np.array(scores), np.array(hidden, np.float32)

    def score(self, ids):
        return self.read(ids)[0]


texts = st.lists(st.integers(0, V - 1), min_size=1, max_size=40)


@given(texts, st.integers(1, 9), st.floats(0, 3), st.floats(0, 1))
def test_it_steps_as_it_scores_and_sums_to_one(ids, window, flatness, share):
    model = ContinuousCache(Elman(), window, flatness, share)
    assert isinstance(model, StepModel)
    assert isinstance(Elman(), HiddenStates)
    ids = np.array(ids, dtype=np.uint16)
    logits, state = model.step(np.array([0]), model.initial_state(1))
    stepped = []
    for token in ids:
        assert np.exp(logits).sum() == pytest.approx(1, abs=1e-9)
        stepped.append(np.exp(logits[0, token]))
        logits, state = model.step(np.array([token]), state)
    np.testing.assert_allclose(np.exp(model.score(ids)), stepped, rtol=1e-4, atol=1e-9)


def test_it_is_the_paper_s_equation():
    network, ids = Elman(), [1, 2, 1, 3]
    model = ContinuousCache(network, 10, 0.7, 1.0)
    hidden, state = [], network.initial_state(1)
    for token in [0, *ids]:
        _, state = network.step(np.array([token]), state)
        hidden.append(state[0])
    expected = np.zeros(V)
    for i, token in enumerate(ids):
        expected[token] += np.exp(0.7 * hidden[4] @ hidden[i])
    logits, state = model.step(np.array([0]), model.initial_state(1))
    for token in ids:
        logits, state = model.step(np.array([token]), state)
    np.testing.assert_allclose(np.exp(logits[0]), expected / expected.sum(), rtol=1e-5)


class Loud(Elman):
    """The same network with features three times as large."""

    def hidden(self, state):
        return 3 * super().hidden(state)

    def read(self, ids):
        scores, hidden = super().read(ids)
        return scores, 3 * hidden


def test_features_of_length_one_do_not_depend_on_their_scale():
    ids = np.random.default_rng(1).integers(0, V, 60).astype(np.uint16)
    quiet, loud = (ContinuousCache(network, 20, 2.0, 0.5, unit=True) for network in (Elman(), Loud()))
    np.testing.assert_allclose(quiet.score(ids), loud.score(ids), rtol=1e-5)
    logits, state = loud.step(np.array([0]), loud.initial_state(1))
    for token, score in zip(ids, loud.score(ids), strict=True):
        assert logits[0, token] == pytest.approx(score, rel=1e-4)
        logits, state = loud.step(np.array([token]), state)
    raw = [ContinuousCache(network, 20, 2.0, 0.5).score(ids) for network in (Elman(), Loud())]
    assert np.abs(raw[0] - raw[1]).max() > 0.01


def test_without_a_share_it_is_the_model():
    ids = np.array([1, 2, 3, 0, 1], dtype=np.uint16)
    np.testing.assert_allclose(ContinuousCache(Elman(), 3, 1.0, 0.0).score(ids), Elman().score(ids))


def test_long_texts_are_read_in_blocks():
    ids = np.random.default_rng(1).integers(0, V, 700).astype(np.uint16)
    whole, single = ContinuousCache(Elman(), 60, 0.5, 0.4), []
    logits, state = whole.step(np.array([0]), whole.initial_state(1))
    for token in ids:
        single.append(logits[0, token])
        logits, state = whole.step(np.array([token]), state)
    np.testing.assert_allclose(whole.score(ids), single, rtol=1e-4)


def test_rows_are_selected():
    model = ContinuousCache(Elman(), 4, 1.0, 0.5)
    fresh = model.select(model.initial_state(2), np.array([1]))
    _, state = model.step(np.array([1, 2]), model.initial_state(2))
    _, state = model.step(np.array([2, 3]), state)
    first, _ = model.step(np.array([2, 3]), state)
    second, _ = model.step(np.array([3, 2]), model.select(state, np.array([1, 0])))
    np.testing.assert_allclose(first, second[::-1])
    assert fresh[2].shape == (1, 4)


@pytest.mark.parametrize("values", [(0, 1.0, 0.5), (1, -1.0, 0.5), (1, 1.0, 1.5)])
def test_refuses_values(values):
    with pytest.raises(UsageError, match="a continuous cache needs"):
        ContinuousCache(Elman(), *values)


def test_it_is_saved_within_a_mixture():
    model = ContinuousCache(Elman(7), 4, 0.5, 0.25, unit=True)
    part = continuous_part(model, SavedPart("recurrent", {"vocabulary_size": V}, {"seed": np.array([7])}))
    cache = UnigramCache(np.full(V, 1 / V), 3)
    mixture = Mixture((model, cache), np.array([0.9, 0.1]))
    config, tensors = join_parts([part, cache_part(cache)], mixture.weights)
    tokenizer = SimpleNamespace(vocabulary_size=config["vocabulary_size"])
    bundle = Bundle(Path("m"), json.loads(json.dumps({"kind": "mixture", "model": config})), tokenizer, tensors, "")
    again = load_mixture(bundle, lambda inner: Elman(int(inner.tensors["seed"][0])))
    ids = np.array([1, 2, 3, 0, 1], dtype=np.uint16)
    np.testing.assert_array_equal(again.score(ids), mixture.score(ids))
    del config["parts"][0]["model"]["unit"]  # as an older version wrote it
    older = Bundle(Path("m"), {"kind": "mixture", "model": config}, tokenizer, tensors, "")
    assert not load_mixture(older, lambda inner: Elman(7)).parts[0].unit
    with pytest.raises(BundleError, match="shows no hidden states"):
        load_mixture(bundle, lambda inner: cache)
