"""Counts of characters and words over a stream of pieces, and the vocabulary they make."""

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from ostinato.text.tokenizers.base import refuse_surrogates

MAX_DISTINCT_WORDS = 500_000
"""More distinct words than this are not kept while counting: those seen once so far are forgotten (about 80 MB)."""

MAX_WORD_LENGTH = 100
"""Longer words are always spelled: they hardly repeat, and a hostile text cannot fill the vocabulary with itself."""

_BUFFER = 1 << 20


def codepoints(text: str) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    """The code points of a text, (len(text),) uint32. Raises TextError for a lone surrogate."""
    try:
        return np.frombuffer(text.encode("utf-32-le"), np.dtype("<u4"))
    except UnicodeEncodeError as error:
        raise refuse_surrogates(text, error) from None


class CharacterCounter:
    """How often each character was seen. Pieces are gathered first: one NumPy call a million characters."""

    def __init__(self) -> None:
        self._counts = np.zeros(0x110000, np.int64)
        self._held: list[str] = []
        self._size = 0

    def add(self, text: str) -> None:
        """Count the characters of a piece."""
        self._held.append(text)
        self._size += len(text)
        if self._size >= _BUFFER:
            self._count()

    def _count(self) -> None:
        counts = np.bincount(codepoints("".join(self._held)))
        self._counts[: len(counts)] += counts
        self._held, self._size = [], 0

    def vocabulary(self, min_count: int) -> str:
        """The characters seen at least `min_count` times, most frequent first, ties by code point."""
        self._count()
        known = np.flatnonzero(self._counts >= min_count)
        order = np.argsort(-self._counts[known], kind="stable")
        return known[order].astype("<u4").tobytes().decode("utf-32-le")


class WordCounter:
    """How often each word was seen, in bounded memory (lossy counting, Manku and Motwani 2002)."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, words: Iterable[str]) -> None:
        """Count the words of a piece."""
        self._counts.update(words)
        while len(self._counts) > MAX_DISTINCT_WORDS:
            least = min(self._counts.values())
            self._counts = Counter({word: count for word, count in self._counts.items() if count > least})

    def vocabulary(self, min_count: int, *, shortest: int = 1) -> list[str]:
        """The words of `shortest` .. MAX_WORD_LENGTH characters seen at least `min_count` times, in id order."""
        return by_frequency({word: count for word, count in self._counts.items()
                             if count >= min_count and shortest <= len(word) <= MAX_WORD_LENGTH})  # fmt: skip


def by_frequency(counts: Mapping[str, int]) -> list[str]:
    """Most frequent first, equally frequent ones by code point: the same on every machine."""
    return sorted(counts, key=lambda word: (-counts[word], word))


def check_surrogates(text: str) -> None:
    """Raises TextError if the text has a lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise refuse_surrogates(text, error) from None
