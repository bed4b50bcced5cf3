"""The command `ostinato`: picks the command's module, and turns every failure into one line and an exit code."""

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from ostinato import __version__
from ostinato.cells import load_cell_file
from ostinato.cli.arguments import Parser
from ostinato.errors import OstinatoError, TextError, UsageError, did_you_mean
from ostinato.terminal import finish, note, one_line, prepare_streams, showing

COMMANDS = {
    "train": "train a model on texts",
    "base": "make a base model from large texts, for other runs to start from",
    "write": "write with a model",
    "suggest": "write together with a model, line by line",
    "score": "measure how well a model predicts a text",
    "compare": "compare n-grams, a window network, a recurrent network and a mixture on the same held-out text",
    "serve": "serve models over HTTP: OpenAI's API and more",
    "studio": "train, write and look inside models in the browser",
    "predict": "predict tags, classes, translations, next lines or forecasts",
    "export": "export a model: one HTML file, ONNX, Hugging Face, ARPA",
    "info": "describe texts, a model or this machine",
    "bench": "measure how fast this machine writes, with torch for comparison if installed",
}


def build_parser(command: str | None = None) -> Parser:
    """The parser, with the options of `command` only (of all commands if None)."""
    parser = Parser(
        prog="ostinato",
        description="Recurrent language models for your own words.",
        epilog="`ostinato COMMAND --help` shows a command's options. To begin: ostinato train lyrics-zh --minutes 2",
    )
    parser.add_argument("--version", action="version", version=f"ostinato {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, help_text in COMMANDS.items():
        sub = commands.add_parser(name, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}.")
        if command in (None, name):
            import_module(f"ostinato.cli.{name}").add_arguments(sub)
            if name != "bench":
                sub.add_argument(
                    "--cell-file", action="append", default=[], metavar="FILE",
                    help="Python file with your own cell; it is executed (docs/how-to-add.md)",
                )  # fmt: skip
    return parser


def command_parser(parser: Parser, name: str) -> Parser:
    """The parser of one command, taken from the one that `build_parser` made."""
    commands: Any = next(action for action in parser._actions if action.dest == "command")
    found: Parser = commands.choices[name]
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit code: 0 done, 1 failed, 2 wrong use, 130 interrupted."""
    prepare_streams()
    try:
        code = _run(list(sys.argv[1:] if argv is None else argv))
        finish()
    except OstinatoError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted", 128 + signal.SIGINT)
    except BrokenPipeError:  # the reader went away (`| head`): no error
        return 128 + 13
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        return _fail(f"{error.strerror or error}{where}", 1)
    except MemoryError:
        return _fail("out of memory: use a smaller model (model.hidden_size) or minibatch (training.batch_size)", 1)
    except Exception as error:
        if os.environ.get("OSTINATO_TRACEBACK"):
            raise
        return _fail(f"a bug in ostinato: {type(error).__name__}: {error} (OSTINATO_TRACEBACK=1 shows where)", 1)
    return code


def _run(arguments: list[str]) -> int:
    """Run the command that the first argument names; exit with 2 if it names none."""
    name = arguments[0] if arguments else ""
    parser = build_parser(name)
    if name in ("-h", "--help", "--version"):
        parser.parse_args(arguments[:1])
    if name not in COMMANDS:
        every = f"the commands are {', '.join(COMMANDS)}"
        if not name:
            parser.error(f"no command given; {every}")
        if name.startswith("-"):
            parser.error(f"the first argument must be a command, got {name}; {every}")
        parser.error(f"unknown command {name}{did_you_mean(name, COMMANDS) or f': {every}'}")
    command = command_parser(parser, name)
    args = command.parse_mixed(arguments[1:])
    args.command = name
    command.check_numbers(args)
    if name == "write" and args.prompt == "-":
        args.prompt = _standard_input()
    try:
        for file in getattr(args, "cell_file", ()):
            load_cell_file(file)
        first = os.environ.get("RANK", "0") == "0"  # of several processes one speaks
        with showing(first and not getattr(args, "quiet", False)):
            code: int = import_module(f"ostinato.cli.{name}").run(args)
    except OstinatoError as error:
        said = str(error)
        return _fail(said and f"{said}{import_module('ostinato.cli.hints').hint(args)}", error.exit_code)
    return code


def _standard_input() -> str:
    """The prompt from standard input, without its final newline."""
    if sys.stdin is None:
        raise UsageError("a prompt of - reads standard input, but standard input is closed")
    try:
        text = sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TextError(f"the prompt on standard input is not UTF-8 (byte {error.start}): convert it first") from None
    return text.replace("\r\n", "\n").removesuffix("\n")


def _fail(message: str, code: int) -> int:
    if message:  # else another process has said it
        note(f"ostinato: {one_line(message)}")
    return code
