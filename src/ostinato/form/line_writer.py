"""The lines of a text in form, one by one: going back where a line cannot be written, and never without end."""

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ostinato.errors import GenerationError, UsageError
from ostinato.form.automaton import Line, Planner, Segments
from ostinato.form.bonds import Bond, Bonds
from ostinato.form.checking import asked, fault
from ostinato.form.form import LineSpec, Outline
from ostinato.form.lexicon import Condition, Lexicon
from ostinato.form.search import (
    TOKENS_A_LINE,
    TOKENS_A_UNIT,
    Candidate,
    Cursor,
    Draws,
    beam_lines,
    sample_lines,
)
from ostinato.generation.request import Search
from ostinato.generation.sampling import Sampler
from ostinato.protocols import StepModel

PARTICLES = 24
STARTS = 3
"""How often a text is begun anew, with given words in other lines."""
CERTAIN = 16
"""A line is certain, and never taken back, when so many follow it: a long text need not be waited for."""
SPARE_TRIES = 16
"""A start has this many tries to write a line, and three for each line of the form; then it is given up."""
PATIENCE = 5
"""When a line failed so often, one of the rules that nobody asked for gives way: see `bonds`."""


@dataclass(frozen=True)
class Step:
    """One line, as it was drawn."""

    line: str
    candidate: Candidate


class LineWriter:
    """One call of `compose` or of a `Proposer`: `number` is a line's place in the outline, in reading order."""

    def __init__(
        self,
        model: StepModel,
        lexicon: Lexicon,
        outline: Outline,
        sampler: Sampler,
        draws: Draws,
        search: Search,
        particles: int,
    ) -> None:
        self._model, self._lexicon, self._outline = model, lexicon, outline
        self._sampler, self._draws, self._search, self._particles = sampler, draws, search, particles
        self._order = list(range(len(outline.lines)))[:: -1 if lexicon.backward else 1]
        self._lines: dict[Segments, Line] = {}
        self._faults: Counter[str] = Counter()
        self._bonds = Bonds(outline, self._rhymes_of_ends())
        self.tries = 0

    def steps(self, opened: Cursor) -> Iterator[Step]:
        """The lines in the order drawn, as soon as they are certain. Raises GenerationError where one cannot be met."""
        certain: list[Step] = []
        include: dict[int, tuple[str, ...]] = {}
        for start in range(STARTS):
            if not certain:  # else words were given to lines that stay
                include = self.assign_words(self._outline.include, range(len(self._outline.lines)))
            if (yield from self._start(opened, include, certain, loose=start == STARTS - 1)):
                return
        raise self.refusal()

    def refusal(self) -> GenerationError:
        """What to say when nothing was found: what went wrong most often."""
        (reason, _), *_ = self._faults.most_common(1) or [("the form", 0)]
        return GenerationError(
            f"the model could not write this form: {reason} could not be met in {self.tries} tries; ask for less, or "
            "raise the temperature"
        )

    def _start(
        self, opened: Cursor, include: dict[int, tuple[str, ...]], certain: list[Step], *, loose: bool
    ) -> Generator[Step, None, bool]:
        """One start after the lines that are `certain`, which grow; whether it came to the end.

        loose: only what was asked for is asked of rhymes.
        """
        steps = list(certain)
        tries_left = SPARE_TRIES + 3 * len(self._order)
        failures = [0] * len(self._order)
        while len(steps) < len(self._order):
            if not tries_left:
                return False
            tries_left -= 1
            at = len(steps)
            step = self._write_line(opened, steps, include.get(self._order[at], ()), failures[at], loose=loose)
            if step is not None:
                steps.append(step)
                if len(steps) - len(certain) > CERTAIN:
                    certain.append(steps[len(certain)])
                    yield certain[-1]
                continue
            failures[at] += 1
            if failures[at] % 2 == 0:  # the lines before leave no room: each time one more of them is taken back
                del steps[max(len(certain), at - failures[at] // 2) :]
        yield from steps[len(certain) :]
        return True

    def _write_line(
        self, opened: Cursor, steps: list[Step], include: tuple[str, ...], failed: int, *, loose: bool
    ) -> Step | None:
        """One try to write the next line; a second one has twice the candidates.

        The line is drawn as if only what was asked for were asked of its rhyme, so that a text that keeps the other
        rules anyway is the same with them. A line that breaks one is passed over for another candidate.
        """
        number = self._order[len(steps)]
        cursor = self._cursor(opened, steps, self._outline.lines[number])
        bonds = self.bonds(number, {place: step.line for place, step in zip(self._order, steps, strict=False)})
        bond = bonds[-1] if loose else bonds[min(failed // PATIENCE, len(bonds) - 1)]
        others, count = [step.line for step in steps], self._particles * (2 if failed else 1)
        masked = bond if failed % 2 else replace(bonds[-1], ahead=frozenset())
        found = self.candidates(number, cursor, masked, others, include, count)
        if not found:
            return None
        line, chosen = found[self._choose([candidate for _, candidate in found])]
        if not bond.accepts(line, self._outline.sounds):
            found = [(line, candidate) for line, candidate in found if bond.accepts(line, self._outline.sounds)]
            if not found:
                self._note(number, asked(self._outline, number, rhymes=True, length=False))
                return None
            line, chosen = found[self._choose([candidate for _, candidate in found])]
        return Step(line, chosen)

    def bonds(self, number: int, lines: Mapping[int, str]) -> list[Bond]:
        """What the written lines ask of the rhyme of line `number`: the strictest bond that some word meets, and what
        is left of it as its rules give way."""
        end = self._outline.lines[number].end
        letter = end if self._lexicon.ends_with(end) else ""
        bonds = list(self._bonds.bond(number, lines).looser())
        for at, bond in enumerate(bonds):
            if self._lexicon.matching(replace(bond.condition, ends=letter)).any():
                return bonds[at:]
        return bonds[-1:]

    def candidates(
        self,
        number: int,
        cursor: Cursor,
        bond: Bond,
        others: list[str],
        include: tuple[str, ...] = (),
        count: int = PARTICLES,
    ) -> list[tuple[str, Candidate]]:
        """Lines that may be line `number` at `cursor`, from `count` particles; what is wrong with others is noted."""
        self.tries += 1
        spec = self._outline.lines[number]
        lines = self._automata(spec, include, bond, count)
        if not lines:
            self._note(number, asked(self._outline, number, include))
            return []
        limit = TOKENS_A_UNIT * spec.high + TOKENS_A_LINE
        if self._search == "beam":
            candidates = beam_lines(self._model, cursor, lines, len(lines), limit)
        else:
            candidates = sample_lines(self._model, cursor, lines, self._sampler, self._draws, limit)
        if not candidates:
            self._note(number, asked(self._outline, number, include, rhymes=bond.rhymes))
        found = []
        for candidate in candidates:
            line = self._lexicon.line(candidate.ids)
            wrong = fault(line, spec, self._outline, bond=bond, include=include, others=others)
            if wrong is None:
                found.append((line, candidate))
            else:
                self._note(
                    number, asked(self._outline, number, rhymes=True, length=False) if wrong == "rhyme" else wrong
                )
        return found

    def distinct(self, found: list[tuple[str, Candidate]], count: int) -> list[tuple[str, Candidate]]:
        """At most `count` different lines of `found`, drawn in proportion to their weights."""
        chosen: dict[str, Candidate] = {}
        while found and len(chosen) < count:
            line, candidate = found[self._choose([candidate for _, candidate in found])]
            chosen[line] = candidate
            found = [(other, c) for other, c in found if other != line]
        return list(chosen.items())

    def _choose(self, candidates: list[Candidate]) -> int:
        if self._search == "beam":
            return max(range(len(candidates)), key=lambda i: candidates[i].log_probability / len(candidates[i].ids))
        log_weights = np.array([c.log_weight for c in candidates])
        cumulative = np.cumsum(np.exp(log_weights - log_weights.max()))
        return int((cumulative > self._draws.take(1)[0] * cumulative[-1]).argmax())

    def _cursor(self, opened: Cursor, steps: list[Step], spec: LineSpec) -> Cursor:
        if not steps:
            return opened
        cursor = steps[-1].candidate.cursor
        before = self._outline.lines[self._order[len(steps) - 1]]
        gap = self._lexicon.blank_line if before.stanza != spec.stanza else ()
        return Cursor(cursor.state, cursor.unread + gap)

    def _automata(self, spec: LineSpec, include: tuple[str, ...], bond: Bond, count: int) -> list[Line]:
        planner = Planner(self._lexicon, spec, include, bond.condition)
        lines = []
        for _ in range(count):
            plan = planner.plan(self._draws.choose)
            if plan is not None:
                lines.append(self._lines.setdefault(plan, Line(self._lexicon, plan, self._outline.ban)))
        return lines

    def _rhymes_of_ends(self) -> dict[str, frozenset[str]]:
        """For groups with letters that lines must end with: the rhymes that have a word for each of them."""
        given: dict[str, frozenset[str]] = {}
        for spec in self._outline.lines:
            if not spec.rhyme or not self._lexicon.ends_with(spec.end):
                continue
            keys = self._lexicon.keys_of(Condition(ends=spec.end))
            keys &= given.get(spec.rhyme, keys if spec.keys is None else spec.keys)
            if not keys:
                raise UsageError(
                    "contradictory form: the words that end with the letters asked for have no rhyme in common"
                )
            given[spec.rhyme] = keys
        return given

    def assign_words(
        self, words: Sequence[str], numbers: Iterable[int], *, all_of_them: bool = True
    ) -> dict[int, tuple[str, ...]]:
        """A line of `numbers` for each word that must be in the text: any that has room, drawn at random.

        Raises UsageError for a word without room, unless not `all_of_them` need a line.
        """
        numbers = list(numbers)
        assigned: dict[int, tuple[str, ...]] = {}
        units = self._outline.sounds.units
        for word in words:
            places = []
            for number in numbers:
                spec = self._outline.lines[number]
                others = assigned.get(number, ())
                given = sum(map(units, others)) + (units(spec.start) if len(spec.start) > 1 else 0)
                room = (
                    max((part.high for part in spec.parts if not isinstance(part, str)), default=0)
                    if spec.parts
                    else spec.high
                )
                if given + units(word) + bool(spec.start) <= room:
                    places.append((len(others), number))
            if not places and not all_of_them:
                continue
            if not places:
                raise UsageError(f"contradictory form: no line has room for {word!r}")
            # lines with fewer given words first: two in one line are hard to write
            fewest = [number for size, number in places if size == min(places)[0]]
            number = fewest[self._draws.choose(len(fewest))]
            assigned[number] = (*assigned.get(number, ()), word)
        return assigned

    def _note(self, number: int, what: str) -> None:
        self._faults[f"{what} (line {number + 1})"] += 1
