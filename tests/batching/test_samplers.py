"""Minibatches against the definitions of the lessons, on the integers 0..29 and on random sizes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.batching import Shuffle, minibatches
from ostinato.errors import TextError, UsageError

NUMBERS = np.arange(30, dtype=np.uint16)


def test_consecutive_rows_continue_each_other():
    batches = list(minibatches("consecutive", NUMBERS, batch_size=2, window=6))
    assert len(batches) == 2
    assert batches[0][0].tolist() == [[0, 1, 2, 3, 4, 5], [15, 16, 17, 18, 19, 20]]
    assert batches[1][0].tolist() == [[6, 7, 8, 9, 10, 11], [21, 22, 23, 24, 25, 26]]
    assert all((y == x + 1).all() for x, y in batches)


def test_random_pieces_do_not_overlap_and_cover_the_text():
    epoch = minibatches("random", NUMBERS, batch_size=2, window=6, seed=3)
    assert not epoch.carries_state
    starts = sorted(int(row[0]) for x, _ in epoch for row in x)
    assert starts == [0, 6, 12, 18]
    assert all((y == x + 1).all() for x, y in epoch)


def test_windows_start_everywhere():
    epoch = minibatches("windows", NUMBERS, batch_size=1, window=6, seed=3)
    assert sorted(int(x[0, 0]) for x, _ in epoch) == list(range(24))
    strided = minibatches("windows", NUMBERS, batch_size=1, window=6, stride=5)
    assert sorted(int(x[0, 0]) for x, _ in strided) == [0, 5, 10, 15, 20]


def test_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        return [x.tolist() for x, _ in minibatches("random", NUMBERS, batch_size=1, window=2, seed=seed, epoch=epoch)]

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


def test_any_position_can_be_asked_for():
    epoch = minibatches("random", NUMBERS, batch_size=2, window=3, seed=5)
    assert all((epoch[k][0] == x).all() for k, (x, _) in enumerate(epoch))
    with pytest.raises(IndexError, match="minibatch 4 of 4"):
        epoch[len(epoch)]


@pytest.mark.parametrize("sampling", ["random", "consecutive", "windows"])
def test_too_short_a_text_says_what_is_needed(sampling):
    needed = {"random": 8 * 2, "consecutive": 9 * 2, "windows": 9 + 1}[sampling] + (sampling == "random")
    with pytest.raises(TextError, match=rf"too short: {needed - 1} tokens.*needs {needed};"):
        minibatches(sampling, np.zeros(needed - 1, np.uint16), batch_size=2, window=8)
    assert len(minibatches(sampling, np.zeros(needed, np.uint16), batch_size=2, window=8)) == 1


def test_unknown_sampling_is_refused():
    with pytest.raises(UsageError, match="unknown sampling 'adjacent'"):
        minibatches("adjacent", NUMBERS, batch_size=2, window=6)


@given(st.integers(1, 3000), st.integers(0, 2**40))
def test_shuffle_is_a_permutation(n, seed):
    assert sorted(Shuffle(n, seed)[np.arange(n)]) == list(range(n))


def test_shuffle_of_a_billion_needs_no_memory_and_spreads():
    values = Shuffle(10**9, 1)[np.arange(10_000)]
    assert len(set(values.tolist())) == 10_000
    assert abs(values.mean() / 1e9 - 0.5) < 0.02
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.05


@given(
    st.integers(1, 5),
    st.integers(1, 7),
    st.integers(1, 4),
    st.integers(40, 200),
    st.sampled_from(["random", "windows"]),
)
def test_every_target_is_the_next_token(batch_size, window, stride, length, sampling):
    ids = np.random.default_rng(length).integers(0, 1000, length).astype(np.uint16)
    for x, y in minibatches(sampling, ids, batch_size=batch_size, window=window, stride=stride):
        assert x.shape == y.shape == (batch_size, window)
        assert (x[:, 1:] == y[:, :-1]).all()
