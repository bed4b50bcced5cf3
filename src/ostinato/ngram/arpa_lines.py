"""Lines of an ARPA file, many at once.

To write, numbers are set in type by NumPy, and lines gathered from their pieces. To read, a block of lines is looked at
as a whole: where it is as plain as these writers make it, all its numbers and words are taken together.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.kernels.ngram import Nodes

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Eights = npt.NDArray[np.uint64]
Block = tuple[npt.NDArray[np.int64], Floats, Floats]
"""n-grams (N, n + 1), their probabilities (N,) and backoff weights (N,)."""

NEVER = -99.0
"""What ARPA writes for the logarithm of 0."""
BEGIN_ID = -1
"""What `<s>` is in the vocabulary of `plain_lines`."""
LARGEST = 300.0
"""Logarithms above this are taken for damage."""

_TAB, _NEWLINE, _BLANK = b"\t\n "
_EIGHT = 8
_MASKS = np.array([(1 << 8 * size) - 1 for size in range(_EIGHT + 1)], np.uint64)
_MIX = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9], np.uint64)
_WIDTH = 16
"""Bytes of a number's row: what stands before it, and at most 15 of its own."""
_LOWEST, _HIGHEST = -4, 2
"""Powers of ten between which `%.7g` writes no exponent; above, as far as logarithms go."""
_DIGITS = 7
_PREFIX = 8
"""Its first bytes, right-aligned: what stands before the number, its sign, and the zeros before its first digit."""
_POWERS = [10.0**e for e in range(_LOWEST + 1, _HIGHEST + 1)]
_SCALES = np.array([10.0 ** (_DIGITS - 1 - e) for e in range(_LOWEST, _HIGHEST + 1)])
_LEADS = [b"0." + b"0" * (-e - 1) if e < 0 else b"" for e in range(_LOWEST, _HIGHEST + 1)]
_THOUSANDS = np.array([list(b"%04d" % n) for n in range(10_000)], np.uint8)
_ZEROS = np.array([len(text) - len(text.rstrip("0")) for text in (f"{n:04d}" for n in range(10_000))])


def numbers(values: Floats, before: bytes) -> tuple[Bytes, npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """`before` and the text of `%.7g` for each of `values` (N,): rows (N, 16) that hold them, where in its row each
    begins, and how long it is, (N,).

    Digits come from one multiplication by a power of ten, which is off by less than 2e-9 of the last of them; values so
    close to the middle between two numbers of seven digits, and those of other magnitudes, are left to Python.
    """
    size = np.abs(values)
    power = np.zeros(len(values), np.intp)
    for threshold in _POWERS:
        power += size >= threshold
    scaled = size * _SCALES[power]
    digits = np.rint(scaled)
    regular = (size >= 10.0**_LOWEST) & (digits < 10**_DIGITS) & (np.abs(np.abs(scaled - digits) - 0.5) > 1e-8)
    upper, lower = np.divmod(np.where(regular, digits, 0).astype(np.int32), 1000)
    trailing = np.where(lower > 0, _ZEROS[lower], np.minimum(_ZEROS[upper], 3) + 3)
    whole = np.maximum(power + _LOWEST + 1, 0)  # digits before the point; they stay though they are zeros
    kept = np.maximum(_DIGITS - trailing, whole)
    leads, lead_lengths = _leads(before)
    lead = 2 * power + np.signbit(values)
    rows = np.empty((len(values), _WIDTH), np.uint8)
    rows[:, :_PREFIX] = leads[lead]
    rows[:, _PREFIX : _PREFIX + 4], rows[:, _PREFIX + 4 : -1] = _THOUSANDS[upper], _THOUSANDS[lower, 1:]
    for point in range(1, _HIGHEST + 2):  # moves the digits after it on
        behind = np.flatnonzero(whole == point)
        rows[behind, _PREFIX + point + 1 :] = rows[behind, _PREFIX + point : -1]
        rows[behind, _PREFIX + point] = ord(".")
    begins = _PREFIX - lead_lengths[lead]
    lengths = lead_lengths[lead] + kept + ((whole > 0) & (kept > whole))
    for row in np.flatnonzero(~regular).tolist():
        text = before + b"%.7g" % values[row]
        rows[row, : len(text)] = list(text)
        begins[row], lengths[row] = 0, len(text)
    return rows, begins, lengths


@lru_cache(maxsize=4)
def _leads(before: bytes) -> tuple[Bytes, npt.NDArray[np.intp]]:
    """What stands before the first digit, for each power and sign: (2 P, 8), and its lengths, (2 P,)."""
    texts = [before + sign + lead for lead in _LEADS for sign in (b"", b"-")]
    rows = np.array([list(text.rjust(_PREFIX)) for text in texts], np.uint8)
    return rows, np.array([len(text) for text in texts])


class ArpaLines:
    """Lines of n-grams of `words` (V,); `end` is the word for id 0 but in the first place of several."""

    def __init__(self, words: Sequence[str], end: str) -> None:
        rest = [end, *words[1:]]
        pieces = [text.encode() for text in (*("\t" + w for w in words), *(" " + w for w in rest), "\t" + end)]
        self._size = len(words)
        self._bytes = np.frombuffer(b"".join(pieces), np.uint8)
        self._lengths = np.fromiter(map(len, pieces), np.intp, len(pieces))
        self._starts = np.cumsum(self._lengths) - self._lengths

    def text(
        self,
        scores: Floats,
        columns: Sequence[npt.NDArray[Any]],
        backoffs: Floats | None,
    ) -> str:
        """N lines, each after its newline: a score, a tab, words parted by blanks, and a tab and a backoff weight.

        scores: (N,). columns: of ids, (N,) each, the first words first. backoffs: (N,), or None for the highest order;
        an n-gram that ends with id 0 continues nothing and has none.
        """
        first = columns[0].astype(np.intp)
        if len(columns) == 1:
            first[first == 0] = 2 * self._size
        words = [first, *(column.astype(np.intp) + self._size for column in columns[1:])]
        parts = [(self._starts[word], self._lengths[word]) for word in words]
        rows, begins, lengths = numbers(scores, b"\n")
        sources = [self._bytes, rows.ravel()]
        row_starts = np.arange(len(scores)) * _WIDTH + len(self._bytes)
        parts.insert(0, (row_starts + begins, lengths))
        if backoffs is not None:
            rows, begins, lengths = numbers(backoffs, b"\t")
            sources.append(rows.ravel())
            parts.append((row_starts + len(sources[1]) + begins, np.where(columns[-1] > 0, lengths, 0)))
        starts = np.stack([start for start, _ in parts], 1).ravel()
        sizes = np.stack([size for _, size in parts], 1).ravel()
        ends = np.cumsum(sizes)
        places = np.arange(ends[-1]) + np.repeat(starts - ends + sizes, sizes)
        return bytes(np.concatenate(sources)[places]).decode()


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
