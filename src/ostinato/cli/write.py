"""`ostinato write MODEL [PROMPT]`"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.cli.form import add_arguments as add_form_arguments
from ostinato.cli.form import as_options, form_of, say_notes, speaking_of_options
from ostinato.errors import UsageError
from ostinato.files import path, replacing
from ostinato.terminal import activity, is_terminal, note, one_line, quoted, say, say_json

if TYPE_CHECKING:
    from ostinato.api import Model
    from ostinato.generation import Event, Written


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `write`."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="saved model, or the output folder of a run")
    parser.add_argument(
        "prompt",
        nargs="?",
        default="",
        metavar="PROMPT",
        help="beginning of the text (- reads standard input)",
    )
    length = parser.add_argument_group("length")
    length.add_argument("--lines", type=int, metavar="N", help="stop after N lines (with a form: lines per stanza)")
    length.add_argument("--tokens", type=int, metavar="N", help="stop after N tokens")
    length.add_argument("--stop", action="append", default=[], metavar="TEXT", help="stop where TEXT appears")
    length.add_argument("--count", type=int, default=1, metavar="N", help="write N texts (default: 1)")
    titles = parser.add_mutually_exclusive_group()
    titles.add_argument(
        "--title", metavar="T",
        help="title of the text, if the model's texts have titles (default: the model makes one up)",
    )  # fmt: skip
    titles.add_argument(
        "--no-title",
        action="store_const",
        const="",
        dest="title",
        help="write without a title",
    )
    sampling = parser.add_argument_group("sampling")
    sampling.add_argument(
        "--temperature",
        type=float,
        default=0.8,
        metavar="T",
        help="higher is more surprising; 0 always takes the likeliest token (default: 0.8)",
    )
    sampling.add_argument(
        "--greedy", action="store_const", const=0.0, dest="temperature", help="the same as --temperature 0"
    )
    sampling.add_argument("--top-k", type=int, default=0, metavar="K", help="only the K likeliest tokens")
    sampling.add_argument(
        "--top-p",
        type=float,
        default=1.0,
        metavar="P",
        help="only the likeliest tokens that together have probability P",
    )
    sampling.add_argument(
        "--min-p", type=float, default=0.0, metavar="P", help="only tokens at least P times as likely as the likeliest"
    )
    sampling.add_argument(
        "--repetition-penalty", type=float, default=1.0, metavar="R", help="make recent tokens R times less likely"
    )
    sampling.add_argument(
        "--only-known", action="store_true",
        help="only characters that occur at least twice in the training text; others would be spelled in bytes",
    )  # fmt: skip
    sampling.add_argument("--seed", type=int, metavar="N", help="the same seed writes the same text")
    copying = parser.add_argument_group("copies of the training text")
    copying.add_argument("--novelty", action="store_true", help="report how much was copied, and from where")
    copying.add_argument("--max-copy", type=int, metavar="N", help="never copy more than N tokens in a row")
    add_form_arguments(parser)
    parser.add_argument(
        "-o",
        "--out",
        type=path,
        metavar="FILE",
        help="write to FILE, which appears (or is replaced) only when complete",
    )
    parser.add_argument(
        "--precision", choices=("fp32", "int8"), default="fp32", help="precision of the weights (default: fp32)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Write to standard output, or into a file: a single text while it is written, else each when it is complete."""
    from ostinato.api import Model
    from ostinato.generation import WriteRequest
    from ostinato.text.remarks import unfamiliar

    with speaking_of_options():
        form = form_of(args)
        request = WriteRequest.of(
            args.prompt, lines=args.lines, tokens=args.tokens, stop=args.stop, temperature=args.temperature,
            top_k=args.top_k, top_p=args.top_p, min_p=args.min_p, repetition_penalty=args.repetition_penalty,
            title=args.title, form=form, search=args.search, seed=args.seed, count=args.count,
            max_copy=args.max_copy, only_known=args.only_known,
        )  # fmt: skip
        with activity("loading the model"):
            model = Model(args.model, precision=args.precision)
            _ = model.text_model
        if args.prompt and (remark := unfamiliar(model.tokenizer, args.prompt)):
            note(remark)
        shown = args.count == 1 and not args.json and not args.out and not model.backward
        with _output(args.out) as put:
            if shown:
                return _report(args, model, _texts(_streamed(model.events(request))), request.seed, print_text=None)
            with activity("writing"):
                return _report(args, model, _texts(model.events(request)), request.seed, print_text=put)


@contextmanager
def _output(out: Path | None) -> "Iterator[Callable[[str], None]]":
    """What takes the finished texts: standard output, or a file that appears when all are written.

    Raises UsageError for a folder, OSError where it cannot be written; an old file is then as it was.
    """
    if out is None:
        yield say
        return
    if out.is_dir():
        raise UsageError(f"{out} is a folder: name a file with -o")
    with replacing(out) as file:

        def put(text: str) -> None:
            file.write(f"{text}\n".encode())

        yield put
    note(f"written to {quoted(out)}")


def _spelled(model: "Model", texts: "Iterable[str]") -> str:
    """In a terminal: the first characters that the model spelled in bytes."""
    if not is_terminal(sys.stderr) or model.tokenizer.kind == "byte":
        return ""
    known = set(model.tokenizer.characters)
    found = dict.fromkeys(c for text in texts for c in text if c not in known and not c.isspace())
    return one_line(" ".join(list(found)[:8]))


def _texts(events: "Iterable[Event]") -> "Iterator[Written]":
    """The finished texts among the events, in row order, each as soon as all earlier rows are finished."""
    from ostinato.generation import Written

    waiting: dict[int, Written] = {}
    following = 0
    for event in events:
        if isinstance(event, Written):
            waiting[event.row] = event
        while following in waiting:
            yield waiting.pop(following)
            following += 1


def _streamed(events: "Iterable[Event]") -> "Iterator[Event]":
    """The same events; prints the pieces on the way."""
    from ostinato.generation import Piece

    events = iter(events)
    with activity("writing"):  # lines in form are searched for
        first = next(events)
    for event in chain([first], events):
        say(event.text if isinstance(event, Piece) else "\n", end="")
        yield event


def _report(
    args: argparse.Namespace,
    model: "Model",
    texts: "Iterable[Written]",
    seed: int,
    *,
    print_text: "Callable[[str], None] | None",
) -> int:
    """Print the texts (None: they were shown) or the JSON object, and the novelty report if it was asked for."""
    entries, said = [], set[str]()
    for number, text in enumerate(texts):
        entry: dict[str, Any] = {
            "text": text.text, "title": text.title, "tokens": text.tokens, "reason": text.reason
        }  # fmt: skip
        if args.novelty:
            novelty = model.novelty(text.text) if text.text else None
            entry["novelty"] = novelty.to_json() if novelty else None
        if text.notes:
            entry["notes"] = list(map(as_options, text.notes))
        entries.append(entry)
        say_notes(text.notes, said, f"text {number + 1}: " if args.count > 1 else "")
        if args.json:
            continue
        if print_text is not None:
            heading = f"{model.heading}{text.title}\n" if text.title else ""
            print_text(("\n" if number else "") + heading + text.text)
        if args.novelty and novelty:
            note(novelty)
    if args.json:
        document = {"seed": seed, "texts": entries}
        if args.out is None or print_text is None:
            say_json(document)
        else:
            print_text(json.dumps(document, ensure_ascii=False))
    elif spelled := _spelled(model, [entry["text"] for entry in entries]):
        note(f"(not in the training text, or only once: {spelled}; --only-known avoids such characters)")
    if not args.json and args.seed is None and is_terminal(sys.stderr):
        note(f"(--seed {seed} writes the same text again)")
    return 0
