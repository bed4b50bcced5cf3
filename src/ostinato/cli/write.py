"""`ostinato write MODEL [PROMPT]`"""

import argparse
import secrets
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ostinato.cli.form import add_arguments as add_form_arguments
from ostinato.cli.form import form_of
from ostinato.errors import UsageError
from ostinato.terminal import is_terminal, note, say, say_json

if TYPE_CHECKING:
    from ostinato.api import Model
    from ostinato.generation import Piece, Written


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `write`."""
    parser.add_argument(
        "model", type=Path, metavar="MODEL", help="a saved model, or the output folder of a training run"
    )
    parser.add_argument("prompt", nargs="?", default="", metavar="PROMPT", help="the beginning; any text will do")
    length = parser.add_argument_group("how much")
    length.add_argument("--lines", type=int, metavar="N", help="stop after N lines")
    length.add_argument("--tokens", type=int, metavar="N", help="stop after N tokens")
    length.add_argument("--stop", action="append", default=[], metavar="TEXT", help="stop where TEXT appears")
    length.add_argument("--count", type=int, default=1, metavar="N", help="write N texts at once")
    parser.add_argument("--title", metavar="T", help="write under this title, where the model's texts have titles")
    sampling = parser.add_argument_group("how it is chosen")
    sampling.add_argument(
        "--temperature", type=float, default=0.8, metavar="T", help="0: always the likeliest (default 0.8)"
    )
    sampling.add_argument(
        "--greedy", action="store_const", const=0.0, dest="temperature", help="the same as --temperature 0"
    )
    sampling.add_argument("--top-k", type=int, default=0, metavar="K", help="only the K likeliest tokens")
    sampling.add_argument(
        "--top-p", type=float, default=1.0, metavar="P", help="only the likeliest with share P together"
    )
    sampling.add_argument(
        "--min-p", type=float, default=0.0, metavar="P", help="only those P times as likely as the likeliest"
    )
    sampling.add_argument(
        "--repetition-penalty", type=float, default=1.0, metavar="R", help="recent tokens R times less likely"
    )
    sampling.add_argument("--seed", type=int, metavar="N", help="the same seed writes the same text")
    copying = parser.add_argument_group("copies of the training text")
    copying.add_argument("--novelty", action="store_true", help="say how much was copied, and from where")
    copying.add_argument("--max-copy", type=int, metavar="N", help="never copy more than N tokens in a row")
    add_form_arguments(parser)
    parser.add_argument("--precision", choices=("fp32", "int8"), default="fp32", help="arithmetic of the weights")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Write to standard output: free texts as they are written, texts in form when they are done."""
    from ostinato.api import Model
    from ostinato.generation import Sampler, Stop, generate

    sampler = Sampler(temperature=args.temperature, top_k=args.top_k, top_p=args.top_p, min_p=args.min_p,
                      repetition_penalty=args.repetition_penalty)  # fmt: skip
    stop = Stop(lines=args.lines, tokens=args.tokens, texts=tuple(args.stop))
    seed = secrets.randbits(32) if args.seed is None else args.seed
    form = form_of(args)
    model = Model(args.model, precision=args.precision)
    step_model = model.step_model
    if args.max_copy is not None:
        from ostinato.evaluation.novelty_limit import CopyLimit

        step_model = CopyLimit(step_model, model.training_text, args.max_copy)
    if form is not None:
        _refuse_without_use(args)
        texts = model.compose(
            form, args.prompt, count=args.count, sampler=sampler, title=args.title, seed=seed, search=args.search,
            step_model=step_model,
        )  # fmt: skip
        return _report(args, model, [_Text(t.text, t.title, t.tokens, "form") for t in texts], seed)
    options: dict[str, Any] = {
        "sampler": sampler, "stop": stop, "count": args.count, "seed": seed, "heading": model.heading
    }  # fmt: skip
    if model.backward:
        from ostinato.generation import write_backward

        events: Iterable[Any] = write_backward(step_model, model.tokenizer, args.prompt, title=args.title, **options)
    else:
        events = generate(step_model, model.tokenizer, args.prompt, title=args.title, **options)
    if args.count == 1 and not args.json and not model.backward:
        events = _streamed(events)
        return _report(args, model, _texts(events), seed, shown=True)
    return _report(args, model, _texts(events), seed)


class _Text(NamedTuple):
    text: str
    title: str | None
    tokens: int
    reason: str


def _texts(events: "Iterable[Piece | Written]") -> Iterator[_Text]:
    """The finished texts among the events, in the order of their rows, each as soon as those before it are done."""
    from ostinato.generation import Written

    waiting: dict[int, Written] = {}
    following = 0
    for event in events:
        if isinstance(event, Written):
            waiting[event.row] = event
        while following in waiting:
            done = waiting.pop(following)
            following += 1
            yield _Text(done.text, done.title, done.tokens, done.reason)


def _streamed(events: "Iterable[Piece | Written]") -> "Iterator[Piece | Written]":
    """The same events; pieces are shown on the way."""
    from ostinato.generation import Piece

    for event in events:
        say(event.text if isinstance(event, Piece) else "\n", end="")
        yield event


def _report(args: argparse.Namespace, model: "Model", texts: Iterable[_Text], seed: int, *, shown: bool = False) -> int:
    """Print the texts (unless they were shown) or the JSON object, and what is asked for beside."""
    entries = []
    for number, text in enumerate(texts):
        entry: dict[str, Any] = text._asdict()
        if args.novelty:
            novelty = model.novelty(text.text) if text.text else None
            entry["novelty"] = novelty.to_json() if novelty else None
        entries.append(entry)
        if args.json:
            continue
        if not shown:
            heading = f"{model.heading}{text.title}\n" if text.title is not None else ""
            say(("\n" if number else "") + heading + text.text)
        if args.novelty and novelty:
            note(novelty)
    if args.json:
        say_json({"seed": seed, "texts": entries})
    elif args.seed is None and is_terminal(sys.stderr):
        note(f"(--seed {seed} writes this again)")
    return 0


def _refuse_without_use(args: argparse.Namespace) -> None:
    """A text in form ends where its form does. Raises UsageError for an option that would say otherwise."""
    for name, given in (("--tokens", args.tokens), ("--stop", args.stop or None)):
        if given is not None:
            raise UsageError(f"{name} does not go with a form, which says itself how long the text is: leave one out")
