"""What happens while texts are written: a piece of one of them, one of them finished, one that cannot go on."""

from dataclasses import dataclass, field
from html import escape

from ostinato.errors import GenerationError
from ostinato.generation.stopping import Reason


@dataclass(frozen=True)
class Piece:
    """A piece of text `row`, in order, as soon as it is certain; `title` where it belongs to the title's line.

    A row's pieces joined are the document as far as it was written: title line, heading and newline included.
    ids: what the model has read since the row's last piece (or since the prompt), drawn or put in, in order.
    """

    row: int
    text: str
    title: bool = False
    ids: tuple[int, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True)
class Written:
    """A finished text.

    text: the prompt and what was written after it. title: the title it was written under, None where the model's
    texts have none. reason: why it ended. tokens: how many tokens were drawn for it, its title's included. ids: those
    tokens, in the order drawn. read: how many tokens the model had read before the first of them. rest: as `Piece.ids`,
    since the last piece. notes: what is to be said of a text in form, see `form.Composed`.
    """

    row: int
    text: str
    title: str | None
    reason: Reason
    tokens: int
    ids: tuple[int, ...] = field(default=(), compare=False, repr=False)
    read: int = field(default=0, compare=False, repr=False)
    rest: tuple[int, ...] = field(default=(), compare=False, repr=False)
    notes: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        """The text with its title, for notebooks."""
        heading = "" if self.title is None else f"<b>{escape(self.title)}</b>"
        return f'<div>{heading}<pre style="white-space:pre-wrap">{escape(self.text)}</pre></div>'


@dataclass(frozen=True)
class Failed:
    """A text that cannot be written on; the others of its batch can."""

    row: int
    error: GenerationError


Event = Piece | Written | Failed
