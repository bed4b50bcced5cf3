"""Reading the lines of an ARPA file, many at once.

Where a block of lines is as plain as `write_arpa` makes them, all its numbers and words are taken together.
"""

from collections.abc import Mapping
from itertools import repeat

import numpy as np
import numpy.typing as npt

from ostinato.kernels.ngram import Nodes
from ostinato.ngram.arpa_lines import NEVER, Floats

Eights = npt.NDArray[np.uint64]
Block = tuple[npt.NDArray[np.int64], Floats, Floats]
"""n-grams (N, n + 1), their probabilities (N,) and backoff weights (N,)."""

BEGIN_ID = -1
"""What `<s>` is in the vocabulary of `plain_lines`."""
LARGEST = 300.0
"""Logarithms above this are taken for damage."""

_TAB, _NEWLINE, _BLANK = b"\t\n "
_EIGHT = 8
_MASKS = np.array([(1 << 8 * size) - 1 for size in range(_EIGHT + 1)], np.uint64)
_MIX = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9], np.uint64)


class Words:
    """Words of a text as ids, many at once: a hash table whose entries are compared by their first 16 bytes."""

    def __init__(self, ids: Mapping[bytes, int]) -> None:
        words = [word for word in ids if len(word) <= 2 * _EIGHT]
        sizes = np.fromiter(map(len, words), np.int64, len(words))
        heads, tails = _sixteen(b"".join(words), np.cumsum(sizes) - sizes, sizes)
        self._shift = np.uint64(64 - (4 * len(words)).bit_length())
        buckets = self._bucket(heads, tails)
        order = np.argsort(buckets, kind="stable")
        self._heads, self._tails, self._sizes = heads[order], tails[order], sizes[order]
        self._ids = np.fromiter(map(ids.__getitem__, words), np.int64, len(words))[order]
        self._begins = np.searchsorted(buckets[order], np.arange((1 << 64 - int(self._shift)) + 1))
        self._long = {word: number for word, number in ids.items() if len(word) > 2 * _EIGHT}

    def find(self, data: bytes, starts: Nodes, sizes: Nodes) -> Nodes:
        """Ids of the words of `data` at `starts`, `sizes` bytes long: (B,) each. Raises KeyError for an unknown one."""
        heads, tails = _sixteen(data, starts, sizes)
        buckets = self._bucket(heads, tails)
        at, stop = self._begins[buckets], self._begins[buckets + 1]
        result = np.zeros(len(starts), np.int64)
        pending = np.flatnonzero(sizes <= 2 * _EIGHT)
        for row in np.flatnonzero(sizes > 2 * _EIGHT).tolist():
            result[row] = self._long[data[starts[row] : starts[row] + sizes[row]]]
        while len(pending):
            places = at[pending]
            if np.any(places >= stop[pending]):
                raise KeyError
            same = (
                (self._heads[places] == heads[pending])
                & (self._tails[places] == tails[pending])
                & (self._sizes[places] == sizes[pending])
            )
            result[pending[same]] = self._ids[places[same]]
            pending = pending[~same]
            at[pending] += 1
        return result

    def _bucket(self, heads: Eights, tails: Eights) -> Nodes:
        buckets: Nodes = (((heads ^ (tails * _MIX[0])) * _MIX[1]) >> self._shift).astype(np.int64)
        return buckets


def _sixteen(data: bytes, starts: Nodes, sizes: Nodes) -> tuple[Eights, Eights]:
    """The first and the second 8 bytes of the words at `starts`, as integers, zeros after their end."""
    padded = data + bytes(3 * _EIGHT)
    eights = np.ndarray(len(data) + 2 * _EIGHT, "<u8", padded, strides=(1,))
    sizes = np.minimum(sizes, 2 * _EIGHT)
    heads = eights[starts] & _MASKS[np.minimum(sizes, _EIGHT)]
    return heads, eights[starts + _EIGHT] & _MASKS[np.maximum(sizes - _EIGHT, 0)]


def plain_lines(data: bytes, count: int, n: int, known: Words) -> Block | None:
    """The `count` n-grams of level n >= 1 in `data`, one a line; None where a look at each line must say what they are.

    known: the ids of words: 0 for `</s>`, BEGIN_ID for `<s>`, which is 0 in the result.
    """
    text = np.frombuffer(data, np.uint8)
    places = np.flatnonzero(text <= _BLANK)  # and control characters, which are not plain
    breaks = text[places]
    ends = np.flatnonzero(breaks == _NEWLINE)
    sizes = np.diff(places, prepend=-1) - 1  # of the field before each break
    if len(ends) != count or ends[-1] != len(breaks) - 1 or not np.all(sizes):
        return None
    firsts = np.concatenate([[0], ends[:-1] + 1])
    weighted = ends - firsts == n + 2
    plain = np.full(len(breaks), _BLANK, np.uint8)
    plain[firsts], plain[ends[weighted] - 1], plain[ends] = _TAB, _TAB, _NEWLINE
    if not (np.array_equal(breaks, plain) and np.all(weighted | (ends - firsts == n + 1))):
        return None
    is_number = np.zeros(len(breaks), bool)
    is_number[firsts], is_number[ends[weighted]] = True, True
    is_word = np.flatnonzero(~is_number)
    powers = np.ones(len(breaks))
    try:
        grams = known.find(data, places[is_word] - sizes[is_word], sizes[is_word]).reshape(count, n + 1)
        powers[is_number] = _powers(text[np.repeat(is_number, sizes + 1)].tobytes().split())
    except (KeyError, ValueError):
        return None
    if np.any(grams[:, 1:] == BEGIN_ID) or not np.all(grams[:, :-1]):
        return None
    return np.maximum(grams, 0), powers[firsts], powers[ends]


def _powers(fields: list[bytes]) -> Floats:
    """10 to these numbers; by Python, whose power is the same on every machine. Raises ValueError for what is none."""
    exponents = list(map(float, fields))
    values = np.array(exponents)
    if not np.all((values <= LARGEST) & (values > -np.inf)):
        raise ValueError
    powers: Floats = np.fromiter(map(pow, repeat(10.0), exponents), np.float64, len(exponents))
    powers[values <= NEVER] = 0
    return powers
