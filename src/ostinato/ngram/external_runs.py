"""Windows of a text as sorted runs on disk, and the merging of those runs by ranges of keys (see `external`)."""

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ostinato.files import unload
from ostinato.kernels.ngram import Integers
from ostinato.ngram.counts import check_ids
from ostinato.protocols import Ids

_SAMPLES = 4096
"""Keys of each run from which the ranges are chosen."""
Keys = npt.NDArray[np.uint64]


def append(file: BinaryIO, values: npt.NDArray[Any]) -> None:
    """Append an array's bytes. Raises OSError that says why it fails, which `ndarray.tofile` does not."""
    file.write(np.ascontiguousarray(values).data)


@dataclass(frozen=True)
class Layout:
    """How a window lies in machine words: N tokens and the one before them, each plus 1 (0: none), in words of 64 bits
    whose order is that of the windows."""

    vocabulary_size: int
    order: int

    @property
    def bits(self) -> int:
        """Of a token plus 1."""
        return self.vocabulary_size.bit_length()

    @property
    def fields(self) -> int:
        """Tokens of a word."""
        return 64 // self.bits

    @property
    def words(self) -> int:
        """Words of a window."""
        return -(-(self.order + 1) // self.fields)

    @property
    def bytes_to_sort(self) -> int:
        """Memory that a window takes while a run is made: text, keys, order, sorted keys."""
        return 64 + 24 * self.words

    @property
    def bytes_to_merge(self) -> int:
        """Memory that a window takes while ranges are merged and counted."""
        return 128 + 32 * self.words

    def put(self, keys: list[Keys], n: int, tokens: Keys) -> None:
        """Put field n (0 is the first token, N the token before) into keys that are zero there."""
        keys[n // self.fields] |= tokens << self._shift(n)

    def get(self, keys: list[Keys], n: int) -> npt.NDArray[np.int64]:
        """Field n."""
        mask = np.uint64((1 << self.bits) - 1)
        return ((keys[n // self.fields] >> self._shift(n)) & mask).astype(np.int64)

    def _shift(self, n: int) -> np.uint64:
        return np.uint64((self.fields - 1 - n % self.fields) * self.bits)


@dataclass(frozen=True)
class Run:
    """`size` windows in order, without doubles: `layout.words` arrays of keys, and how often each occurs (uint32)."""

    path: Path
    size: int
    layout: Layout
    samples: Keys
    """Some of the first words of its keys, equally far apart."""

    def read(self, first: int, stop: int) -> tuple[list[Keys], Integers]:
        """Windows first .. stop - 1."""
        with self.path.open("rb") as file:
            keys = [self._part(file, word * self.size * 8, np.uint64, first, stop) for word in range(self.layout.words)]
            return keys, self._part(file, self.layout.words * self.size * 8, np.uint32, first, stop)

    def find(self, key: int) -> int:
        """How many windows have a first word below `key`."""
        low, high = 0, self.size
        with self.path.open("rb") as file:
            while high - low > 4096:
                middle = (low + high) // 2
                below = int(self._part(file, 0, np.uint64, middle, middle + 1)[0]) < key
                low, high = (middle + 1, high) if below else (low, middle)
            return low + int(np.searchsorted(self._part(file, 0, np.uint64, low, high), np.uint64(key)))

    @staticmethod
    def _part(file: BufferedReader, offset: int, dtype: type, first: int, stop: int) -> npt.NDArray[Any]:
        size = np.dtype(dtype).itemsize
        part: npt.NDArray[Any] = np.empty(stop - first, dtype)
        file.seek(offset + first * size)
        if file.readinto(part.data) != part.nbytes:  # `np.fromfile` says nothing of an error: it returns what it got
            raise OSError(errno.EIO, "a file of counts has become shorter")
        return part


def write_runs(ids: Ids, layout: Layout, folder: Path, at_once: int) -> tuple[Integers, list[Run]]:
    """How often each token occurs, (V,), and the runs of windows, each of `at_once` places of the text."""
    unigrams = np.zeros(layout.vocabulary_size, np.int64)
    runs: list[Run] = []
    for first in range(0, len(ids) + 1, at_once):
        stop = min(first + at_once, len(ids) + 1)
        piece = _text(ids, max(first, 1), stop)
        if len(piece):
            check_ids(piece, layout.vocabulary_size)
        keys = _windows(ids, layout, first, stop)
        unigrams += np.bincount(piece.astype(np.int64), minlength=layout.vocabulary_size)
        del piece
        keys, counts = _counted(keys, None)
        path = folder / f".run.{len(runs)}"
        with path.open("wb") as file:
            for key in keys:
                append(file, key)
            append(file, counts.astype(np.uint32))
        runs.append(Run(path, len(counts), layout, keys[0][:: max(1, len(counts) // _SAMPLES)].copy()))
    return unigrams, runs


def _text(ids: Ids, first: int, stop: int) -> Ids:
    """Places first .. stop - 1 of the text, which is an end of document and then the ids; none of it stays mapped."""
    piece = np.array(ids[max(first - 1, 0) : stop - 1])
    if first == 0 and stop > 0:
        piece = np.concatenate([np.zeros(1, ids.dtype), piece])
    unload(ids)
    return piece


def _windows(ids: Ids, layout: Layout, first: int, stop: int) -> list[Keys]:
    """The windows that begin at places first .. stop - 1."""
    size, length = stop - first, len(ids) + 1
    text = _text(ids, first, min(stop + layout.order - 1, length))
    before = _text(ids, max(first - 1, 0), stop - 1)
    keys = [np.zeros(size, np.uint64) for _ in range(layout.words)]
    inside = np.ones(size, np.bool_)
    for n in range(layout.order):
        tokens = text[n : n + size].astype(np.uint64)
        tokens += np.uint64(1)
        if len(tokens) < size:
            tokens = np.concatenate([tokens, np.zeros(size - len(tokens), np.uint64)])
        tokens[~inside] = 0
        layout.put(keys, n, tokens)
        if n:
            inside &= tokens > 1  # an end of document is the last one
    previous = np.zeros(size, np.uint64)
    previous[size - len(before) :] = before
    previous += np.uint64(1)
    previous[text[:size] == 0] = 0  # nothing comes before an n-gram that begins a document
    layout.put(keys, layout.order, previous)
    return keys


def _counted(keys: list[Keys], counts: Integers | None) -> tuple[list[Keys], Integers]:
    """Windows in order, each once, and how often each occurs. counts: of each one given (None: 1)."""
    if len(keys) == 1 and counts is None:
        keys[0].sort()
    else:
        by_key = np.argsort(keys[0], kind="stable") if len(keys) == 1 else np.lexsort(keys[::-1])
        for word, key in enumerate(keys):
            keys[word] = key[by_key]
        counts = None if counts is None else counts[by_key]
        del by_key
    is_first = np.ones(len(keys[0]), np.bool_)
    is_first[1:] = False
    for key in keys:
        is_first[1:] |= key[1:] != key[:-1]
    first = np.flatnonzero(is_first)
    if counts is None:
        counts = np.diff(first, append=len(is_first))
    elif len(first):
        counts = np.add.reduceat(counts, first, dtype=np.int64)
    return [key[first] for key in keys], counts


def merged_ranges(runs: list[Run], layout: Layout, at_once: int) -> Iterator[tuple[list[Keys], Integers]]:
    """All windows in order, about `at_once` at a time; those with the same first word together."""
    total = sum(run.size for run in runs)
    samples = np.sort(np.concatenate([run.samples for run in runs]))
    pieces = -(-total // at_once)
    bounds = np.unique(samples[[len(samples) * k // pieces for k in range(1, pieces)]]) if pieces > 1 else samples[:0]
    places = [0] * len(runs)
    for bound in [*(int(b) for b in bounds), None]:
        stops = [run.size if bound is None else run.find(bound) for run in runs]
        parts = [run.read(first, stop) for run, first, stop in zip(runs, places, stops, strict=True) if first < stop]
        places = stops
        if parts:
            keys = [np.concatenate([part[0][word] for part in parts]) for word in range(layout.words)]
            counts = np.concatenate([part[1] for part in parts])
            del parts
            yield _counted(keys, counts)
