"""Whole numbers in few bytes, for a page: counts of n-grams are mostly 1, and words of a context lie close together."""

from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[Any]


def varints(values: Numbers) -> Bytes:
    """Each number (not negative) in as many bytes as it needs: seven bits a byte, the lowest first, and the top bit set
    where more follow (LEB128)."""
    rest: Numbers = values.astype(np.uint64)
    here = np.ones(len(rest), bool)
    columns, kept = [], []
    while here.any():
        more = rest > 127
        columns.append((rest & 127).astype(np.uint8) | (more.astype(np.uint8) << 7))
        kept.append(here)
        rest, here = rest >> 7, here & more
    return np.stack(columns, 1)[np.stack(kept, 1)] if columns else np.zeros(0, np.uint8)


def mostly_ones(values: Numbers) -> Bytes:
    """A bit for each number, set where it is not 1 (the lowest bit of a byte first), and then `varints` of those."""
    others = values != 1
    return np.concatenate([np.packbits(others, bitorder="little"), varints(values[others])])


def ascending(values: Numbers, runs: Numbers) -> Bytes:
    """`varints` of numbers that ascend within each run: the first of a run as it is, of the others how much larger each
    is than the one before. runs: how long they are."""
    whole = values.astype(np.int64)
    steps = np.diff(whole, prepend=0)
    first = (np.cumsum(runs) - runs)[runs > 0].astype(np.int64)
    steps[first] = whole[first]
    return varints(steps)
