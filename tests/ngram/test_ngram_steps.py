"""The compiled step of n-gram models, and its twin."""

import numpy as np
import pytest

from ostinato.ngram import fit_ngram
from ostinato.protocols import END_OF_DOCUMENT

V = 30


@pytest.mark.parametrize("smoothing", ["kneser-ney", "add-k", "maximum-likelihood"])
@pytest.mark.parametrize("order", [1, 2, 5])
def test_both_give_the_same_bits(smoothing, order):
    numbers = np.random.default_rng(order)
    ids = (numbers.integers(0, V, 3000) * numbers.integers(0, 2, 3000)).astype(np.uint16)
    model = fit_ngram(ids, V, order=order, smoothing=smoothing)
    state = twin_state = model.initial_state(3)
    for read in [np.full(3, END_OF_DOCUMENT), *ids[:120].reshape(-1, 3), *numbers.integers(0, V, (40, 3))]:
        scores, state = model.step(read, state)
        with np.errstate(divide="ignore"):
            expected, twin_state = model._step(read.astype(np.int64), twin_state)
        np.testing.assert_array_equal(scores, expected)
        np.testing.assert_array_equal(state, twin_state)


def test_large_vocabularies_have_wider_words():
    ids = np.random.default_rng(1).integers(1, 70_000, 4000).astype(np.uint32)
    model = fit_ngram(ids, 70_000, order=3)
    read = ids[:2].astype(np.int64)
    scores, state = model.step(read, model.initial_state(2))
    expected, twin_state = model._step(read, model.initial_state(2))
    np.testing.assert_array_equal(scores, expected)
    np.testing.assert_array_equal(state, twin_state)
