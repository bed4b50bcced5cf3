"""`ostinato write MODEL [PROMPT]`"""

import argparse
import json
import secrets
import sys
from pathlib import Path


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
    parser.add_argument("--precision", choices=("fp32", "int8"), default="fp32", help="arithmetic of the weights")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Write to standard output, as it is written."""
    from ostinato.api import Model
    from ostinato.evaluation.novelty_limit import CopyLimit
    from ostinato.generation import Piece, Sampler, Stop, Written, generate

    sampler = Sampler(temperature=args.temperature, top_k=args.top_k, top_p=args.top_p, min_p=args.min_p,
                      repetition_penalty=args.repetition_penalty)  # fmt: skip
    stop = Stop(lines=args.lines, tokens=args.tokens, texts=tuple(args.stop))
    seed = secrets.randbits(32) if args.seed is None else args.seed
    model = Model(args.model, precision=args.precision)
    step_model = model.step_model
    if args.max_copy is not None:
        step_model = CopyLimit(step_model, model.training_text, args.max_copy)
    events = generate(
        step_model, model.tokenizer, args.prompt,
        sampler=sampler, stop=stop, count=args.count, seed=seed, heading=model.heading, title=args.title,
    )  # fmt: skip
    if args.json:
        texts = sorted((e for e in events if isinstance(e, Written)), key=lambda w: w.row)
        fields = ("text", "title", "reason", "tokens")
        report = [{f: getattr(w, f) for f in fields} for w in texts]
        if args.novelty:
            for entry in report:
                entry["novelty"] = model.novelty(entry["text"]).to_json() if entry["text"] else None
        print(json.dumps({"seed": seed, "texts": report}, ensure_ascii=False))
        return 0
    waiting: dict[int, Written] = {}
    finished: list[Written] = []
    following = 0
    for event in events:
        if isinstance(event, Written):
            finished.append(event)
        if isinstance(event, Piece):
            if args.count == 1:
                _say(event.text)
        elif args.count == 1:
            _say("\n")
        else:  # several at once: each is printed when it and those before it are done
            waiting[event.row] = event
            while following in waiting:
                text = waiting.pop(following)
                heading = f"{model.heading}{text.title}\n" if text.title is not None else ""
                _say(("\n" if following else "") + heading + text.text + "\n")
                following += 1
    for written in sorted(finished, key=lambda w: w.row) if args.novelty else ():
        if written.text:
            print(model.novelty(written.text), file=sys.stderr)
    if args.seed is None and sys.stderr.isatty():
        print(f"(--seed {seed} writes this again)", file=sys.stderr)
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
