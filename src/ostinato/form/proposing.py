"""What may come next in a text that is written line by line: candidates for its next line, in the form of the whole."""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from ostinato.errors import UsageError
from ostinato.form.bonds import Bond
from ostinato.form.checking import left_free
from ostinato.form.composing import check_particles, language_written, lexicon_of, open_cursor
from ostinato.form.form import Form, outline
from ostinato.form.line_writer import PARTICLES, LineWriter
from ostinato.form.search import Candidate, Draws
from ostinato.generation.context import open_context
from ostinato.generation.request import Search, TextModel, WriteRequest
from ostinato.generation.sampling import Sampler
from ostinato.protocols import StepModel, Tokenizer

_DRAWS = 8
"""How often lines are drawn for the words that are still wanted."""
_TRIES = 3
"""How often lines are searched for; the last time, the rules of rhyme that nobody asked for give way."""


class Proposer:
    """Candidates for the next line of a text of given form, whose lines somebody picks, changes or writes.

    The form begins anew after its last line; a template is complete then. A word to include is wanted until a line has
    it; while lines are left for it, only some of the candidates do. Blank lines part stanzas; a first line that begins
    with `heading` is the title, and no line of the form. Raises UsageError for an unclear form, for a title that cannot
    stand there, and for an unknown search.
    """

    def __init__(
        self,
        model: StepModel,
        tokenizer: Tokenizer,
        form: Form,
        *,
        sampler: Sampler | None = None,
        seed: int = 0,
        heading: str = "",
        title: str | None = None,
        search: Search = "sample",
        particles: int = PARTICLES,
        words: frozenset[str] | None = None,
        line_documents: bool = False,
    ) -> None:
        """title: of the text, None for its first line; the others as in `compose`."""
        text_model = TextModel(model, tokenizer, heading, line_documents=line_documents, words=lambda: words)
        request = WriteRequest(form=form, sampler=sampler or Sampler(), seed=seed, title=title, search=search)
        self._begin(text_model, request, particles)

    @classmethod
    def of(cls, model: TextModel, request: WriteRequest) -> "Proposer":
        """A proposer for a request in form; its prompt is left to the caller, who has the lines."""
        proposer = cls.__new__(cls)
        proposer._begin(model, request, PARTICLES)
        return proposer

    def _begin(self, model: TextModel, request: WriteRequest, particles: int) -> None:
        check_particles(particles)
        if model.backward:
            raise UsageError("this model reads from right to left and cannot propose what follows: use write")
        open_context(model, "", request.title)  # refuses a title here, not first at every line
        form = cast(Form, request.form)
        language = form.language or language_written(model)
        self._form, self._outline = replace(form, language=language), outline(form, language)
        self._lexicon = lexicon_of(model, form, language)
        self._model, self._request, self._particles = model, request, particles

    @property
    def notes(self) -> list[str]:
        """What is to be said of the form: the lines that an acrostic leaves free."""
        return left_free(self._form, self._outline)

    def __call__(self, lines: Sequence[str], *, count: int = 5, row: int = 0) -> list[str]:
        """Up to `count` different lines that may follow `lines`; none if the template is complete.

        Another `row` draws other lines; those of a beam search, the likeliest ones, mostly stay the same. Raises
        GenerationError where none was found in 3 tries, and UsageError for a word to include that has no room in any
        line, for two titles, and for a count below 1.
        """
        if count < 1:
            raise UsageError(f"count must be 1 or more, got {count}")
        written = self._written(lines)
        if self.complete(lines):
            return []
        number = len(written) % len(self._outline.lines)
        request, step_model = self._request, self._model.step_model
        draws = Draws(request.seed, row)
        composing = LineWriter(
            step_model, self._lexicon, self._outline, request.sampler, draws, request.search, self._particles
        )
        bonds = self._bonds(composing, number, written)
        cursor = open_cursor(step_model, self._read(lines))
        chosen: list[str] = []
        includes = self._includes(composing, number, lines)
        for place, include in enumerate(includes):
            if len(chosen) == count:
                break
            share = -(-(count - len(chosen)) // (len(includes) - place))
            found: list[tuple[str, Candidate]] = []
            best: list[tuple[str, Candidate]] = []
            for attempt in range(_TRIES):
                last = attempt == _TRIES - 1 and not found
                drawn = composing.candidates(
                    number, cursor, bonds[-1] if last or not attempt else bonds[0], [*written, *chosen], include,
                    max(self._particles, 4 * count),
                )  # fmt: skip
                found += [one for one in drawn if last or bonds[0].accepts(one[0], self._outline.sounds)]
                best = composing.distinct(found, share)
                if len(best) == share:
                    break
            chosen += [line for line, _ in best]
        if not chosen:
            raise composing.refusal()
        return chosen

    def complete(self, lines: Sequence[str]) -> bool:
        """Whether the form is a template and every line of it is written."""
        return self._form.template is not None and len(self._written(lines)) >= len(self._outline.lines)

    def ends_stanza(self, lines: Sequence[str]) -> bool:
        """Whether the form has a blank line after the last of `lines`."""
        written = len(self._written(lines))
        if not written or not lines[-1].strip() or self.complete(lines):
            return False
        specs = self._outline.lines
        return specs[written % len(specs)].stanza != specs[(written - 1) % len(specs)].stanza

    def wanted(self, lines: Sequence[str]) -> tuple[str, ...]:
        """The words to include that are not in `lines` yet."""
        text = "\n".join(self._written(lines)).lower()
        return tuple(word for word in self._form.include if word.lower() not in text)

    def _includes(self, composing: LineWriter, number: int, lines: Sequence[str]) -> list[tuple[str, ...]]:
        """What words candidates for line `number` have, one or two choices, with words first.

        No words are the second choice wherever later lines have room for them.
        """
        wanted = self.wanted(lines)
        if not wanted:
            return [()]
        # where the form begins anew, what has no room in its last lines is left for the next ones
        strict = number == 0 or self._form.template is not None
        total = len(self._outline.lines)
        drawn = [composing.assign_words(wanted, range(number, total), all_of_them=strict) for _ in range(_DRAWS)]
        later = [composing.assign_words(wanted, range(number + 1, total), all_of_them=False) for _ in range(_DRAWS)]
        having = [words for words in dict.fromkeys(given.get(number, ()) for given in drawn) if words]
        most, most_later = (max(sum(map(len, given.values())) for given in each) for each in (drawn, later))
        return [*having[:1], ()] if most_later == most else having[:2]

    def _written(self, lines: Sequence[str]) -> list[str]:
        """The lines of the form among `lines`."""
        return [line for line in lines[self._titled(lines) :] if line.strip()]

    def _titled(self, lines: Sequence[str]) -> bool:
        heading = self._model.heading
        return bool(heading and lines and lines[0].startswith(heading))

    def _read(self, lines: Sequence[str]) -> tuple[int, ...]:
        """The ids that the model reads before its next line."""
        title, heading = self._request.title, self._model.heading
        if heading and title is None:
            title = "".join(lines[:1]).removeprefix(heading)
            lines = lines[self._titled(lines) :]
        if self._model.line_documents:
            lines = [line for line in lines if line.strip()]
        return open_context(self._model, self._lexicon.as_read(lines), title).read

    def _bonds(self, composing: LineWriter, number: int, written: list[str]) -> list[Bond]:
        """What the lines of the form that are written ask of the rhyme of line `number`; see `LineWriter.bonds`."""
        lines = dict(enumerate(written[len(written) - number :] if number else ()))
        return composing.bonds(number, lines)


def next_lines(
    model: StepModel,
    tokenizer: Tokenizer,
    form: Form,
    lines: Sequence[str],
    *,
    count: int = 5,
    sampler: Sampler | None = None,
    seed: int = 0,
    row: int = 0,
    heading: str = "",
    title: str | None = None,
    particles: int = PARTICLES,
    words: frozenset[str] | None = None,
) -> list[str]:
    """Up to `count` different lines that may follow `lines` (blank ones part stanzas) in a text of the given form.

    As one call of a `Proposer`, which see, also for the errors raised.
    """
    proposer = Proposer(
        model, tokenizer, form, sampler=sampler, seed=seed, heading=heading, title=title, particles=particles,
        words=words,
    )  # fmt: skip
    return proposer(lines, count=count, row=row)
