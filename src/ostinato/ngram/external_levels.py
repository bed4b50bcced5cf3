"""The levels of an n-gram trie as files that grow while sorted windows of a text come in (see `external`)."""

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ostinato.kernels.ngram import Integers
from ostinato.ngram.counts import NgramCounts
from ostinato.ngram.external_runs import Keys, Layout, append


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
        append(self._files[name, n], values.astype(dtype))

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
