"""Counting n-grams of a text larger than memory: sorted runs on disk, merged by ranges of keys.

The method of lmplz (Heafield, Pouzyrevsky, Clark and Koehn 2013), with one sort for all orders. The *window* at a place
of the text is the token there and up to N - 1 after it, in the same document. Every n-gram is a prefix of windows, and
in the order of whole windows the n-grams of each order come in the order of their level. So one pass over the sorted
windows writes every level, and nothing but a range of windows is ever in memory:

1. the text is read in pieces; the windows of each, with the token before them, are sorted, counted and written: a run;
2. ranges of keys are chosen that fit into memory, from samples of the runs;
3. of each range, the runs' parts are merged, and the n-grams that begin in it are appended to their levels' files.

An n-gram whose windows lie in two ranges stays open from one to the next.
"""

import contextlib
import errno
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ostinato.errors import TextError
from ostinato.files import disk_is_full, unload
from ostinato.kernels.ngram import Integers
from ostinato.ngram.counts import NgramCounts, check_countable, check_ids
from ostinato.protocols import Ids

_SAMPLES = 4096
"""Keys of each run from which the ranges are chosen."""
Keys = npt.NDArray[np.uint64]


def count_on_disk(ids: Ids, vocabulary_size: int, order: int, *, folder: Path, memory: int) -> NgramCounts:
    """The same arrays as `count_ngrams`, as files in `folder` that are memory-mapped.

    memory: bytes that the work may take beside the interpreter, from 16 MiB on; about 24 bytes of disk a token for the
    runs, which are removed, and 22 for each n-gram of each order are needed.

    Raises UsageError as `count_ngrams` does, TextError where the disk is full.
    """
    check_countable(ids, order)
    layout = Layout(vocabulary_size, order)
    with counting_in(folder):
        folder.mkdir(parents=True, exist_ok=True)
        unigrams, runs = _write_runs(ids, layout, folder, max(1 << 14, memory // layout.bytes_to_sort))
        levels = Levels(layout, folder, len(ids))
        try:
            for keys, counts in _ranges(runs, layout, max(1 << 14, memory // layout.bytes_to_merge)):
                levels.add(keys, counts)
            for run in runs:
                run.path.unlink()
            return levels.close(unigrams)
        finally:
            levels.let_go()


@contextlib.contextmanager
def counting_in(folder: Path) -> Iterator[None]:
    """Inside, an error of the disk is one line that says what to do: it raises TextError."""
    try:
        yield
    except OSError as error:
        to_do = "; make room there, or name a folder on another disk with -o" if disk_is_full(error) else ""
        raise TextError(f"n-grams cannot be counted in {folder}: {error.strerror or error}{to_do}") from None


def _write(file: BinaryIO, values: npt.NDArray[Any]) -> None:
    """Append an array's bytes. Raises OSError that says why it fails, which `ndarray.tofile` does not."""
    file.write(np.ascontiguousarray(values).data)


def remove_counts(folder: Path) -> None:
    """Remove the files of how often n-grams occur: probabilities are made of them, and no model needs them after."""
    for path in [*folder.glob("occurrences.*"), *folder.glob("continuations.*")]:
        with contextlib.suppress(OSError):  # a system that keeps files that are mapped; they go with the folder
            path.unlink()


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


def _write_runs(ids: Ids, layout: Layout, folder: Path, at_once: int) -> tuple[Integers, list[Run]]:
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
                _write(file, key)
            _write(file, counts.astype(np.uint32))
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


def _ranges(runs: list[Run], layout: Layout, at_once: int) -> Iterator[tuple[list[Keys], Integers]]:
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


@dataclass
class _Open:
    """The last n-gram of a level so far: its windows may go on in the next range."""

    occurrences: int = 0
    before: Integers = field(default_factory=lambda: np.zeros(0, np.int64))
    """The tokens before it, each plus 1, without doubles; 0 alone where it begins a document."""

    def continuations(self) -> int:
        """How many distinct tokens precede it, or its occurrences where none can."""
        return int(np.count_nonzero(self.before)) or self.occurrences


class Levels:
    """Orders 2 .. N, as they are written."""

    def __init__(self, layout: Layout, folder: Path, tokens: int) -> None:
        self.layout, self.folder = layout, folder
        self.word_type = np.dtype(np.uint16 if layout.vocabulary_size <= 1 << 16 else np.uint32)
        self.start_type = np.dtype(np.uint32 if tokens < 1 << 32 else np.uint64)
        orders = range(2, layout.order + 1)
        self._files: dict[tuple[str, int], BinaryIO] = {
            (name, n): (folder / f"{name}.{n}").open("wb")
            for name in ("words", "occurrences", "continuations", "children")
            for n in orders
            if n < layout.order or name in ("words", "occurrences")
        }
        self._sizes = dict.fromkeys(orders, 0)
        self._open: dict[int, _Open | None] = dict.fromkeys(orders)
        self._before = np.zeros(layout.order, np.int64)
        """The first N fields of the last window."""
        self._bigrams = np.zeros(layout.vocabulary_size, np.int64)
        self._preceding = np.zeros(layout.vocabulary_size, np.int64)

    def add(self, keys: list[Keys], counts: Integers) -> None:
        """The next windows in order."""
        changed = np.zeros(len(counts), np.bool_)
        previous = self.layout.get(keys, self.layout.order)
        first_tokens = self.layout.get(keys, 0) - 1
        begun = np.zeros(0, np.intp)
        for n in range(1, self.layout.order + 1):
            tokens = self.layout.get(keys, n - 1)
            changed[1:] |= tokens[1:] != tokens[:-1]
            changed[0] |= tokens[0] != self._before[n - 1]
            self._before[n - 1] = tokens[-1]
            if n == 1:
                continue
            new = changed & (tokens > 0)
            if n == 2:
                at = np.flatnonzero(new)
                self._bigrams += np.bincount(first_tokens[at], minlength=len(self._bigrams))
                self._preceding += np.bincount(tokens[at] - 1, minlength=len(self._preceding))
                del first_tokens
            else:
                starts: Integers = np.cumsum(new, dtype=np.int64)
                starts -= new
                starts += self._sizes[n]
                self._write("children", n - 1, starts[begun], self.start_type)
                del starts
            begun = np.flatnonzero(new)
            self._level(n, new, tokens, counts, previous)
            self._sizes[n] += len(begun)

    def _level(self, n: int, new: Any, tokens: Integers, counts: Integers, previous: Integers) -> None:
        """Order n of these windows: the n-grams that end in them, but the last, which stays open."""
        valid = np.flatnonzero(tokens)
        if not len(valid):
            return
        begins = new[valid].copy()
        self._write("words", n, tokens[valid[begins]] - 1, self.word_type)
        goes_on = not begins[0]
        begins[0] = True
        at = np.flatnonzero(begins)
        occurrences = np.add.reduceat(counts[valid], at, dtype=np.int64)
        inner = n < self.layout.order
        last = _Open(int(occurrences[-1]))
        continuations, head = occurrences[:0], last.before
        if inner:
            group = np.cumsum(begins)
            group -= 1
            pairs = group * (self.layout.vocabulary_size + 1)
            del group
            pairs += previous[valid]
            pairs.sort()
            pairs = pairs[np.concatenate([[True], pairs[1:] != pairs[:-1]])]
            owner, before = np.divmod(pairs, self.layout.vocabulary_size + 1)
            head, last.before = before[owner == 0], before[owner == len(at) - 1]
            continuations = np.bincount(owner[before > 0], minlength=len(at))
            continuations = np.where(continuations > 0, continuations, occurrences)
        earlier = self._open[n]
        if goes_on and earlier is not None:
            occurrences[0] += earlier.occurrences
            first = _Open(int(occurrences[0]), np.union1d(earlier.before, head))
            if inner:
                continuations[0] = first.continuations()
            if len(at) == 1:
                last = first
        elif earlier is not None:
            self._finish(n, earlier)
        self._open[n] = last
        self._write("occurrences", n, occurrences[:-1], np.dtype(np.int64))
        if inner:
            self._write("continuations", n, continuations[:-1], np.dtype(np.int64))

    def _finish(self, n: int, ended: _Open) -> None:
        self._write("occurrences", n, np.array([ended.occurrences]), np.dtype(np.int64))
        if n < self.layout.order:
            self._write("continuations", n, np.array([ended.continuations()]), np.dtype(np.int64))

    def _write(self, name: str, n: int, values: Integers, dtype: np.dtype[Any]) -> None:
        _write(self._files[name, n], values.astype(dtype))

    def close(self, unigrams: Integers) -> NgramCounts:
        """All levels. unigrams: how often each token occurs, (V,)."""
        order = self.layout.order
        for n, ended in self._open.items():
            if ended is not None:
                self._finish(n, ended)
            if n < order:
                self._write("children", n, np.array([self._sizes[n + 1]]), self.start_type)
        for file in self._files.values():
            file.close()
        words: list[Integers] = [np.arange(self.layout.vocabulary_size, dtype=self.word_type)]
        first = np.concatenate([[0], np.cumsum(self._bigrams)]).astype(_start_type(self._sizes.get(2, 0)))
        children: list[Integers] = [first] if order > 1 else []
        occurrences, continuations = [unigrams], [self._preceding if order > 1 else unigrams]
        for n in range(2, order + 1):
            words.append(self._map("words", n, self.word_type))
            occurrences.append(self._map("occurrences", n, np.dtype(np.int64)))
            if n < order:
                starts = self._map("children", n, self.start_type)
                children.append(starts.astype(_start_type(self._sizes[n + 1]), copy=False))
                continuations.append(self._map("continuations", n, np.dtype(np.int64)))
        if order > 1:
            continuations.append(occurrences[-1])
        return NgramCounts(tuple(words), tuple(children), tuple(occurrences), tuple(continuations))

    def let_go(self) -> None:
        """Close the files, whatever the disk says to that."""
        for file in self._files.values():
            with contextlib.suppress(OSError):
                file.close()

    def _map(self, name: str, n: int, dtype: np.dtype[Any]) -> Integers:
        path = self.folder / f"{name}.{n}"
        return np.memmap(path, dtype, "r") if path.stat().st_size else np.zeros(0, dtype)


def _start_type(ngrams: int) -> np.dtype[Any]:
    """Of the places in a level of so many n-grams, as `count_ngrams` has them."""
    return np.dtype(np.uint32 if ngrams < 1 << 32 else np.uint64)
