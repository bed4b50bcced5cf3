"""Whole numbers in few bytes: the exact bytes, and that nothing is lost (the page's side: test_html.py)."""

import numpy as np
import pytest

from ostinato.export.packing import ascending, mostly_ones, varints


def read(data):
    """The numbers in `varints`."""
    numbers, value, shift = [], 0, 0
    for byte in data.tolist():
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            numbers.append(value)
            value, shift = 0, 0
    return numbers


def test_the_bytes():
    assert varints(np.array([0, 1, 127, 128, 300])).tolist() == [0, 1, 127, 0x80, 1, 0xAC, 2]
    assert mostly_ones(np.array([1, 1, 5, 1, 1, 1, 1, 1, 200])).tolist() == [0b100, 0b1, 5, 0xC8, 1]
    assert ascending(np.array([3, 7, 9, 2, 200]), np.array([3, 0, 1, 1])).tolist() == [3, 4, 2, 2, 0xC8, 1]


@pytest.mark.parametrize("largest", [1, 127, 128, 1 << 20, (1 << 32) - 1])
def test_numbers_come_back(largest):
    values = np.random.default_rng(1).integers(0, largest + 1, 500, dtype=np.uint32)
    values[0] = largest
    assert read(varints(values)) == values.tolist()
    assert read(mostly_ones(values)[63:]) == values[values != 1].tolist()


def test_nothing():
    nothing = np.zeros(0, np.uint32)
    assert varints(nothing).size == mostly_ones(nothing).size == ascending(nothing, nothing).size == 0
