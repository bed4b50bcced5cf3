"""Randomness that depends on seed, row and position alone, so that any engine can reproduce it.

A row of a batch draws the same numbers whatever other rows are written beside it, and there is no generator state to
carry: number `position` of row `row` is a hash of (seed, row, position), by the finaliser of SplitMix64 (Steele, Lea
and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, figure 16). `kernels` has the same in C++.
"""

import numpy as np
import numpy.typing as npt

from ostinato.errors import UsageError
from ostinato.randomness import FIRST, GAMMA, MASK, SECOND, mix


def check_seed(seed: int) -> int:
    """`seed` if it is an integer from 0 to 2^64 - 1; raises UsageError otherwise."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= int(seed) <= MASK:
        raise UsageError(f"seed must be a whole number from 0 to 2^64 - 1, got {seed!r}")
    return int(seed)


def uniform(seed: int, row: int, position: int) -> float:
    """A number in [0, 1) with 53 random bits."""
    return (mix(mix(mix(seed) ^ row) ^ position) >> 11) * 2.0**-53


def uniforms(seed: int, rows: npt.ArrayLike, positions: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """`uniform` for arrays of rows and positions, broadcast against each other; float64 of their common shape."""
    row, position = np.broadcast_arrays(np.asarray(rows, np.uint64), np.asarray(positions, np.uint64))
    return numbers(_mix_array(np.uint64(mix(seed)) ^ row), position)


def row_key(seed: int, row: int) -> int:
    """What the numbers of one row depend on: `numbers(row_key(seed, row), positions)` = `uniforms(seed, row, ...)`."""
    return mix(mix(seed) ^ row)


def numbers(keys: npt.ArrayLike, positions: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Numbers in [0, 1) of rows with these keys at these positions, broadcast against each other; float64."""
    mixed = _mix_array(np.asarray(keys, np.uint64) ^ np.asarray(positions, np.uint64))
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix_array(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    z = np.atleast_1d(z) + np.uint64(GAMMA)
    z = (z ^ z >> np.uint64(30)) * np.uint64(FIRST)
    z = (z ^ z >> np.uint64(27)) * np.uint64(SECOND)
    return z ^ z >> np.uint64(31)
