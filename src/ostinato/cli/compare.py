"""`ostinato compare TEXT...`"""

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path

from ostinato.errors import UsageError
from ostinato.files import path
from ostinato.runs.folder import run_folder
from ostinato.settings import TOKENIZERS, apply_overrides, load_recipe, with_budget
from ostinato.terminal import note, quoted, say, say_json

_WINDOW = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `compare`."""
    parser.add_argument(
        "text", nargs="+", metavar="TEXT", help="file, folder, zip, - (standard input), lyrics-zh or lyrics-en"
    )
    parser.add_argument(
        "-o",
        "--out",
        type=path,
        metavar="DIR",
        help="save the mixture, the networks, the table (compare.json, compare.csv) and a plot in DIR",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the run in DIR")
    parser.add_argument("--order", type=int, default=5, metavar="N", help="length of the longest n-grams (default: 5)")
    parser.add_argument(
        "--tokenizer",
        action="append",
        metavar="T",
        help="tokenizer (default: the recipe's); repeat to compare several in bits per character",
    )
    parser.add_argument("--model", type=Path, metavar="MODEL", help="measure this network instead of training one")
    parser.add_argument(
        "--minutes",
        type=float,
        default=2.0,
        metavar="M",
        help="minutes to train the networks, in total (default: 2; 0: train none)",
    )
    parser.add_argument(
        "--window",
        type=int,
        metavar="N",
        help="also train a network without hidden state that sees the last N tokens "
        f"(default: {_WINDOW}, but 0 with --model or model.context; 0: none)",
    )
    parser.add_argument("--heldout", metavar="TEXT", help="measure on this text (default: a part of TEXT)")
    parser.add_argument(
        "--cache", type=int, default=2000, metavar="N", help="tokens that the caches remember (default: 2000)"
    )
    parser.add_argument("--no-dynamic", action="store_true", help="skip dynamic evaluation, which is slow")
    parser.add_argument("--recipe", default="default", metavar="R", help="recipe of the network (default: default)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="K=V",
        help="change a setting of the recipe: --set text.documents=lines",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="seed for weights, sampling and dropout")
    parser.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda or mps (default: auto)")
    parser.add_argument("--encoding", metavar="E", help="encoding of the text (default: UTF-8, otherwise guessed)")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Measure everything on one held-out split; print a table."""
    from ostinato.comparing import Plan, compare, draw, save_table
    from ostinato.comparing.run import refuse_to_replace
    from ostinato.runs.joining import refuse_launched
    from ostinato.runs.run import nothing_left

    refuse_launched("a comparison")
    if not 1 <= args.order <= 10:
        raise UsageError(f"--order must be between 1 and 10, got {args.order}")
    if args.minutes < 0:
        raise UsageError(f"--minutes must be 0 or more, got {args.minutes:g}")
    if args.model is not None and args.tokenizer:
        raise UsageError("--tokenizer cannot be given with --model: the model has its own tokenizer")
    for tokenizer in args.tokenizer or ():
        if tokenizer not in TOKENIZERS:
            raise UsageError(f"--tokenizer must be one of {', '.join(TOKENIZERS)}, got {tokenizer!r}")
    recipe = with_budget(
        apply_overrides(load_recipe(args.recipe), args.set), minutes=args.minutes or None, epochs=None, steps=None,
        seed=args.seed, prefix="--",
    )  # fmt: skip
    window = args.window
    if window is None:
        window = _WINDOW if args.model is None and args.minutes and not recipe.model.context else 0
    if not 0 <= window <= 1024:
        raise UsageError(f"--window must be between 0 and 1024, got {window}")
    if window and not args.minutes:
        raise UsageError(f"--window {window} needs a network, but --minutes 0 trains none: give it some minutes")
    tokenizers = list(dict.fromkeys(args.tokenizer or [recipe.text.tokenizer]))
    folders = ["."] if len(tokenizers) == 1 else tokenizers
    comparisons = []
    refuse_to_replace(args.model, args.out, overwrite=args.overwrite)
    with contextlib.ExitStack() as stack:
        if args.out is not None:
            stack.enter_context(nothing_left(args.out))
        outer = [
            stack.enter_context(
                run_folder(
                    args.out / folder, resume=None, overwrite=args.overwrite, comparison=True, what="ostinato compare"
                )
            )
            for folder in (dict.fromkeys([".", *folders]) if args.out is not None else ())
        ]
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ostinato-")))
        texts = [_kept(temporary) if text == "-" else text for text in args.text]
        for tokenizer, folder in zip(tokenizers, folders, strict=True):
            chosen = apply_overrides(recipe, [f"text.tokenizer={tokenizer}"])
            plan = Plan(
                out=(args.out or temporary) / folder, recipe=chosen, order=args.order, model=args.model,
                network=args.minutes > 0, window=window, cache=args.cache, heldout=args.heldout,
                dynamic=not args.no_dynamic, device=args.device, encoding=args.encoding, progress=not args.quiet,
                overwrite=args.overwrite,
            )  # fmt: skip
            comparisons.append(compare(texts, plan))
            if comparisons[-1].signal:
                for run in outer:
                    run.complete = False
                break
        if args.out is not None:
            save_table(comparisons, args.out)
        drawn = args.out is not None and draw(comparisons, args.out / "compare")
        if args.json:
            say_json({"comparisons": [c.to_json() for c in comparisons]})
        else:
            say("\n\n".join(map(str, comparisons)))
        if args.out is not None and not comparisons[-1].signal:
            note(
                f"{args.out}: the mixture, compare.json and .csv{', .svg and .png' if drawn else ''}; write with it: "
                f"ostinato write {quoted(args.out / folders[0])}"
            )
    return _interrupted(comparisons[-1].signal, args.out) if comparisons[-1].signal else 0


def _interrupted(number: int, out: Path | None) -> int:
    kept = "" if out is None else f"; what was finished is in {out}"
    note(f"ostinato: interrupted{kept}")
    return 128 + number


def _kept(folder: Path) -> str:
    """Standard input as a file: it is read more than once."""
    path = folder / "stdin.txt"
    path.write_bytes(sys.stdin.buffer.read())
    return str(path)
