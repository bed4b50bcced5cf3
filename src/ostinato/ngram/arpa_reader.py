"""Reading an ARPA file (`ngram/arpa.py` says what one is) into the same sorted arrays as a counted model."""

import codecs
import math
import re
from collections import deque
from collections.abc import Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt

from ostinato.encodings import detect
from ostinato.errors import TextError
from ostinato.kernels.ngram import Integers, Nodes
from ostinato.ngram.arpa import BEGIN, END, escape, unescape
from ostinato.ngram.arpa_blocks import BEGIN_ID, LARGEST, Block, Words, plain_lines
from ostinato.ngram.arpa_lines import NEVER, Floats
from ostinato.ngram.counts import MAX_ORDER
from ostinato.ngram.fit import trie_arrays
from ostinato.ngram.links import Level, shorter
from ostinato.ngram.model import NgramModel
from ostinato.ngram.smoothing import Interpolation

_BLOCK = 20_000


def read_arpa(path: str | Path, names: Sequence[str] | None = None) -> tuple[NgramModel, list[str]]:
    """The model in the ARPA file at `path`, and the name of each of its ids, `</s>` first.

    names: the ids' names where they are fixed already (`token_names`); a name the file lacks gets probability 0. By
    default they are the file's words in its order.
    Raises TextError, with the line's number, for a file that is cut short or not ARPA, for a word that is not in
    `names`, and for an n-gram that is listed twice or whose context is not listed.
    """
    path, encoding = Path(path), "utf-8-sig"
    try:
        with path.open("rb") as stream:
            if stream.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                encoding = "utf-16"
        try:
            return _read(path, encoding, names)
        except UnicodeDecodeError:
            with path.open("rb") as stream:
                encoding = detect(stream, str(path)).encoding
            return _read(path, encoding, names)
    except UnicodeDecodeError as error:
        raise TextError(f"{path} is not {encoding} throughout ({error.reason}): save it as UTF-8") from None
    except OSError as error:
        raise TextError(f"cannot read {path}: {error.strerror or error}") from None


def _read(path: Path, encoding: str, names: Sequence[str] | None) -> tuple[NgramModel, list[str]]:
    with path.open(encoding=encoding) as file:
        reader = _Reader(path, file, names)
        return reader.read(), reader.names


class _Reader:
    """One pass over an ARPA file."""

    def __init__(self, path: Path, file: TextIO, names: Sequence[str] | None) -> None:
        self._path, self._file = path, file
        self._waiting: deque[str] = deque()  # lines that were taken from the file and are not read yet
        self._number = 0
        self._open = names is None
        self.names = [END] if names is None else list(names)
        self._ids = {END: 0, BEGIN: 0} | {escape(name): i for i, name in enumerate(self.names[1:], 1)}
        self._begin_backoff = 1.0

    def read(self) -> NgramModel:
        sizes = self._header()
        model, backoffs = self._unigrams(sizes[0])
        links = [np.zeros(model.vocabulary_size, np.int64)]
        levels = [Level(np.arange(model.vocabulary_size), model.unigram())]
        for n, size in enumerate(sizes[1:], 1):
            model, backoffs = self._level(model, links, levels, n, size, backoffs)
        self._expect("\\end\\")
        settings = {"smoothing": "arpa", "order": len(sizes), "vocabulary_size": len(self.names), "notes": []}
        arrays = trie_arrays(model.words, model.children)
        arrays |= {f"share.{n}": level.share for n, level in enumerate(model.levels, 1)}
        arrays |= {f"weight.{n}": level.weight for n, level in enumerate(model.levels, 1)}
        return NgramModel(model.words, model.children, model.levels, settings=settings, arrays=arrays)

    def _unigrams(self, size: int) -> tuple[NgramModel, Floats]:
        grams, scores, listed = self._section(0, size)
        self._open = False
        unigram, backoffs = np.zeros(len(self.names)), np.ones(len(self.names))
        unigram[grams[:, 0]], backoffs[grams[:, 0]] = scores, listed
        backoffs[0] = self._begin_backoff
        words: Integers = np.arange(len(unigram), dtype=np.uint16 if len(unigram) <= 1 << 16 else np.uint32)
        return NgramModel((words,), (), (Interpolation(unigram, np.zeros(1)),)), backoffs

    def _level(
        self, model: NgramModel, links: list[Nodes], levels: list[Level], n: int, size: int, backoffs: Floats
    ) -> tuple[NgramModel, Floats]:
        """`model` with one more level, read from the file, and that level's backoff weights.

        backoffs: those of the level before. `links` and `levels` (`ngram/links.py`) get the new one's.
        """
        grams, scores, listed = self._section(n, size)
        contexts = grams[:, 0]
        for place in range(1, n):
            contexts = levels[place].find(contexts * model.vocabulary_size + grams[:, place])
        if np.any(contexts < 0):
            missing = " ".join(self.names[i] for i in grams[np.flatnonzero(contexts < 0)[0], :-1])
            raise self._error(f"the {n + 1}-grams continue {missing!r}, which is not listed")
        keys = contexts * model.vocabulary_size + grams[:, -1]
        order = np.argsort(keys, kind="stable")
        keys, contexts, last = keys[order], contexts[order], grams[order, -1]
        if np.any(keys[1:] == keys[:-1]):
            raise self._error(f"one of the {n + 1}-grams is listed twice")
        starts = np.concatenate([[0], np.cumsum(np.bincount(contexts, minlength=model.sizes[-1]))])
        # The file's probability is the whole of p(w | h): take out what comes from the shorter context.
        suffixes, lower = shorter(model, links, levels[-1], n, contexts, last)
        level = Interpolation(scores[order] - backoffs[contexts] * lower, backoffs)
        links.append(suffixes)
        levels.append(Level(keys, lower * backoffs[contexts] + level.share))
        words = (*model.words, last.astype(model.words[0].dtype))
        children = (*model.children, starts.astype(np.uint32))
        return NgramModel(words, children, (*model.levels, level)), listed[order]

    def _section(self, n: int, size: int) -> tuple[npt.NDArray[np.int64], Floats, Floats]:
        """The n-grams (size, n + 1), probabilities (size,) and backoff weights (size,) of one section."""
        self._expect(f"\\{n + 1}-grams:")
        blocks = [self._one_by_one(n, 0)]
        for first in range(0, size, _BLOCK):
            count = min(size - first, _BLOCK)
            lines = [*islice(self._file, count)] if n else []
            block = plain_lines("".join(lines).encode(), count, n, self._words) if n else None
            if block is None:
                self._waiting.extend(lines)
                block = self._one_by_one(n, count)
            else:
                self._number += count
            blocks.append(block)
        grams, scores, backoffs = (np.concatenate(part) for part in zip(*blocks, strict=True))
        return grams, scores, backoffs

    def _one_by_one(self, n: int, count: int) -> Block:
        """The next `count` n-grams, each line checked by itself: the unigrams, and lines that are not plain."""
        grams = np.zeros((count, n + 1), dtype=np.int64)
        scores, backoffs = np.zeros(count), np.ones(count)
        row = 0
        for _ in range(count):
            fields = self._next().split("\t")
            words = fields[1].split(" ") if len(fields) in (2, 3) else []
            if len(words) != n + 1:
                raise self._error(f"expected a score, a tab and {n + 1} words")
            score = self._power(fields[0])
            backoff = self._power(fields[2]) if len(fields) == 3 else 1.0
            if words == [BEGIN]:
                self._begin_backoff = backoff
                continue
            if BEGIN in words[1:] or END in words[:-1]:
                raise self._error(f"{BEGIN} can only begin an n-gram and {END} only end it")
            grams[row] = [self._id(word) for word in words]
            scores[row], backoffs[row] = score, backoff
            row += 1
        return grams[:row], scores[:row], backoffs[:row]

    @cached_property
    def _words(self) -> Words:
        """The vocabulary, which is complete after the unigrams."""
        return Words({word.encode(): i for word, i in self._ids.items()} | {BEGIN.encode(): BEGIN_ID})

    def _id(self, word: str) -> int:
        token_id = self._ids.get(word)
        if token_id is None:
            if not self._open:
                raise self._error(f"the word {word!r} is not in the vocabulary")
            token_id = self._ids[word] = len(self.names)
            self.names.append(unescape(word))
        return token_id

    def _power(self, text: str) -> float:
        """10 to the number that `text` is; 0 for ARPA's logarithm of 0."""
        try:
            exponent = float(text)
        except ValueError:
            raise self._error(f"expected a number, got {text[:40]!r}") from None
        if not math.isfinite(exponent) or exponent > LARGEST:
            raise self._error(f"expected a logarithm, got {text[:40]!r}")
        return 10.0**exponent if exponent > NEVER else 0.0

    def _header(self) -> list[int]:
        while self._next() != "\\data\\":
            pass
        sizes: list[int] = []
        while match := re.fullmatch(r"ngram +(\d{1,9}) *= *(\d{1,18})", line := self._next()):
            if int(match[1]) != len(sizes) + 1 or len(sizes) == MAX_ORDER:
                raise self._error(f"orders must be listed from 1 up to {MAX_ORDER} at most, got {match[1]}")
            sizes.append(int(match[2]))
        if not sizes or line != "\\1-grams:":
            raise self._error(f"expected the numbers of n-grams, got {line[:40]!r}")
        return sizes

    def _expect(self, marker: str) -> None:
        # The header has read on to the first section's marker.
        if marker != "\\1-grams:" and (line := self._next()) != marker:
            raise self._error(f"expected {marker}, got {line[:40]!r}")

    def _next(self) -> str:
        """The next line that is not blank."""
        while line := self._waiting.popleft() if self._waiting else self._file.readline():
            self._number += 1
            if line.strip():
                return line.rstrip("\r\n")
        raise self._error("the file ends too early")

    def _error(self, message: str) -> TextError:
        return TextError(f"{self._path}, line {self._number}: {message}; it is damaged or not an ARPA file")
