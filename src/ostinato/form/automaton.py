"""One line of given form as an automaton over tokens: which may come next so that the line can still be completed.

A line is a sequence of segments in the order they are drawn: `Fixed` ids, and `Free` words of a total length, with
conditions on the first and the last of them. The look-ahead is in the words: a word may only begin if, after it, the
rest of the line can still be filled, and a word that fills the line must meet the condition on its end (rhyme).

A `Planner` chooses the segments. If a form leaves a choice (the place of a word, the length of a blank), every
candidate of the search draws its own, and the search keeps those that the model finds likely.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ostinato.form.form import Blank, LineSpec
from ostinato.form.lexicon import Condition, Lexicon, WordMask
from ostinato.protocols import END_OF_DOCUMENT

Mask = npt.NDArray[np.bool_]
Choose = Callable[[int], int]
"""choose(n): a number from 0 to n - 1."""
Item = str | Blank


ANYTHING = Condition()


@dataclass(frozen=True)
class Fixed:
    """Ids that are written as they are."""

    ids: tuple[int, ...]


@dataclass(frozen=True)
class Free:
    """Words of `low` to `high` units together; `low` < `high` only in a line's one free segment with nothing after.

    head, tail: conditions on the word drawn first and last. edge: whether the line's first word is among them, which
    brings no blank along.
    """

    low: int
    high: int
    head: Condition = ANYTHING
    tail: Condition = ANYTHING
    edge: bool = True


Segments = tuple[Fixed | Free, ...]


class Track(NamedTuple):
    """Where one line stands: segment, ids or units used of it, the trie node of the word begun, and what came last.

    low, high, depth: the rows and columns of the lexicon that match the word so far; depth 0 between words. words: how
    many words of the segment are complete. ready: the last of them may end the segment. closed: it must.
    mark: 1 after punctuation inside the segment, 2 after the line's own.
    """

    segment: int = 0
    used: int = 0
    low: int = 0
    high: int = 0
    depth: int = 0
    words: int = 0
    ready: bool = False
    closed: bool = False
    mark: int = 0


class Line:
    """The automaton of one plan, with words that contain none of `ban`. Masks are kept: all its tracks share them."""

    def __init__(self, lexicon: Lexicon, plan: Segments, ban: tuple[str, ...] = ()) -> None:
        self.lexicon = lexicon
        self._ban = ban
        self.plan = (*plan, Fixed(lexicon.newline))
        self._allowed: dict[Track, Mask] = {}
        self._rows: dict[tuple[int, int, bool], WordMask] = {}
        self._first_ids: dict[tuple[int, int, bool], Mask] = {}

    def start(self) -> Track:
        """Nothing written."""
        return Track()

    def done(self, track: Track) -> bool:
        """Whether the line and its newline are complete."""
        return track.segment == len(self.plan)

    def allowed(self, track: Track) -> Mask:
        """(V,) bool, read-only: the ids that may come next. All False in a dead end."""
        mask = self._allowed.get(track)
        if mask is None:
            mask = np.zeros(self.lexicon.tokenizer.vocabulary_size, np.bool_)
            self._mark(track, mask)
            mask.flags.writeable = False
            self._allowed[track] = mask
        return mask

    def advance(self, track: Track, token_id: int) -> Track:
        """The track after an allowed id."""
        segment = self.plan[track.segment]
        if isinstance(segment, Fixed):
            return self._next(track) if track.used + 1 == len(segment.ids) else track._replace(used=track.used + 1)
        if track.depth:
            inside = self._child(track, token_id)
            if inside is not None:
                return inside
            track = self._complete(track)
        begun = self._child(track._replace(low=0, high=len(self.lexicon.texts)), token_id)
        if begun is not None:
            return begun
        if token_id in self.lexicon.inside and self._may_mark(track, segment):
            return track._replace(mark=1, ready=track.ready and token_id in self.lexicon.ending)
        if self._is_ending_mark(track, token_id):
            return track._replace(mark=2)
        return self.advance(self._next(track), token_id)

    # -- what may follow ------------------------------------------------------------------------------------------

    def _mark(self, track: Track, mask: Mask) -> None:
        segment = self.plan[track.segment]
        if isinstance(segment, Fixed):
            mask[segment.ids[track.used]] = True
            return
        if track.depth:
            rows = slice(track.low, track.high)
            mask[self.lexicon.ids[rows, track.depth][self._fitting(track, segment)[rows]]] = True
            mask[END_OF_DOCUMENT] = False  # a word that ends here has 0 there
            if self._terminal(track) is None:
                return
            track = self._complete(track)
        if self._may_begin(track, segment):
            mask |= self._beginnings(track, segment)
        if self._may_mark(track, segment):
            mask[list(self.lexicon.inside)] = True
        if track.ready:
            self._mark(self._next(track), mask)
        for mark in self.lexicon.ending:
            if self._is_ending_mark(track, mark):
                mask[mark] = True

    def _may_begin(self, track: Track, segment: Free) -> bool:
        return not track.closed and track.used < segment.high and not (track.mark == 2 and track.words > 0)

    def _may_mark(self, track: Track, segment: Free) -> bool:
        return track.used > 1 and segment.high - track.used > 1 and not track.mark and not track.closed

    def _is_ending_mark(self, track: Track, token_id: int) -> bool:
        """The line's own punctuation: forward after its last word, backward before its first drawn word."""
        if track.mark or token_id not in self.lexicon.ending or not isinstance(self.plan[track.segment], Free):
            return False
        if self.lexicon.backward:
            return track.segment == 0 and track.words == 0 and track.depth == 0
        return track.ready and track.segment == len(self.plan) - 2

    def _free(self, track: Track) -> Free:
        segment = self.plan[track.segment]
        assert isinstance(segment, Free)
        return segment

    def _fitting(self, track: Track, segment: Free) -> WordMask:
        """(N,) bool, the words that may stand after `used` units, as the first of the segment or not."""
        key = (track.segment, track.used, track.words == 0)
        rows = self._rows.get(key)
        if rows is None:
            rows = self._rows[key] = self._find_fitting(*key[1:], segment)
        return rows

    def _beginnings(self, track: Track, segment: Free) -> Mask:
        """(V,) bool, the ids that words which fit begin with."""
        key = (track.segment, track.used, track.words == 0)
        found = self._first_ids.get(key)
        if found is None:
            found = self._first_ids[key] = np.zeros(self.lexicon.tokenizer.vocabulary_size, np.bool_)
            found[self.lexicon.ids[self._fitting(track, segment), 0]] = True
        return found

    def _find_fitting(self, used: int, first: bool, segment: Free) -> WordMask:
        lexicon = self.lexicon
        after = used + lexicon.units
        tail = lexicon.matching(segment.tail)
        ends = tail & (after >= segment.low) & (after <= segment.high)
        shortest = int(lexicon.units[tail].min(initial=segment.high + 1))
        goes_on = after + shortest <= segment.high
        if lexicon.marks_first:
            if not lexicon.backward:
                fits = (ends | goes_on) & (lexicon.spaced != (first and segment.edge))
            elif segment.edge:
                fits = (ends & ~lexicon.spaced) | (goes_on & lexicon.spaced)
            else:
                fits = (ends | goes_on) & lexicon.spaced
        else:
            fits = ends | goes_on
        if self._ban:
            fits &= lexicon.without(self._ban)
        found: WordMask = fits & lexicon.matching(segment.head) if first else fits
        return found

    # -- moving on ------------------------------------------------------------------------------------------------

    def _next(self, track: Track) -> Track:
        return Track(track.segment + 1)

    def _child(self, track: Track, token_id: int) -> Track | None:
        """Further into a word: the rows whose next id is `token_id`, if one of them fits."""
        segment = self._free(track)
        if token_id == END_OF_DOCUMENT or (not track.depth and not self._may_begin(track, segment)):
            return None
        column = self.lexicon.ids[track.low : track.high, track.depth]
        wanted = np.int32(token_id)
        low = track.low + int(np.searchsorted(column, wanted, "left"))
        high = track.low + int(np.searchsorted(column, wanted, "right"))
        if low == high or not self._fitting(track, segment)[low:high].any():
            return None
        return track._replace(low=low, high=high, depth=track.depth + 1)

    def _terminal(self, track: Track) -> int | None:
        """The row of the word that is complete here, if it fits: a shorter word sorts before those it begins."""
        complete = self.lexicon.lengths[track.low] == track.depth and self._fitting(track, self._free(track))[track.low]
        return track.low if complete else None

    def _complete(self, track: Track) -> Track:
        """Between words again, after the word that the track stands at the end of."""
        row, segment, lexicon = track.low, self._free(track), self.lexicon
        used = track.used + int(lexicon.units[row])
        ready = bool(segment.low <= used <= segment.high and lexicon.matching(segment.tail)[row])
        closed = False
        if lexicon.backward and lexicon.marks_first and segment.edge:
            closed = not lexicon.spaced[row]
            ready = ready and closed
        return Track(track.segment, used, words=track.words + 1, ready=ready, closed=closed)


class Planner:
    """Plans of one line. `tail` is the condition of its last word in reading order (its rhyme)."""

    def __init__(self, lexicon: Lexicon, spec: LineSpec, include: tuple[str, ...], tail: Condition) -> None:
        self._lexicon, self._spec, self._include = lexicon, spec, include
        units = lexicon.sounds.units
        self._units = units
        items: list[Item] = list(spec.parts)
        self._head, self._tail = ANYTHING, tail
        if not items:
            items = [Blank(spec.low, spec.high)]
            if len(spec.start) == 1 and lexicon.matching(Condition(starts=spec.start)).any():
                self._head = Condition(starts=spec.start)
            elif spec.start:
                items = [spec.start.rstrip(" "), _shorter(items[0], units(spec.start))]
        if spec.end and isinstance(items[-1], Blank):
            if lexicon.ends_with(spec.end):
                self._tail = replace(tail, ends=spec.end)
            else:
                items[-1:] = [_shorter(items[-1], units(spec.end)), spec.end]
        self._items = [item for item in items if isinstance(item, str) or item.high > 0]

    def plan(self, choose: Choose) -> Segments | None:
        """One plan, or None where the choices made leave no room."""
        items = list(self._items)
        for word in self._include:
            placed = self._place(items, word, choose)
            if placed is None:
                return None
            items = placed
        sized = self._size(items, choose)
        return None if sized is None else self._segments(sized)

    def _place(self, items: list[Item], word: str, choose: Choose) -> list[Item] | None:
        """Put a word into one of the blanks, with blanks of definite length before and after it."""
        size = self._units(word)
        places = []
        for at, item in enumerate(items):
            if not isinstance(item, Blank):
                continue
            for length in range(max(item.low, size), item.high + 1):
                for before in range(length - size + 1):
                    after = length - size - before
                    first, last = at == 0 and before == 0, at == len(items) - 1 and after == 0
                    if (not first or self._meets(word, self._head)) and (not last or self._meets(word, self._tail)):
                        places.append((at, before, after))
        if not places:
            return None
        at, before, after = places[choose(len(places))]
        parts: list[Item] = [Blank(before, before), word, Blank(after, after)]
        return [*items[:at], *(p for p in parts if isinstance(p, str) or p.high), *items[at + 1 :]]

    def _meets(self, word: str, condition: Condition) -> bool:
        """Whether a line may begin or end with `word`."""
        sounds, lower = self._lexicon.sounds, word.lower()
        if condition.keys is not None and not condition.keys & sounds.keys(word):
            return False
        return (
            lower.startswith(condition.starts.lower())
            and lower.endswith(condition.ends.lower())
            and sounds.last_word(word) not in condition.not_words
            and not (condition.not_keys and condition.not_keys & sounds.every_key(word))
        )

    def _size(self, items: list[Item], choose: Choose) -> list[Item] | None:
        """Give every blank a definite length, except a single one that is drawn last."""
        blanks = [item for item in items if isinstance(item, Blank)]
        last_drawn = items[0] if self._lexicon.backward else items[-1]
        given = sum(self._units(item) for item in items if isinstance(item, str))
        low, high = self._spec.low - given, self._spec.high - given
        if len(blanks) == 1 and blanks[0] is last_drawn:
            only = Blank(max(blanks[0].low, low), min(blanks[0].high, high))
            return [only if item is last_drawn else item for item in items] if only.low <= only.high else None
        sized: list[Item] = []
        for item in items:
            if isinstance(item, Blank):
                blanks = blanks[1:]
                least = max(item.low, low - sum(b.high for b in blanks))
                most = min(item.high, high - sum(b.low for b in blanks))
                if least > most:
                    return None
                length = least + choose(most - least + 1)
                low, high = low - length, high - length
                item = Blank(length, length)
            sized.append(item)
        return sized

    def _segments(self, items: list[Item]) -> Segments:
        lexicon = self._lexicon
        plan: list[Fixed | Free] = []
        for at, item in enumerate(items):
            if isinstance(item, str):
                plan.append(Fixed(lexicon.encode_part(item, first=at == 0, last=at == len(items) - 1)))
                continue
            head = self._head if at == 0 else ANYTHING
            tail = self._tail if at == len(items) - 1 else ANYTHING
            if lexicon.backward:
                head, tail = tail, head
            plan.append(Free(item.low, item.high, head, tail, edge=at == 0))
        return tuple(plan[::-1] if lexicon.backward else plan)


def _shorter(item: Item, units: int) -> Blank:
    assert isinstance(item, Blank)
    return Blank(max(item.low - units, 0), item.high - units)
