"""Writing the lines of an ARPA file, many at once: NumPy sets numbers in type and gathers lines from their pieces."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

NEVER = -99.0
"""What ARPA writes for the logarithm of 0."""

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
