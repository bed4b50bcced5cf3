"""How much of a written text stands in the training text already, and where: nobody should take a copy for a poem.

A suffix array (Manber & Myers 1993) of the training ids finds the longest copied span that begins at each token.
"""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.errors import TextError, UsageError
from ostinato.files import replacing
from ostinato.protocols import END_OF_DOCUMENT, Ids, Tokenizer

Places = npt.NDArray[np.int64]

SIZES = (2, 3, 4, 5, 6, 8, 10)
"""The n of the n-grams that a report counts."""

_FILE = "suffixes.u32"
_STEP = 32
"""Tokens compared at a time."""


def suffix_array(ids: Ids) -> npt.NDArray[np.uint32]:
    """(T,) uint32: where the suffixes of `ids` (T,) begin, in the order of the suffixes. A shorter one comes first.

    By prefix doubling: after round k the suffixes are in the order of their first 2^k tokens. Raises UsageError for a
    text of 2^32 tokens or more.
    """
    length = len(ids)
    if length >= 1 << 32:
        raise UsageError(f"a text of {length} tokens is too long to search for copies: at most 4,294,967,295")
    ranks = ids.astype(np.int64) + 1
    order = np.argsort(ranks, kind="stable")
    known = 1
    while True:
        ordered = ranks[order]
        distinct = np.concatenate([[True], ordered[1:] != ordered[:-1]])[:length]
        ranks[order] = np.cumsum(distinct)
        if distinct.all():
            return order.astype(np.uint32)
        keys = ranks * (length + 1)
        keys[:-known] += ranks[known:]
        order, ranks, known = np.argsort(keys), keys, 2 * known


@dataclass(frozen=True)
class Copy:
    """A span that stands in the training text word for word.

    start: its first token in the written text; length: tokens; document: the training document's number, from 0;
    offset: tokens of that document before it; title: the document's first line; text: the span itself.
    """

    start: int
    length: int
    document: int
    offset: int
    title: str
    text: str


@dataclass(frozen=True)
class Novelty:
    """What of a written text was copied. shares[n]: the share of its n-grams that stand in the training text."""

    tokens: int
    longest: Copy | None
    shares: dict[int, float]

    def to_json(self) -> dict[str, Any]:
        """JSON types only."""
        longest = None if self.longest is None else vars(self.longest)
        return {
            "tokens": self.tokens,
            "longest": longest,
            "shares": {str(n): share for n, share in self.shares.items()},
        }

    def __str__(self) -> str:
        if self.longest is None:
            return f"novelty: none of its {self.tokens} tokens stands in the training text"
        copy = self.longest
        shares = ", ".join(f"{share:.0%} of {n}-grams" for n, share in self.shares.items())
        return (
            f"novelty: the longest copy is {copy.length} of {self.tokens} tokens, {copy.text!r}, from document "
            f"{copy.document + 1} ({copy.title}) after {copy.offset} tokens; in the training text: {shares or '-'}"
        )


@dataclass(frozen=True)
class TrainingText:
    """The training ids (T,) and their suffix array (T,), to look spans up in. No span reaches over END_OF_DOCUMENT."""

    ids: Ids
    suffixes: npt.NDArray[np.uint32]

    def longest_copies(self, written: Ids) -> tuple[Places, Places]:
        """For each token of `written` (M,): how long the longest copied span is that begins there, and where it stands
        in the training ids. Both (M,) int64; a place is meaningless where the length is 0."""
        # An end of a document matches nothing: as -1 it comes before every token.
        text = np.where(written == END_OF_DOCUMENT, -1, written.astype(np.int64))
        starts = np.arange(len(text))
        low, high = np.zeros(len(text), dtype=np.int64), np.full(len(text), len(self.ids), dtype=np.int64)
        for _ in range(len(self.ids).bit_length()):
            open_rows = np.flatnonzero(low < high)
            middle = (low[open_rows] + high[open_rows]) >> 1
            _, below = self._compare(text, starts[open_rows], self.suffixes[middle].astype(np.int64))
            low[open_rows[below]] = middle[below] + 1
            high[open_rows[~below]] = middle[~below]
        lengths, places = np.zeros(len(text), dtype=np.int64), np.zeros(len(text), dtype=np.int64)
        for neighbour in (low - 1, low):
            rows = np.flatnonzero((neighbour >= 0) & (neighbour < len(self.ids)))
            found = self.suffixes[neighbour[rows]].astype(np.int64)
            common, _ = self._compare(text, starts[rows], found)
            longer = common > lengths[rows]
            lengths[rows[longer]], places[rows[longer]] = common[longer], found[longer]
        return lengths, places

    def continuations(self, span: Sequence[int]) -> npt.NDArray[np.int64]:
        """The distinct tokens that follow `span` in the training text, without END_OF_DOCUMENT: sorted ids."""
        if END_OF_DOCUMENT in span:
            return np.zeros(0, dtype=np.int64)
        low, high = self._bound(span, after=False), self._bound(span, after=True)
        following = self.suffixes[low:high].astype(np.int64) + len(span)
        tokens: Places = np.unique(self.ids[following[following < len(self.ids)]]).astype(np.int64)
        kept: Places = tokens[tokens != END_OF_DOCUMENT]
        return kept

    def _bound(self, span: Sequence[int], *, after: bool) -> int:
        """The first suffix that is not below `span`; `after`: the first that is above it and does not begin with it."""
        wanted = list(span)
        low, high = 0, len(self.ids)
        while low < high:
            middle = (low + high) // 2
            start = int(self.suffixes[middle])
            here = self.ids[start : start + len(wanted)].tolist()
            if here < wanted or (after and here == wanted):
                low = middle + 1
            else:
                high = middle
        return low

    def _compare(self, text: Places, starts: Places, places: Places) -> tuple[Places, npt.NDArray[np.bool_]]:
        """How many tokens text[starts:] shares with the training suffixes at `places`; whether those are below it."""
        common = np.zeros(len(starts), dtype=np.int64)
        below = np.zeros(len(starts), dtype=np.bool_)
        rows = np.arange(len(starts))
        ahead = np.arange(_STEP)
        while len(rows):
            ours = _window(text, starts[rows] + common[rows], ahead, -2)
            theirs = _window(self.ids, places[rows] + common[rows], ahead, -3)
            differs = ours != theirs
            at = differs.argmax(axis=1)
            decided = differs[np.arange(len(rows)), at]
            common[rows] += np.where(decided, at, _STEP)
            here = np.arange(len(rows))[decided]
            below[rows[decided]] = theirs[here, at[decided]] < ours[here, at[decided]]
            rows = rows[~decided]
        return common, below


def measure(training: TrainingText, written: Ids, tokenizer: Tokenizer, sizes: Sequence[int] = SIZES) -> Novelty:
    """What of the ids `written` (M,) was copied from the training text. Raises TextError for none."""
    if len(written) == 0:
        raise TextError("there is no text to look for copies in: it has 0 tokens")
    lengths, places = training.longest_copies(written)
    ends = np.append(np.flatnonzero(written == END_OF_DOCUMENT), len(written))
    left = ends[np.searchsorted(ends, np.arange(len(written)))] - np.arange(len(written))
    shares = {n: float((lengths >= n).sum() / (left >= n).sum()) for n in sizes if np.any(left >= n)}
    tokens = int((written != END_OF_DOCUMENT).sum())
    start = int(lengths.argmax())
    length = int(lengths[start])
    if not length:
        return Novelty(tokens, None, shares)
    place = int(places[start])
    ended = np.flatnonzero(training.ids[:place] == END_OF_DOCUMENT)
    begin = int(ended[-1]) + 1 if len(ended) else 0
    opening = tokenizer.decode(training.ids[begin : begin + 200]).split("\n", 1)[0].strip()
    text = tokenizer.decode(written[start : start + length])
    return Novelty(tokens, Copy(start, length, len(ended), place - begin, opening[:60], text), shares)


def open_training_text(ids: Ids, folder: Path) -> TrainingText:
    """The training text whose `ids` lie in `folder`; its suffix array is made when first asked for, and kept there
    where that is possible."""
    path = folder / _FILE
    of = _modified(folder / "train.ids")
    if len(ids) and path.is_file() and _modified(path) == of and path.stat().st_size == 4 * len(ids):
        return TrainingText(ids, np.memmap(path, dtype="<u4", mode="r"))
    suffixes = suffix_array(ids)
    with contextlib.suppress(OSError), replacing(path) as file:
        file.write(suffixes.astype("<u4").tobytes())
        file.flush()
        os.utime(file.fileno(), ns=(of, of))  # the ids that it is of: another run may have replaced them meanwhile
    return TrainingText(ids, suffixes)


def _modified(path: Path) -> int:
    """When the file was last changed, in nanoseconds; 0 where there is none."""
    return path.stat().st_mtime_ns if path.is_file() else 0


def _window(values: npt.NDArray[np.integer[Any]], starts: Places, ahead: Places, beyond: int) -> Places:
    """values[starts + ahead] (rows, len(ahead)), `beyond` where that lies past the end."""
    at = starts[:, None] + ahead
    inside = at < len(values)
    result: Places = np.where(inside, values[np.minimum(at, max(len(values) - 1, 0))].astype(np.int64), beyond)
    return result
