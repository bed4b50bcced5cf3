"""The command `ostinato`: picks the command's module, and turns every failure into one line and an exit code."""

import argparse
import io
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module

from ostinato import __version__
from ostinato.errors import OstinatoError

COMMANDS = {
    "train": "train a model on texts",
    "write": "write with a model",
    "suggest": "write together, line by line",
    "score": "how well a model predicts a text",
    "compare": "n-grams, a window, the network and a mixture on one held-out split",
    "predict": "tags, classes, translations, next lines or forecasts",
    "info": "what is this text, this model, this machine",
    "bench": "how fast this machine writes, beside what else is installed",
}


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """The parser, with the options of `command` alone (all commands' when None)."""
    parser = argparse.ArgumentParser(
        prog="ostinato",
        description="Recurrent language models for your own words.",
        epilog="`ostinato COMMAND --help` shows a command's options. Start with: ostinato train lyrics-zh --minutes 2",
    )
    parser.add_argument("--version", action="version", version=f"ostinato {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, help_text in COMMANDS.items():
        sub = commands.add_parser(name, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}.")
        if command in (None, name):
            import_module(f"ostinato.cli.{name}").add_arguments(sub)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit code: 0 done, 1 failed, 2 wrong use, 130 interrupted."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="surrogateescape")  # names of files go out with the bytes they came with
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = next((a for a in arguments if a in COMMANDS), None)
    parser = build_parser(command)
    args, rest = parser.parse_known_args(arguments)
    _take_rest(parser, args, rest)
    try:
        code: int = import_module(f"ostinato.cli.{args.command}").run(args)
        sys.stdout.flush()
    except OstinatoError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted", 128 + signal.SIGINT)
    except BrokenPipeError:
        # the reader went away (`| head`): no error; keep Python from complaining when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        return _fail(f"{error.strerror or error}{where}", 1)
    except MemoryError:
        return _fail("out of memory: use a smaller model (model.hidden_size) or minibatch (training.batch_size)", 1)
    except Exception as error:
        if os.environ.get("OSTINATO_TRACEBACK"):
            raise
        return _fail(
            f"a fault of ostinato itself: {type(error).__name__}: {error} (OSTINATO_TRACEBACK=1 shows where)", 1
        )
    return code


def _take_rest(parser: argparse.ArgumentParser, args: argparse.Namespace, rest: list[str]) -> None:
    """Give what stands after the options to an optional positional, which argparse takes for absent before them."""
    if any(argument.startswith("-") and argument != "-" for argument in rest):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest and getattr(args, "prompt", None) == "" and len(rest) == 1:
        args.prompt = rest[0]
    elif rest and args.command == "score" and args.text == ["-"]:
        args.text = rest
    elif rest and args.command == "predict" and args.input == ["-"]:
        args.input = rest
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")


def _fail(message: str, code: int) -> int:
    print(f"ostinato: {' '.join(message.split())}", file=sys.stderr)
    return code
