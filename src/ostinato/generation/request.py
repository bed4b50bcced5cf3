"""One piece of writing that is asked for, and the model that is to write it."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol, Self, TypedDict, Unpack

import numpy as np
import numpy.typing as npt

from ostinato.errors import UsageError, did_you_mean
from ostinato.generation.random import check_seed
from ostinato.generation.sampling import Sampler
from ostinato.generation.stopping import Stop, check_whole
from ostinato.protocols import END_OF_DOCUMENT, StepModel, Tokenizer
from ostinato.text.openings import Opening, Openings

Search = Literal["sample", "beam"]

TEMPERATURE = 0.8
"""The temperature of a request that does not name one: a little safer than the model's own distribution."""


_SAMPLER = Sampler(temperature=TEMPERATURE)
_STOP = Stop()


class SomeForm(Protocol):
    """What this room knows of a `form.Form`."""

    def with_lines(self, lines: int) -> Self:
        """The form with `lines` lines in each stanza."""
        ...


def new_seed() -> int:
    """A seed for a request that names none."""
    return secrets.randbits(32)


class WriteOptions(TypedDict, total=False):
    """The keyword arguments of `WriteRequest.of` and `Model.write`, for type checkers."""

    lines: int | None
    tokens: int | None
    stop: str | Sequence[str]
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    title: str | None
    form: SomeForm | None
    search: Search
    seed: int | None
    max_copy: int | None
    only_known: bool


@dataclass(frozen=True, kw_only=True)
class WriteRequest:
    """All that belongs to one piece of writing, and nothing else: no model, no output.

    prompt: what the text begins with (ends with, for a model that reads from right to left). sampler: how each token is
    chosen. stop: where a text ends. form: rhyme, line lengths and so on, which the text keeps; `stop.lines` are then
    the lines of a stanza, and nothing else can stop it. search: how lines in form are found. title: the title to write
    under (None: the model makes one up, where its texts have titles; "": none). seed: the same seed gives the same
    text; a request without one draws it when it is made. count: how many texts. max_copy: never more than so many
    tokens of the training text in a row. only_known: never a character that the model would have to spell in bytes,
    because its text has it at most once. Raises UsageError for a value that cannot be used.
    """

    prompt: str = ""
    sampler: Sampler = _SAMPLER
    stop: Stop = _STOP
    form: SomeForm | None = None
    search: Search = "sample"
    title: str | None = None
    seed: int = field(default_factory=new_seed)
    count: int = 1
    max_copy: int | None = None
    only_known: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.prompt, str):
            raise UsageError(f"prompt must be a text, got {self.prompt!r}")
        for name, value in (("count", self.count), ("max_copy", self.max_copy)):
            if value is not None:
                check_whole(name, value)
        check_seed(self.seed)
        if self.title is not None and "\n" in self.title:
            raise UsageError(f"a title is one line, got {self.title!r}")
        if self.search not in ("sample", "beam"):
            raise UsageError(f"search must be sample or beam, got {self.search!r}")
        if self.form is None:
            return
        for name, given in (("tokens", self.stop.tokens), ("stop", self.stop.texts or None)):
            if given is not None:
                raise UsageError(
                    f"{name}= does not go with form=, which says itself how long the text is: leave one out"
                )
        if self.stop.lines is not None:
            object.__setattr__(self, "form", self.form.with_lines(self.stop.lines))
            object.__setattr__(self, "stop", Stop())

    @classmethod
    def of(cls, prompt: str = "", *, count: int = 1, **options: Unpack[WriteOptions]) -> "WriteRequest":
        """A request from loose values, as `Model.write` and the command line take them; seed None draws one.

        Raises UsageError for a name that is no option.
        """
        for name in options.keys() - WriteOptions.__annotations__.keys():
            raise UsageError(f"{name} is no option of write{did_you_mean(name, WriteOptions.__annotations__)}")
        stop = options.get("stop", ())
        seed = options.get("seed")
        return cls(
            prompt=prompt,
            sampler=Sampler(
                temperature=options.get("temperature", TEMPERATURE),
                top_k=options.get("top_k", 0),
                top_p=options.get("top_p", 1.0),
                min_p=options.get("min_p", 0.0),
                repetition_penalty=options.get("repetition_penalty", 1.0),
            ),
            stop=Stop(
                lines=options.get("lines"),
                tokens=options.get("tokens"),
                texts=(stop,) if isinstance(stop, str) else tuple(stop),
            ),
            form=options.get("form"),
            search=options.get("search", "sample"),
            title=options.get("title"),
            seed=new_seed() if seed is None else seed,
            count=count,
            max_copy=options.get("max_copy"),
            only_known=options.get("only_known", False),
        )


class Restriction(Protocol):
    """Tokens that one text may not go on with, whatever the model says: `evaluation.novelty_limit.NoCopies` is one."""

    @property
    def span(self) -> int:
        """How many of the last ids it looks at."""
        ...

    def forbidden(self, last: Sequence[int]) -> npt.NDArray[np.bool_]:
        """(V,) bool, the ids that may not come next, after the `last` ids read or drawn (at most `span`)."""
        ...

    def around(self, model: StepModel) -> StepModel:
        """`model` under this restriction, for those who search with it."""
        ...


def _no_words() -> frozenset[str] | None:
    return None


@dataclass(frozen=True)
class TextModel:
    """A `StepModel` with what it takes to write text with it.

    heading: what a title line begins with in the model's documents ("" where they have no titles). backward: it reads
    and writes from right to left. line_documents: each line is a document of its own, so that the end of a document
    ends a line. restrict: makes the restriction of a copy limit (None: copies cannot be found). words: the words that a
    model that spells may write in form (None: all that the dictionary has). opening: what a text without a prompt
    begins after, and with.
    """

    step_model: StepModel
    tokenizer: Tokenizer
    heading: str = ""
    backward: bool = False
    line_documents: bool = False
    restrict: Callable[[int], Restriction] | None = None
    words: Callable[[], frozenset[str] | None] = _no_words
    opening: Opening = field(default=Opening())

    @cached_property
    def openings(self) -> Openings:
        """What texts without a prompt begin with; where texts have titles, those come first."""
        opening = Opening() if self.heading else self.opening
        return Openings(opening, self.tokenizer, backward=self.backward)

    def encode(self, text: str) -> tuple[int, ...]:
        """Ids of `text` in reading order; END_OF_DOCUMENT between lines that are documents."""
        if not self.line_documents or "\n" not in text:
            return tuple(self.tokenizer.encode(text).tolist())
        first, *others = text.split("\n")
        ids = list(self.tokenizer.encode(first).tolist())
        for line in others:
            ids += [END_OF_DOCUMENT, *self.tokenizer.encode(line).tolist()]
        return tuple(ids)

    def restriction(self, max_copy: int) -> Restriction:
        """What keeps a text from copying more than `max_copy` tokens. Raises UsageError where that cannot be known."""
        if self.restrict is None:
            raise UsageError("max_copy= needs the model's training text, which is not available: leave it out")
        return self.restrict(max_copy)
