"""What a model has read before it draws its first token: the beginning of a document, its title, the prompt."""

from dataclasses import dataclass

from ostinato.errors import UsageError
from ostinato.generation.request import TextModel
from ostinato.protocols import END_OF_DOCUMENT


@dataclass(frozen=True)
class Context:
    """What stands before the first drawn token.

    read: ids to read, END_OF_DOCUMENT first. prompt: the beginning of the text itself. title: its title, as far as it
    is given; None where there are no titles. title_open: whether the model goes on with the title; a newline and
    `after_title` come then. heading: what the title's line begins with. before: how many of `read` stand before the
    document, whose beginning then is where one may be. trim: whether its first blank is left out of the text.
    """

    read: tuple[int, ...]
    prompt: str
    title: str | None = None
    title_open: bool = False
    after_title: tuple[int, ...] = ()
    heading: str = ""
    before: int = 1
    trim: bool = False


def open_context(model: TextModel, prompt: str, title: str | None = None) -> Context:
    """How `model` begins a document with `prompt`, after a title where its documents have one.

    A prompt that begins with the heading is read as it stands. Any other comes after a title: `title` ("" for an empty
    one), or one that the model makes up. Without titles and a prompt it begins after the model's opening. Raises
    UsageError for a title that cannot stand there.
    """
    heading, ids = model.heading, model.encode
    start = (END_OF_DOCUMENT,)
    if title is not None and not heading:
        raise UsageError("this model's texts have no titles: leave the title out")
    if title is not None and "\n" in title:
        raise UsageError(f"a title is one line, got {title!r}")
    if not heading and not prompt:
        opening = model.opening
        trim = opening.trim and bool(opening.after)
        return Context(start + opening.after, "", before=1 + len(opening.after), trim=trim)
    if not heading:
        return Context(start + ids(prompt), prompt)
    if prompt.startswith(heading):
        if title is not None:
            raise UsageError(f"the prompt already has a title: leave out the {heading!r} in it, or the title {title!r}")
        first, newline, rest = prompt.removeprefix(heading).partition("\n")
        return Context(start + ids(prompt), rest, first, not newline, (), heading)
    if title is not None:
        return Context(start + ids(f"{heading}{title}\n{prompt}"), prompt, title, heading=heading)
    # without its blank: there are tokenizers whose words begin with the blank before them
    return Context(start + ids(heading.rstrip() or heading), prompt, "", True, ids(prompt), heading)
