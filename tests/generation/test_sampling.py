"""The sampling chain against a plain loop over numbers, written from its documented order alone."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import GenerationError, UsageError
from ostinato.generation.random import uniforms
from ostinato.generation.sampling import Sampler


def plain_loop(logits, u, recent, sampler):
    """The documented chain for one row, in the words of a C++ programmer; returns (weights, id)."""
    z = [float(x) for x in logits]
    if sampler.repetition_penalty != 1 and sampler.recent:
        for i in set(recent):
            z[i] -= math.log(sampler.repetition_penalty)
    if sampler.temperature == 0:
        best = 0
        for i in range(len(z)):
            if z[i] > z[best]:
                best = i
        return [float(i == best) for i in range(len(z))], best
    z = [x / sampler.temperature for x in z]
    top = max(z)
    w = [float(np.exp(np.float64(x - top))) for x in z]
    if sampler.top_k and sampler.top_k < len(w):
        order = sorted(range(len(w)), key=lambda i: (-w[i], i))
        for i in order[sampler.top_k :]:
            w[i] = 0.0
    if sampler.top_p < 1:
        total = 0.0
        for x in w:
            total += x
        seen, kept = 0.0, set()
        for i in sorted(range(len(w)), key=lambda i: (-w[i], i)):
            if seen >= sampler.top_p * total:
                break
            kept.add(i)
            seen += w[i]
        w = [x if i in kept else 0.0 for i, x in enumerate(w)]
    if sampler.min_p > 0:
        top = max(w)
        w = [x if x >= sampler.min_p * top else 0.0 for x in w]
    total = 0.0
    for x in w:
        total += x
    seen = 0.0
    for i, x in enumerate(w):
        seen += x
        if seen > u * total:
            return w, i
    raise AssertionError("no id")


SAMPLERS = st.builds(
    Sampler,
    temperature=st.sampled_from([0, 0.3, 1, 2.5]),
    top_k=st.sampled_from([0, 1, 3, 100]),
    top_p=st.sampled_from([0.1, 0.5, 0.9, 1]),
    min_p=st.sampled_from([0, 0.05, 0.5, 1]),
    repetition_penalty=st.sampled_from([0.5, 1, 1.3]),
)


@settings(max_examples=150, deadline=None)
@given(st.data(), SAMPLERS, st.integers(2, 12), st.integers(0, 1000))
def test_the_chain_is_the_documented_one(data, sampler, size, seed):
    logit = st.one_of(st.floats(-20, 20, width=32), st.sampled_from([0.0, 1.0, -math.inf]))
    logits = np.array([data.draw(st.lists(logit, min_size=size, max_size=size)) for _ in range(2)], np.float32)
    logits[:, data.draw(st.integers(0, size - 1))] = 0.5
    recent = [data.draw(st.lists(st.integers(0, size - 1), max_size=5)) for _ in range(2)]
    u = uniforms(seed, [0, 1], 0)
    got_weights, got_ids = sampler.weigh(logits, recent), sampler(logits, u, recent)
    for row in range(2):
        weights, chosen = plain_loop(logits[row], u[row], recent[row], sampler)
        assert got_weights[row].tolist() == weights
        assert got_ids[row] == chosen


def test_the_defaults_draw_from_the_model():
    logits = np.log(np.array([[0.5, 0.2, 0.3, 0.0]]), where=[[True, True, True, False]], out=np.full((1, 4), -np.inf))
    u = uniforms(3, np.arange(20000), 0)
    drawn = Sampler()(np.repeat(logits, len(u), axis=0), u)
    assert np.bincount(drawn, minlength=4) / len(u) == pytest.approx([0.5, 0.2, 0.3, 0], abs=0.012)


def test_ties_go_to_the_lower_id():
    logits = np.zeros((1, 6))
    assert np.flatnonzero(Sampler(top_k=2).weigh(logits)).tolist() == [0, 1]
    assert np.flatnonzero(Sampler(top_p=0.5).weigh(logits)).tolist() == [0, 1, 2]
    assert Sampler(temperature=0)(logits, np.array([0.9])).tolist() == [0]


def test_the_largest_number_below_one_draws_the_last_allowed_id():
    logits = np.log(np.array([[1.0, 3.0, 0.1, 1e-300]]))
    logits[0, 3] = -np.inf
    assert Sampler()(logits, np.array([1 - 2.0**-53])).tolist() == [2]
    assert Sampler()(logits, np.array([0.0])).tolist() == [0]


def test_a_repetition_penalty_divides_the_probability_wherever_logits_have_their_zero():
    sampler = Sampler(repetition_penalty=4)
    for shift in (-50, 0, 50):
        weights = sampler.weigh(np.log(np.array([[0.4, 0.6]])) + shift, [[1, 1]])
        assert weights[0] / weights.sum() == pytest.approx([0.4 / 0.55, 0.15 / 0.55])


def test_huge_and_tiny_logits_stay_finite():
    weights = Sampler(temperature=0.001).weigh(np.array([[1e4, -1e4, 9.9e3]], np.float32))
    assert weights.tolist() == [[1, 0, 0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1}, "temperature must be 0 or more, got -1"),
        ({"temperature": math.nan}, "temperature must be 0 or more, got nan"),
        ({"temperature": math.inf}, "temperature must be 0 or more, got inf"),
        ({"top_k": -2}, "top_k must be a whole number, 0 or more, got -2"),
        ({"top_k": 1.5}, "top_k must be a whole number, 0 or more, got 1.5"),
        ({"top_p": 0}, "top_p must be above 0 and at most 1, got 0"),
        ({"top_p": 1.5}, "top_p must be above 0 and at most 1, got 1.5"),
        ({"min_p": -0.1}, "min_p must be between 0 and 1, got -0.1"),
        ({"repetition_penalty": 0}, "repetition_penalty must be above 0, got 0"),
        ({"recent": -1}, "recent must be a whole number, 0 or more, got -1"),
    ],
)
def test_values_out_of_range_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        Sampler(**options)


def test_nothing_allowed_and_nonsense_are_errors():
    with pytest.raises(GenerationError, match="the request allows no token"):
        Sampler().weigh(np.full((1, 3), -np.inf))
    for temperature in (0, 1):
        with pytest.raises(GenerationError, match="not finite numbers"):
            Sampler(temperature=temperature).weigh(np.array([[0.0, np.nan]]))


def test_bias_and_penalties_are_taken_off_the_logits():
    logits = np.array([[0.5, 1.0, -2.0, 0.0], [0.5, 1.0, -2.0, 0.0]])
    sampler = Sampler(bias=((2, 3.0), (3, -1.0)), presence_penalty=0.5, frequency_penalty=0.25)
    shifted = np.array([[0.5, 1.0 - 0.5 - 0.75, 1.0, -1.0], [0.5 - 0.5 - 0.25, 1.0, 1.0, -1.0]])
    found = sampler.weigh(logits, drawn=[[1, 1, 1], [0]])
    np.testing.assert_allclose(found, np.exp(shifted - shifted.max(axis=1, keepdims=True)), rtol=1e-14)
    assert Sampler(bias=((0, 1.0),)).shifts
    assert not Sampler(temperature=0.3, repetition_penalty=2).shifts
    with pytest.raises(UsageError, match="bias of id 3"):
        Sampler(bias=((3, math.nan),))
    with pytest.raises(UsageError, match="presence_penalty"):
        Sampler(presence_penalty=math.inf)
