"""`ostinato base TEXT... -o DIR`"""

import argparse

from ostinato.bundle.storage import STORAGES
from ostinato.errors import UsageError
from ostinato.files import path
from ostinato.settings import apply_overrides, load_recipe, with_budget
from ostinato.terminal import note, quoted, say, say_json

RUN = "-run"
"""The run's folder is called like the base, with this after it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `base`."""
    parser.add_argument("text", nargs="+", metavar="TEXT", help="the texts to learn the language from")
    parser.add_argument("-o", "--out", type=path, required=True, metavar="DIR", help=f"the base; its run is DIR{RUN}")
    parser.add_argument(
        "--terms",
        action="append",
        default=[],
        metavar="T",
        help="what a text may be used under; once per text, in order",
    )
    parser.add_argument(
        "--unseen", action="append", default=[], metavar="TEXT", help="a text to measure it on, which it does not learn"
    )
    parser.add_argument("--storage", choices=STORAGES, default="int8", help="how weights are stored (default: int8)")
    parser.add_argument(
        "--start-rate", type=float, metavar="R",
        help="learning rate of runs that start from it (default: 0.001, for texts near to its own)",
    )  # fmt: skip
    parser.add_argument("--recipe", metavar="R", default="base", help="a TOML file or a recipe's name (default: base)")
    parser.add_argument("--set", action="append", default=[], metavar="K=V", help="override: --set model.dropout=0.15")
    parser.add_argument("--minutes", type=float, metavar="M", help="train this long")
    parser.add_argument("--epochs", type=float, metavar="N", help="passes over the text (default: 3)")
    parser.add_argument("--steps", type=int, metavar="N", help="minibatches")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of weights, sampling and dropout")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint of the run")
    parser.add_argument("--overwrite", action="store_true", help="replace the base and its run")
    parser.add_argument("--threads", type=int, metavar="N", help="processor cores to use at most (default: all)")
    parser.add_argument("--encoding", metavar="E", help="encoding of the texts (default: UTF-8, else a guess)")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--json", action="store_true", help="print the base's config as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Train, save the base, and print its card."""
    from ostinato.api.base import check_base, publish_base
    from ostinato.runs.run import train

    check_base(args.text, args.terms, args.unseen)
    if args.start_rate is not None and not 0 < args.start_rate <= 1:
        raise UsageError(f"--start-rate must be above 0 and at most 1, got {args.start_rate:g}")
    if args.out.exists() and not (args.overwrite or args.resume):
        raise UsageError(f"{args.out} is there already: --overwrite replaces it, or name another with -o")
    recipe = apply_overrides(load_recipe(args.recipe), args.set)
    recipe = with_budget(recipe, minutes=args.minutes, epochs=args.epochs, steps=args.steps, seed=args.seed)
    if recipe.task.name != "language" or recipe.ngram.smoothing != "none" or recipe.model.context:
        raise UsageError("a base is a recurrent language model, as training can start from no other: see recipe base")
    folder = args.out.with_name(args.out.name + RUN)
    result = train(
        args.text, out=folder, recipe=recipe, resume=args.resume, overwrite=args.overwrite, encoding=args.encoding,
        progress=not args.quiet, threads=args.threads,
    )  # fmt: skip
    if result.signal:
        note(f"interrupted; the same command with --resume goes on ({quoted(folder)})")
        return 128 + result.signal
    base = publish_base(
        folder, args.out, args.text, terms=args.terms, others=args.unseen, storage=args.storage,
        start_rate=args.start_rate, encoding=args.encoding,
    )  # fmt: skip
    if args.json:
        say_json({"path": str(base.path), **base.config})
    else:
        say(base.card.rstrip())
        note(f"start from it: ostinato train TEXT --from {quoted(args.out)}")
    return 0
