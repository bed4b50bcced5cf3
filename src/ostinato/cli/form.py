"""The options of writing in form, shared by `write` and `suggest`."""

import argparse
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ostinato.encodings import read_user_text
from ostinato.errors import TextError, UsageError
from ostinato.terminal import note

if TYPE_CHECKING:
    from ostinato.form import Form

_OPTIONS = ("length", "rhyme", "tones", "acrostic", "acrostic_end", "include", "ban", "form")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The argument group `form`. The caller adds `--lines`: with any of these options it means lines per stanza."""
    form = parser.add_argument_group(
        "form", "the text has exactly this form; if that is impossible, the command says why"
    )
    form.add_argument(
        "--length", metavar="N", help="characters (Chinese) or syllables (English) per line: 7, 5-9, 7,7,5,5"
    )
    form.add_argument("--rhyme", metavar="R", help="rhyme scheme (AABA), sound (ang, night), or both (AABA,A=ang)")
    form.add_argument(
        "--rhyme-scheme", choices=("13", "18"), default="13", help="Chinese rhyme table: 十三辙 (13) or 十八韵 (18)"
    )
    form.add_argument("--tones", action="store_true", help="Chinese rhymes must also agree in tone")
    form.add_argument(
        "--acrostic", default="", metavar="TEXT", help="text that the first characters of the lines spell"
    )
    form.add_argument(
        "--acrostic-end", default="", metavar="TEXT", help="text that the last characters of the lines spell"
    )
    form.add_argument("--include", action="append", default=[], metavar="WORDS", help="words that must appear: 桥,雨")
    form.add_argument("--ban", action="append", default=[], metavar="WORDS", help="words that must not appear")
    form.add_argument("--stanzas", type=int, metavar="N", help="number of stanzas")
    form.add_argument(
        "--form", type=Path, metavar="FILE", help="text with blanks to fill in: ____, or one _ per character"
    )
    form.add_argument(
        "--search",
        choices=("sample", "beam"),
        default="sample",
        help="sample lines (default), or search for the likeliest ones",
    )


def form_of(args: argparse.Namespace) -> "Form | None":
    """The form that the options describe; None if no option of the group was used. Raises UsageError."""
    if not any(getattr(args, name) for name in _OPTIONS) and args.stanzas is None:
        return None
    from ostinato.form import Form

    template = None
    if args.form is not None:
        try:
            template = read_user_text(args.form)
        except OSError as error:
            raise TextError(f"cannot read the form {args.form}: {error.strerror or error}") from None
    return Form(
        lines=args.lines,
        stanzas=1 if args.stanzas is None else args.stanzas,
        length=args.length,
        rhyme=args.rhyme,
        scheme=args.rhyme_scheme,
        tones=args.tones,
        acrostic=args.acrostic,
        acrostic_end=args.acrostic_end,
        include=_words(args.include),
        ban=_words(args.ban),
        template=template,
    )


_ARGUMENTS = (
    "acrostic", "acrostic_end", "ban", "count", "form", "include", "length", "lines", "max_copy", "min_p", "precision",
    "repetition_penalty", "rhyme", "search", "seed", "stanzas", "stop", "temperature", "title", "tokens", "top_k",
    "top_p",
)  # fmt: skip
"""Arguments of `WriteRequest.of`, `Form` and `Model` that are command-line options of the same name."""
_NAMED = re.compile(rf"\b({'|'.join(_ARGUMENTS)})=|^({'|'.join(_ARGUMENTS)})(?= must\b)")


def say_notes(notes: Iterable[str], said: set[str], which: str = "") -> None:
    """Say what is to be said of a text in form, once; `which` text it is, where there are several. What holds for all
    of them, the lines that an acrostic leaves free, is said of none."""
    for remark in notes:
        told = remark if remark.endswith("freely") else which + remark
        if told not in said:
            said.add(told)
            note(as_options(told))


@contextmanager
def speaking_of_options() -> Iterator[None]:
    """Inside, errors that name an argument (`max_copy=`, `lines must be`) name its option (`--max-copy`) instead."""
    try:
        yield
    except UsageError as error:
        raise type(error)(as_options(str(error))) from None


def as_options(message: str) -> str:
    """A message that names arguments, with the options of the same names."""
    return _NAMED.sub(lambda match: "--" + (match[1] or match[2]).replace("_", "-"), message)


def _words(given: list[str]) -> tuple[str, ...]:
    return tuple(word for part in given for word in part.replace("，", ",").split(",") if word)
