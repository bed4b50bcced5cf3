"""The options of writing in form, shared by `write` and `suggest`."""

import argparse
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.encodings import read_user_text
from ostinato.errors import MissingExtraError, TextError, UsageError

if TYPE_CHECKING:
    from ostinato.form import Form

_OPTIONS = ("length", "rhyme", "tones", "acrostic", "acrostic_end", "include", "ban", "form")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The argument group `form`. `--lines` is the caller's: lines a stanza where any of these is given."""
    form = parser.add_argument_group("form", "what is asked for here is kept, or refused with the reason")
    form.add_argument(
        "--length", metavar="N", help="characters (Chinese) or syllables (English) a line: 7, 5-9, 7,7,5,5"
    )
    form.add_argument("--rhyme", metavar="R", help="a scheme (AABA), a sound (ang, night), or both (AABA,A=ang)")
    form.add_argument("--rhyme-scheme", choices=("13", "18"), default="13", help="Chinese rhymes: 十三辙 or 十八韵")
    form.add_argument("--tones", action="store_true", help="Chinese rhymes must have the same tone")
    form.add_argument("--acrostic", default="", metavar="TEXT", help="what the first characters of the lines spell")
    form.add_argument("--acrostic-end", default="", metavar="TEXT", help="what the last characters of the lines spell")
    form.add_argument("--include", action="append", default=[], metavar="WORDS", help="words that must be there: 桥,雨")
    form.add_argument("--ban", action="append", default=[], metavar="WORDS", help="words that must not")
    form.add_argument("--stanzas", type=int, metavar="N", help="N stanzas")
    form.add_argument("--form", type=Path, metavar="FILE", help="fill in the blanks of a text: ____, or _ a character")
    form.add_argument(
        "--search", choices=("sample", "beam"), default="sample", help="draw lines, or take the likeliest"
    )


def form_of(args: argparse.Namespace) -> "Form | None":
    """The form that was asked for; None if no option of the group was used. Raises UsageError."""
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
"""Arguments of `WriteRequest.of`, `Form` and `Model` that the commands have as options of the same names."""
_NAMED = re.compile(rf"\b({'|'.join(_ARGUMENTS)})=|^({'|'.join(_ARGUMENTS)})(?= must\b)")


@contextmanager
def speaking_of_options() -> Iterator[None]:
    """Inside, what is wrong with an argument (`max_copy=`, `lines must be`) is said of its option (`--max-copy`)."""
    try:
        yield
    except UsageError as error:
        text = _NAMED.sub(lambda match: "--" + (match[1] or match[2]).replace("_", "-"), str(error))
        raise type(error)(text) from None


def rhyme_report(texts: "list[str]") -> dict[str, Any] | None:
    """Rhyme density of texts for `info`; None where the extra `form` is not installed."""
    from ostinato.text.rhyme import rhyme_density
    from ostinato.text.sounds import Sounds

    try:
        found = rhyme_density((line for text in texts for line in [*text.split("\n"), ""]), Sounds())
    except MissingExtraError:
        return None
    return {
        "lines": found.lines,
        "rhyming": round(found.density, 4),
        "couplets": round(found.couplets / max(found.lines, 1), 4),
        "alternate": round(found.alternate / max(found.lines, 1), 4),
    }


def _words(given: list[str]) -> tuple[str, ...]:
    return tuple(word for part in given for word in part.replace("，", ",").split(",") if word)
