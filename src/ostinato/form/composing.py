"""Writing a whole text in form: line by line, going back where a line cannot be written, and never without end."""

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, cast

import numpy as np

from ostinato.errors import GenerationError, UsageError
from ostinato.form.automaton import Line, Planner, Segments
from ostinato.form.form import Form, Group, LineSpec, Outline, fault, outline
from ostinato.form.lexicon import Condition, Lexicon, language_of_vocabulary
from ostinato.form.search import (
    TOKENS_A_LINE,
    TOKENS_A_UNIT,
    Candidate,
    Cursor,
    Draws,
    beam_lines,
    sample_lines,
)
from ostinato.generation import batch
from ostinato.generation.context import open_context
from ostinato.generation.events import Event, Piece, Written
from ostinato.generation.request import Search, TextModel, WriteRequest
from ostinato.generation.sampling import Sampler
from ostinato.generation.stopping import Stop
from ostinato.protocols import END_OF_DOCUMENT, Ids, StepModel, Tokenizer, read_on
from ostinato.text.sounds import Language, Sounds, language_of

PARTICLES = 24
STARTS = 3
"""How often a text is begun anew, with given words in other lines."""
CERTAIN = 16
"""A line is certain, and never taken back, when so many follow it: a long text need not be waited for."""
SPARE_TRIES = 16
"""A start has this many tries to write a line, and three for each line of the form; then it is given up."""


@dataclass(frozen=True)
class Composed:
    """A text in form.

    text: its lines, a blank line between stanzas. title: the line it was written under, or None. lines: its lines.
    tokens: how many it has. log_probability: of its lines under the model at temperature 1, newlines included, in
    nats. tries: how many times a line was searched for.
    """

    text: str
    title: str | None
    lines: tuple[str, ...]
    tokens: int
    log_probability: float
    tries: int

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class _Step:
    """The text up to and with one line, in the order drawn."""

    line: str
    candidate: Candidate
    groups: dict[str, Group]


def stream(model: TextModel, request: WriteRequest) -> Iterator[Event]:
    """Write a request, in form or freely: pieces of text `row` (0 .. count - 1) as they are certain, then `Written`.

    A line in form is certain when the text is complete or CERTAIN lines follow it. Raises UsageError for what cannot be
    asked of this model, and GenerationError for a form that could not be met.
    """
    return batch.stream(model, request) if request.form is None else _stream_form(model, request)


def _stream_form(model: TextModel, request: WriteRequest) -> Iterator[Event]:
    for row in range(request.count):
        begun = _begin(model, request, row)
        if begun.title and model.heading:
            yield Piece(row, f"{model.heading}{begun.title}\n", title=True)
        if begun.backward:
            composed = _finish(begun, list(begun.steps))
            yield Piece(row, composed.text)
        else:
            steps: list[_Step] = []
            for step in begun.steps:
                yield Piece(row, begun.before(len(steps)) + step.line)
                steps.append(step)
            composed = _finish(begun, steps)
        yield Written(row, composed.text, composed.title, "form", composed.tokens)


def compose(
    model: StepModel,
    tokenizer: Tokenizer,
    form: Form,
    prompt: str = "",
    *,
    sampler: Sampler | None = None,
    seed: int = 0,
    row: int = 0,
    heading: str = "",
    title: str | None = None,
    backward: bool = False,
    search: Search = "sample",
    particles: int = PARTICLES,
    words: frozenset[str] | None = None,
    line_documents: bool = False,
) -> Composed:
    """Write one text of the given form.

    prompt: earlier lines, which are read but not part of the form, and the beginning of the first line. heading,
    backward, line_documents: as in `TextModel`. title: the text's title. backward: lines are written from the last,
    each from its rhyme, and neither earlier lines nor a title can be given. search: "sample" (see
    `search.sample_lines`) or "beam". row: the text's number among several of one seed. words: for a model that spells
    (letters, bytes), the words it may write, such as `words_of` its training text; None for all that the dictionary
    has. A model that forbids tokens (-inf), such as `CopyLimit`, keeps forbidding them.

    The work is bounded: STARTS · (SPARE_TRIES + 3 · lines) tries for a line, each of at most 2 · particles candidates
    of at most TOKENS_A_UNIT · length + TOKENS_A_LINE tokens. Raises UsageError for a form that is unclear or
    contradicts itself, and GenerationError, which says what could not be met, if none of these tries succeed.
    """
    text_model = TextModel(model, tokenizer, heading, backward, line_documents, words=lambda: words)
    request = WriteRequest(
        prompt=prompt, form=form, sampler=sampler or Sampler(), seed=seed, title=title, search=search
    )
    return compose_request(text_model, request, row, particles=particles)


@dataclass(frozen=True)
class _Begun:
    """A text before its first line. steps: its lines, in the order drawn, as soon as they are certain."""

    title: str | None
    earlier: list[str]
    stanzas: list[int]
    backward: bool
    writing: "Composing"
    steps: Iterator[_Step]

    def before(self, number: int) -> str:
        """What stands before a line, in reading order: earlier lines, or a newline, or a blank line."""
        if not number:
            return "".join(line + "\n" for line in self.earlier)
        return "\n" * (1 + (self.stanzas[number - 1] != self.stanzas[number]))


def compose_request(model: TextModel, request: WriteRequest, row: int, *, particles: int = PARTICLES) -> Composed:
    """Text `row` of a request in form; see `compose`."""
    begun = _begin(model, request, row, particles)
    return _finish(begun, list(begun.steps))


def _begin(model: TextModel, request: WriteRequest, row: int, particles: int = PARTICLES) -> _Begun:
    """Check the request, and read what comes before the first line."""
    check_particles(particles)
    form = cast(Form, request.form)
    if request.max_copy is not None:
        model = replace(model, step_model=model.restriction(request.max_copy).around(model.step_model))
    language = form.language or language_written(model)
    *earlier, first = request.prompt.split("\n")
    title = request.title
    if model.backward and (earlier or title is not None):
        what = "a title" if title is not None else f"lines before the text, {earlier[0]!r}"
        raise UsageError(
            f"a model that reads from right to left cannot know what comes before a text, and was given {what}: "
            "leave it out, or use a model that reads from left to right"
        )
    definite = outline(form, language, prompt=first)
    lexicon = lexicon_of(model, form, language)
    draws = Draws(request.seed, row)
    writing = Composing(model.step_model, lexicon, definite, request.sampler, draws, request.search, particles)
    if not model.backward and model.heading and title is None and not earlier:
        asked = WriteRequest(sampler=request.sampler, stop=Stop(tokens=1), seed=request.seed + row)
        title = batch.write(model, asked)[0].title
    context = open_context(replace(model, heading="") if model.backward else model, lexicon.as_read(earlier), title)
    steps = writing.steps(open_cursor(model.step_model, (END_OF_DOCUMENT,) if model.backward else context.read))
    return _Begun(title, earlier, [spec.stanza for spec in definite.lines], model.backward, writing, steps)


def _finish(begun: _Begun, steps: list[_Step]) -> Composed:
    """The text of all its lines."""
    if begun.backward:
        steps.reverse()
    lines = tuple(step.line for step in steps)
    return Composed(
        "".join(begun.before(number) + line for number, line in enumerate(lines)),
        begun.title,
        lines,
        sum(len(step.candidate.ids) for step in steps),
        sum(step.candidate.log_probability for step in steps),
        begun.writing.tries,
    )


def check_particles(particles: int) -> None:
    """Raises UsageError for no particles."""
    if particles < 1:
        raise UsageError(f"particles must be 1 or more, got {particles}")


def open_cursor(model: StepModel, read: tuple[int, ...]) -> Cursor:
    """The place after the ids `read`, at least one."""
    ids: Ids = np.array(read[:-1], np.uint32)
    return Cursor(read_on(model, ids, model.initial_state(1)), read[-1:])


def language_written(model: TextModel) -> Language:
    """The language of the vocabulary, or of a sample of what the model writes where that has no letters."""
    of_vocabulary = language_of_vocabulary(model.tokenizer)
    if of_vocabulary is not None:
        return of_vocabulary
    asked = WriteRequest(sampler=Sampler(), stop=Stop(tokens=120), seed=0)
    return language_of(batch.write(replace(model, heading=""), asked)[0].text)


def lexicon_of(model: TextModel, form: Form, language: Language) -> Lexicon:
    """The words of a form's rhyme scheme and language; the last few are kept."""
    return _lexicon(
        cast(Any, model.tokenizer), form.scheme, form.tones, language, model.backward, model.words(),
        model.line_documents,
    )  # fmt: skip


@lru_cache(maxsize=8)
def _lexicon(
    tokenizer: Any,
    scheme: str,
    tones: bool,
    language: Language,
    backward: bool,
    words: frozenset[str] | None,
    line_documents: bool,
) -> Lexicon:
    sounds = Sounds(scheme, tones=tones)
    return Lexicon(tokenizer, sounds, language, backward=backward, words=words, line_documents=line_documents)


class Composing:
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
        self._given = self._rhymes_of_ends()
        self.tries = 0

    def steps(self, opened: Cursor) -> Iterator[_Step]:
        """The lines in the order drawn, as soon as they are certain. Raises GenerationError where one cannot be met."""
        certain: list[_Step] = []
        include: dict[int, tuple[str, ...]] = {}
        for _ in range(STARTS):
            if not certain:  # else words were given to lines that stay
                include = self.assign_words(self._outline.include, range(len(self._outline.lines)))
            if (yield from self._start(opened, include, certain)):
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
        self, opened: Cursor, include: dict[int, tuple[str, ...]], certain: list[_Step]
    ) -> Generator[_Step, None, bool]:
        """One start after the lines that are `certain`, which grow; whether it came to the end."""
        steps = list(certain)
        tries_left = SPARE_TRIES + 3 * len(self._order)
        failures = [0] * len(self._order)
        while len(steps) < len(self._order):
            if not tries_left:
                return False
            tries_left -= 1
            at = len(steps)
            step = self._write_line(opened, steps, include.get(self._order[at], ()), failures[at])
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

    def _write_line(self, opened: Cursor, steps: list[_Step], include: tuple[str, ...], failed: int) -> _Step | None:
        """One try to write the next line; a second one has twice the candidates."""
        number = self._order[len(steps)]
        spec = self._outline.lines[number]
        groups = steps[-1].groups if steps else {}
        group = (groups.get(spec.rhyme) or self.new_group(spec)) if spec.rhyme else None
        cursor = self._cursor(opened, steps, spec)
        others = [step.line for step in steps]
        found = self.candidates(number, cursor, group, others, include, self._particles * (2 if failed else 1))
        if not found:
            return None
        line, chosen = found[self._choose([candidate for _, candidate in found])]
        if group is not None:
            groups = groups | {spec.rhyme: group.with_line(line, self._outline.sounds)}
        return _Step(line, chosen, groups)

    def candidates(
        self,
        number: int,
        cursor: Cursor,
        group: Group | None,
        others: list[str],
        include: tuple[str, ...] = (),
        count: int = PARTICLES,
    ) -> list[tuple[str, Candidate]]:
        """Lines that may be line `number` at `cursor`, from `count` particles; what is wrong with others is noted."""
        self.tries += 1
        spec = self._outline.lines[number]
        lines = self._automata(spec, include, group, count)
        if not lines:
            self._note(number, f"a length of {spec.low} to {spec.high} with the words it must contain")
            return []
        limit = TOKENS_A_UNIT * spec.high + TOKENS_A_LINE
        if self._search == "beam":
            candidates = beam_lines(self._model, cursor, lines, len(lines), limit)
        else:
            candidates = sample_lines(self._model, cursor, lines, self._sampler, self._draws, limit)
        if not candidates:
            self._note(number, "rhyme and length together" if group else "words of that length and beginning")
        found = []
        for candidate in candidates:
            line = self._lexicon.line(candidate.ids)
            wrong = fault(line, spec, self._outline, group=group, include=include, others=others)
            if wrong is None:
                found.append((line, candidate))
            else:
                self._note(number, wrong)
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

    def _cursor(self, opened: Cursor, steps: list[_Step], spec: LineSpec) -> Cursor:
        if not steps:
            return opened
        cursor = steps[-1].candidate.cursor
        before = self._outline.lines[self._order[len(steps) - 1]]
        gap = self._lexicon.blank_line if before.stanza != spec.stanza else ()
        return Cursor(cursor.state, cursor.unread + gap)

    def _automata(self, spec: LineSpec, include: tuple[str, ...], group: Group | None, count: int) -> list[Line]:
        planner = Planner(self._lexicon, spec, include, self._tail(spec, group))
        lines = []
        for _ in range(count):
            plan = planner.plan(self._draws.choose)
            if plan is not None:
                lines.append(self._lines.setdefault(plan, Line(self._lexicon, plan, self._outline.ban)))
        return lines

    def _tail(self, spec: LineSpec, group: Group | None) -> Condition:
        if group is None:
            return Condition()
        partners = 0 if group.keys is not None else self._outline.group_sizes[spec.rhyme]
        return Condition(group.keys, partners, not_words=group.words)

    def new_group(self, spec: LineSpec) -> Group:
        """The group a line rhymes with, before it has a line."""
        return Group(self._given.get(spec.rhyme, spec.keys))

    def _rhymes_of_ends(self) -> dict[str, frozenset[str]]:
        """For groups with letters that lines must end with: the rhymes that have a word for each of them."""
        given: dict[str, frozenset[str]] = {}
        for spec in self._outline.lines:
            condition = Condition(ends=spec.end)
            if not spec.rhyme or len(spec.end) != 1 or not self._lexicon.matching(condition).any():
                continue
            keys = self._lexicon.keys_of(condition)
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
