"""Writing a whole text in form: from a request to its lines, as they are certain, and to the finished text."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, cast

import numpy as np

from ostinato.errors import UsageError
from ostinato.form.checking import left_free, remarks
from ostinato.form.form import Form, Outline, outline
from ostinato.form.lexicon import Lexicon, language_of_vocabulary
from ostinato.form.line_writer import PARTICLES, LineWriter, Step
from ostinato.form.search import Cursor, Draws
from ostinato.generation import batch
from ostinato.generation.context import open_context
from ostinato.generation.events import Event, Piece, Written
from ostinato.generation.request import Search, TextModel, WriteRequest
from ostinato.generation.sampling import Sampler
from ostinato.generation.stopping import Stop
from ostinato.protocols import Ids, StepModel, Tokenizer, read_on
from ostinato.text.sounds import Language, Sounds, language_of


@dataclass(frozen=True)
class Composed:
    """A text in form.

    text: its lines, a blank line between stanzas. title: the line it was written under, or None. lines: its lines.
    tokens: how many it has. log_probability: of its lines under the model at temperature 1, newlines included, in
    nats. tries: how many times a line was searched for. notes: what is to be said of its form: lines that an acrostic
    leaves free, rhymes that are not as they should be since nothing else was found.
    """

    text: str
    title: str | None
    lines: tuple[str, ...]
    tokens: int
    log_probability: float
    tries: int
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text


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
            steps: list[Step] = []
            for step in begun.steps:
                yield Piece(row, begun.before(len(steps)) + step.line)
                steps.append(step)
            composed = _finish(begun, steps)
        yield Written(row, composed.text, composed.title, "form", composed.tokens, notes=composed.notes)


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
    form: Form
    outline: Outline
    backward: bool
    writing: LineWriter
    steps: Iterator[Step]

    def before(self, number: int) -> str:
        """What stands before a line, in reading order: earlier lines, or a newline, or a blank line."""
        if not number:
            return "".join(line + "\n" for line in self.earlier)
        before, this = self.outline.lines[number - 1 : number + 1]
        return "\n" * (1 + (before.stanza != this.stanza))


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
    writing = LineWriter(model.step_model, lexicon, definite, request.sampler, draws, request.search, particles)
    if not model.backward and model.heading and title is None and not earlier:
        asked = WriteRequest(sampler=request.sampler, stop=Stop(tokens=1), seed=request.seed + row)
        title = batch.write(model, asked)[0].title
    context = open_context(replace(model, heading="") if model.backward else model, lexicon.as_read(earlier), title)
    steps = writing.steps(open_cursor(model.step_model, context.read))
    return _Begun(title, earlier, form, definite, model.backward, writing, steps)


def _finish(begun: _Begun, steps: list[Step]) -> Composed:
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
        (*left_free(begun.form, begun.outline), *remarks(begun.outline, lines)),
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
