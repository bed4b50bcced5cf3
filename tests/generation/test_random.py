import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import UsageError
from ostinato.generation.random import check_seed, mix, uniform, uniforms

WORD = st.integers(0, 2**64 - 1)


def test_the_published_sequence_of_splitmix64():
    # state 0: the first outputs of the reference implementation (prng.di.unimi.it/splitmix64.c)
    gamma = 0x9E3779B97F4A7C15
    assert [mix(n * gamma % 2**64) for n in range(3)] == [
        0xE220A8397B1DCDAF,
        0x6E789E6AA1B965F4,
        0x06C45D188009454F,
    ]


@given(WORD, WORD, WORD)
def test_arrays_and_numbers_agree(seed, row, position):
    assert uniforms(seed, [row], [position])[0] == uniform(seed, row, position)


def test_arrays_are_broadcast():
    got = uniforms(7, np.arange(3)[:, None], np.arange(5))
    assert got.shape == (3, 5)
    assert got.dtype == np.float64
    assert got[2, 4] == uniform(7, 2, 4)


def test_numbers_are_spread_evenly():
    u = uniforms(1, np.arange(100)[:, None], np.arange(1000)).ravel()
    assert u.min() >= 0
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < 0.005
    counts = np.histogram(u, bins=20, range=(0, 1))[0]
    assert np.abs(counts - 5000).max() < 350  # 5 standard deviations
    assert len(np.unique(u)) == len(u)
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 0.02


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "7", None, True])
def test_a_seed_that_is_none_is_refused(seed):
    with pytest.raises(UsageError, match=r"seed must be a whole number from 0 to 2\^64 - 1, got"):
        check_seed(seed)


def test_any_whole_number_of_64_bits_is_a_seed():
    assert check_seed(2**64 - 1) == 2**64 - 1
    assert check_seed(np.int64(3)) == 3
