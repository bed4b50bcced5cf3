"""From what a line must be to one definite plan of it: where given words stand, and how long each blank is.

Where a form leaves a choice (the place of a word, the length of a blank), every candidate of the search draws its own,
and the search keeps those that the model finds likely.
"""

from collections.abc import Callable
from dataclasses import replace

from ostinato.form.automaton import ANYTHING, Fixed, Free, Plan
from ostinato.form.form import LineSpec
from ostinato.form.lexicon import Condition, Lexicon
from ostinato.form.template import Blank

Choose = Callable[[int], int]
"""choose(n): a number from 0 to n - 1."""
Item = str | Blank


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
            if len(spec.end) == 1 and lexicon.matching(Condition(ends=spec.end)).any():
                self._tail = replace(tail, ends=spec.end)
            else:
                items[-1:] = [_shorter(items[-1], units(spec.end)), spec.end]
        self._items = [item for item in items if isinstance(item, str) or item.high > 0]

    def plan(self, choose: Choose) -> Plan | None:
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

    def _segments(self, items: list[Item]) -> Plan:
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
