"""`ostinato base TEXT... -o DIR`"""

import argparse
import dataclasses
import os
from typing import TYPE_CHECKING

from ostinato.bundle.storage import STORAGES
from ostinato.errors import UsageError
from ostinato.files import path
from ostinato.settings import apply_overrides, load_recipe, with_budget
from ostinato.terminal import note, quoted, say, say_json

if TYPE_CHECKING:
    from ostinato.api.base_texts import BaseText

RUN, TEXTS = "-run", "-texts"
"""The run's folder is called like the base with this after it, and that of what it reads of texts in part."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `base`."""
    parser.add_argument("text", nargs="+", metavar="TEXT", help="the texts to learn the language from")
    parser.add_argument("-o", "--out", type=path, required=True, metavar="DIR", help=f"the base; its run is DIR{RUN}")
    parser.add_argument(
        "--terms",
        action="append",
        default=[],
        metavar="T",
        help="licence of a text; once per text, in order",
    )
    parser.add_argument(
        "--times",
        action="append",
        type=float,
        default=[],
        metavar="N",
        help="how often a pass reads each document of a text; 0.3: three documents of ten; once per text, in order",
    )
    parser.add_argument(
        "--training-part",
        action="append",
        default=[],
        metavar="TEXT",
        help="learn only the part of this text that `train` would train on: what `train` holds out stays unseen",
    )
    parser.add_argument(
        "--spare", type=int, default=0, metavar="N",
        help="of --training-part, leave out the first documents with N characters, too",
    )  # fmt: skip
    parser.add_argument(
        "--unseen", action="append", default=[], metavar="TEXT", help="a text to measure it on, which it does not learn"
    )
    parser.add_argument("--storage", choices=STORAGES, default="int8", help="how weights are stored (default: int8)")
    parser.add_argument(
        "--start-rate", type=float, metavar="R",
        help="learning rate of runs that start from it (default: 0.001, for texts similar to its own)",
    )  # fmt: skip
    parser.add_argument(
        "--from", dest="start", type=path, metavar="MODEL", help="continue from a saved model, such as another base"
    )
    parser.add_argument("--recipe", metavar="R", default="base", help="a TOML file or a recipe's name (default: base)")
    parser.add_argument("--set", action="append", default=[], metavar="K=V", help="override: --set model.dropout=0.15")
    parser.add_argument("--minutes", type=float, metavar="M", help="train for M minutes")
    parser.add_argument("--epochs", type=float, metavar="N", help="passes over the text (default: 3)")
    parser.add_argument("--steps", type=int, metavar="N", help="minibatches")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of weights, sampling and dropout")
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint of the run")
    parser.add_argument("--overwrite", action="store_true", help="replace the base and its run")
    parser.add_argument("--threads", type=int, metavar="N", help="processor cores to use at most (default: all)")
    parser.add_argument("--encoding", metavar="E", help="encoding of the texts (default: UTF-8, else a guess)")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--json", action="store_true", help="print the base's config as one JSON object")


def texts_of(args: argparse.Namespace) -> "list[BaseText]":
    """The texts with what the options say of each. Raises UsageError."""
    from ostinato.api.base_texts import BaseText

    for option, given in (("--terms", args.terms), ("--times", args.times)):
        if given and len(given) != len(args.text):
            raise UsageError(
                f"{len(args.text)} texts and {len(given)} {option}: give one {option} per text, in the same order"
            )
    if strange := sorted(set(args.training_part) - set(args.text)):
        raise UsageError(f"--training-part {strange[0]} is not one of the texts: name it among them, too")
    if args.spare and not args.training_part:
        raise UsageError("--spare goes with --training-part, which names the text that it spares")
    terms, times = args.terms or [""] * len(args.text), args.times or [1.0] * len(args.text)
    return [
        BaseText(path, its_terms, its_times, path in args.training_part, args.spare * (path in args.training_part))
        for path, its_terms, its_times in zip(args.text, terms, times, strict=True)
    ]


def run(args: argparse.Namespace) -> int:
    """Train, save the base, and print its card."""
    from ostinato.api.base import check_base, publish_base
    from ostinato.api.base_texts import write_texts
    from ostinato.bundle import check_place
    from ostinato.runs.folder import run_folder
    from ostinato.runs.run import nothing_left, train

    texts = texts_of(args)
    check_base(texts, args.unseen)
    if args.start_rate is not None and not 0 < args.start_rate <= 1:
        raise UsageError(f"--start-rate must be above 0 and at most 1, got {args.start_rate:g}")
    if os.path.exists(args.out) and not (args.overwrite or args.resume):
        raise UsageError(f"{args.out} is there already: --overwrite replaces it, or name another with -o")
    recipe = apply_overrides(load_recipe(args.recipe), args.set)
    recipe = with_budget(
        recipe, minutes=args.minutes, epochs=args.epochs, steps=args.steps, seed=args.seed, prefix="--"
    )
    if recipe.task.name != "language" or recipe.ngram.smoothing != "none" or recipe.model.context:
        raise UsageError("a base is a recurrent language model, as training can start from no other: see recipe base")
    # runs that start from it take over a network
    recipe = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, mixture="none"))
    folder = args.out.with_name(args.out.name + RUN)
    check_place(args.out)
    # one process holds the texts, the run and the base; another would change the texts under it
    with nothing_left(folder), run_folder(folder, resume=args.resume, overwrite=args.overwrite):
        read, unseen = write_texts(texts, args.out.with_name(args.out.name + TEXTS), recipe.text, args.encoding)
        result = train(
            read, out=folder, recipe=recipe, resume=args.resume, overwrite=args.overwrite, encoding=args.encoding,
            progress=not args.quiet, start=None if args.resume else args.start, threads=args.threads,
        )  # fmt: skip
        if result.signal:
            instead = " instead of --overwrite" if args.overwrite else ""
            note(f"interrupted; run the same command with --resume{instead} to continue ({quoted(folder)})")
            return 128 + result.signal
        base = publish_base(
            folder, args.out, texts, read=read, others=args.unseen, unseen=unseen, storage=args.storage,
            start_rate=args.start_rate, encoding=args.encoding,
        )  # fmt: skip
    if args.json:
        say_json({"path": str(base.path), **base.config})
    else:
        say(base.card.rstrip())
        note(f"start from it: ostinato train TEXT --from {quoted(args.out)}")
    return 0
