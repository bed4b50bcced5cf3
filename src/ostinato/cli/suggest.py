"""`ostinato suggest MODEL`: writing together, line by line, in the terminal or through a pipe."""

import argparse
import contextlib
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ostinato.cli.form import add_arguments as add_form_arguments
from ostinato.cli.form import form_of, say_notes, speaking_of_options
from ostinato.encodings import decode
from ostinato.errors import OstinatoError, TextError, UsageError
from ostinato.files import write_file
from ostinato.terminal import activity, is_terminal, note, one_line, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `suggest`."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="saved model, or the output folder of a run")
    parser.add_argument("prompt", nargs="?", default="", metavar="PROMPT", help="lines to begin with")
    parser.add_argument("--title", metavar="T", help="title of the text, if the model's texts have titles")
    parser.add_argument("--candidates", type=int, default=5, metavar="N", help="propose N lines at a time (default: 5)")
    parser.add_argument("--lines", type=int, metavar="N", help="lines per stanza")
    parser.add_argument(
        "--temperature", type=float, default=0.8, metavar="T", help="higher is more surprising (default: 0.8)"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="the same seed proposes the same lines")
    parser.add_argument(
        "--precision", choices=("fp32", "int8"), default="fp32", help="precision of the weights (default: fp32)"
    )
    add_form_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Propose lines and obey commands until `q` or the end of input; the text then goes to standard output."""
    from ostinato.api import Model
    from ostinato.cli.session import HELP, Session
    from ostinato.form import Form, Proposer
    from ostinato.form.form import refuse_two_beginnings
    from ostinato.generation import WriteRequest

    if args.candidates < 1:
        raise UsageError(f"--candidates must be 1 or more, got {args.candidates}")
    if str(args.form) == "-":
        raise UsageError(
            "suggest reads commands from standard input, so the form cannot come from there: name a file with --form"
        )
    with speaking_of_options():
        form = form_of(args) or Form(lines=args.lines)
        refuse_two_beginnings(form, args.prompt)
        request = WriteRequest.of(
            form=form, temperature=args.temperature, title=args.title, seed=args.seed, search=args.search
        )
    with activity("loading the model"):
        proposer = Proposer.of(Model(args.model, precision=args.precision).text_model, request)
    say_notes(proposer.notes, set())

    def propose(lines: list[str], time: int) -> list[str]:
        if wanted := proposer.wanted(lines):
            note(f"  still wanted: {', '.join(wanted)}")
        with activity("looking for lines"):
            return proposer(lines, count=args.candidates, row=time)

    session = Session(propose, _edit, note, _save, proposer.ends_stanza)
    session.begin(line for line in args.prompt.split("\n") if line)
    if is_terminal(sys.stdin):
        note(HELP)
    _attempt(session.ask)
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while _attempt(partial(session.obey, _read("> "))):
            pass
    if session.text:
        say(session.text)
        if wanted := proposer.wanted(session.lines):
            note(f"ostinato: the text lacks {', '.join(wanted)} of --include")
    return 0


def _attempt(do: Callable[[], bool | None]) -> bool:
    """Whether the session continues after a step; prints what was wrong with the step."""
    try:
        return do() is not False
    except OstinatoError as error:
        note(f"ostinato: {one_line(str(error))}")
        return True


def _read(prompt: str) -> str:
    if is_terminal(sys.stdin):
        return input(prompt)
    stream = getattr(sys.stdin, "buffer", None)
    line: str | bytes = sys.stdin.readline() if stream is None else stream.readline()
    if not line:
        raise EOFError
    try:
        return line if isinstance(line, str) else decode(line, "the line")
    except TextError as error:
        note(f"ostinato: {one_line(str(error))}")
        return _read(prompt)


def _edit(line: str) -> str:
    """The user's version of a line: a terminal's line editor starts from `line`; a pipe gives it as its next line."""
    if not is_terminal(sys.stdin):
        return _read("").strip()
    import readline

    readline.set_startup_hook(lambda: readline.insert_text(line))
    try:
        return input("= ").strip()
    finally:
        readline.set_startup_hook(None)


def _save(path: str, text: str) -> None:
    try:
        write_file(Path(path), text)
    except OSError as error:
        raise UsageError(f"cannot save {path}: {error.strerror or error}; the text is kept, s FILE saves it") from None
