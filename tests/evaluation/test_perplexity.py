import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import TextError
from ostinato.evaluation import Evaluation, baselines, combine, evaluate, from_log_probabilities


class Fixed:
    """A model that gives every text the same probabilities, by id."""

    def __init__(self, probabilities):
        with np.errstate(divide="ignore"):
            self.log = np.log(np.array(probabilities))

    def score(self, ids):
        return self.log[ids]


def test_a_worked_example():
    # P = 1/2 · 1/4 · 1/4 over 3 tokens and 5 characters: 5 bits
    got = evaluate(Fixed([0.5, 0.25, 0.25]), np.array([0, 1, 2], np.uint16), characters=5)
    assert got.nats == pytest.approx(5 * math.log(2))
    assert got.bits_per_character == pytest.approx(1)
    assert got.perplexity == pytest.approx(2 ** (5 / 3))
    assert got.split == "held-out"
    assert str(got) == "held-out: perplexity 3.17 per token, 1.000 bits per character (3 tokens, 5 characters)"
    html = got._repr_html_()
    assert '<th align="left">perplexity per token</th><td align="right">3.17</td>' in html
    assert "<caption>held-out</caption>" in html


def test_an_impossible_token_is_infinitely_surprising_and_never_nan():
    got = evaluate(Fixed([1.0, 0.0]), np.array([0, 1, 0]), characters=3)
    assert got.perplexity == got.bits_per_character == got.nats_per_token == math.inf
    assert (got + got).perplexity == math.inf
    assert json.loads(json.dumps(got.to_json(), allow_nan=False))["perplexity"] is None


def test_a_huge_cost_is_infinite_perplexity_not_an_error():
    got = Evaluation(nats=1e6, tokens=1, characters=1)
    assert got.perplexity == math.inf
    assert got.nats_per_token == 1e6


def test_certainty_costs_nothing():
    got = from_log_probabilities(np.zeros(4), 4)
    assert math.copysign(1, got.nats) == 1
    assert got.perplexity == 1


@given(st.lists(st.tuples(st.floats(0, 1e3), st.integers(1, 50), st.integers(1, 50)), min_size=1, max_size=6))
def test_combining_weighs_by_tokens(parts):
    total = combine([Evaluation(*part) for part in parts])
    assert total.nats_per_token == pytest.approx(sum(p[0] for p in parts) / sum(p[1] for p in parts))
    assert total.bits_per_character == pytest.approx(sum(p[0] for p in parts) / sum(p[2] for p in parts) / math.log(2))


def test_long_float32_sums_are_added_in_float64():
    log = np.full(2_000_000, -0.1, np.float32)
    assert from_log_probabilities(log, 1).nats_per_token == pytest.approx(float(np.float32(0.1)), rel=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Evaluation(0.0, 0, 3), "nothing to measure in the held-out text: 0 tokens, 3 characters"),
        (lambda: Evaluation(0.0, 3, 0, "training"), "nothing to measure in the training text"),
        (lambda: from_log_probabilities(np.array([-1.0, np.nan]), 2), "no numbers on the held-out text"),
        (lambda: Evaluation(1, 1, 1) + Evaluation(1, 1, 1, "training"), "two splits cannot be added: held-out and tra"),
        (lambda: combine([]), "no evaluations to combine"),
        (lambda: baselines.uniform(np.array([5]), 5, 1), "token id 5 is outside the vocabulary of 5"),
        (lambda: baselines.unigram(np.array([9]), np.array([1]), 5, 1), "token id 9 is outside the vocabulary of 5"),
        (lambda: baselines.uniform(np.array([0]), 0, 1), "at least one token, got 0"),
    ],
)
def test_what_cannot_be_measured_says_so(make, message):
    with pytest.raises(TextError, match=message):
        make()


def test_baselines():
    ids = np.array([0, 1, 1, 2], np.uint16)
    assert baselines.uniform(ids, 4, 4).perplexity == pytest.approx(4)
    assert baselines.uniform(ids, 4, 4).bits_per_character == pytest.approx(2)
    # counts 3, 1, 0, 0 and one each: 4/8, 2/8, 1/8, 1/8
    got = baselines.unigram(np.array([0, 0, 1, 0], np.uint16), ids, 4, 4, "training")
    assert got.nats == pytest.approx(-math.log(4 / 8 * (2 / 8) ** 2 * 1 / 8))
    assert got.split == "training"


def test_the_unigram_beats_the_uniform_on_what_it_counted():
    ids = np.random.default_rng(0).geometric(0.4, 5000).clip(max=19)
    assert baselines.unigram(ids, ids, 20, 5000).perplexity < baselines.uniform(ids, 20, 5000).perplexity


def test_a_perplexity_beyond_all_bounds_is_said_so():
    from ostinato.evaluation import figure, perplexity

    assert perplexity(0.0) == 1.0
    assert [perplexity(loss) for loss in (691.0, 1e300, math.inf)] == [math.inf] * 3
    assert [figure(value) for value in (None, math.inf, 2.0, 1234.567, 1e12)] == [
        "over 1e300", "over 1e300", "2.00", "1,234.57", "1.00e+12"
    ]  # fmt: skip
