"""`ostinato train TEXT...`"""

import argparse
import json
import re
from pathlib import Path
from typing import Literal

from ostinato.cli.arguments import Parser
from ostinato.errors import MissingExtraError, UsageError
from ostinato.files import path
from ostinato.settings import TASKS, VOCABULARIES, Recipe, apply_overrides, load_recipe, recipe_names, with_budget
from ostinato.terminal import activity, note, quoted, say, say_json, showing
from ostinato.text.finding import check_paths

AUTO: Literal["auto"] = "auto"
NONE = "none"
"""What `--from` may say beside the name of a model; `./auto` is a folder of that name."""


def add_arguments(parser: Parser) -> None:
    """Options of `train`."""
    parser.add_argument(
        "text", nargs="+", metavar="TEXT", help="file, folder, zip, - (standard input), lyrics-zh or lyrics-en"
    )
    parser.add_argument("-o", "--out", type=path, metavar="DIR", help="output folder (default: TEXT-model)")
    parser.add_argument("--task", choices=TASKS, metavar="T", help=f"one of {', '.join(TASKS)} (default: language)")
    parser.add_argument("--recipe", metavar="R", help=f"TOML file, or one of {', '.join(recipe_names())}")
    parser.add_argument(
        "--set", action="append", default=[], metavar="K=V", help="change a setting of the recipe: --set model.cell=gru"
    )
    parser.add_argument(
        "--minutes",
        type=float,
        metavar="M",
        help="train for M minutes; the schedule adapts (default: 3 if neither the options nor the recipe set a limit)",
    )
    parser.add_argument("--epochs", type=float, metavar="N", help="train for N passes over the text")
    parser.add_argument("--steps", type=int, metavar="N", help="train for N optimizer steps")
    parser.add_argument(
        "--from",
        dest="start",
        type=path,
        metavar="MODEL",
        help="start from the weights and vocabulary of a saved model; auto (the default): from base-en or base-zh if "
        "the text is small and the recipe is the default one; none: from random weights",
    )
    parser.add_argument(
        "--vocabulary", choices=VOCABULARIES, metavar="V",
        help="with --from: join (default: the model's tokens and the text's) or new (only the text's)",
    )  # fmt: skip
    parser.add_argument(
        "--heldout", nargs="+", action="extend", default=[], metavar="FILE",
        help="hold out these files for choosing the model, instead of a tenth of TEXT",
    )  # fmt: skip
    parser.add_argument(
        "--test", nargs="+", action="extend", default=[], metavar="FILE",
        help="test files, used once at the end to measure the chosen model",
    )  # fmt: skip
    several = parser.add_argument_group(
        "several runs", "each run has its own folder inside DIR; DIR also has a table of all runs"
    )
    several.add_argument(
        "--seeds", type=int, metavar="N", help="train N times with different seeds; report mean ± standard deviation"
    )
    several.add_argument(
        "--sweep", action="append", default=[], metavar="K=A,B",
        help="train with each of these values: --sweep model.hidden_size=256,512 (repeat for combinations)",
    )  # fmt: skip
    several.add_argument("--jobs", type=int, metavar="N", help="runs at a time (default: one per core)")
    parser.add_argument(
        "--report", action="append", default=[], metavar="PROGRAM",
        help="also send the metrics to tensorboard or wandb (repeat for both)",
    )  # fmt: skip
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue from the last checkpoint in DIR; `--resume auto`: continue if there is one, otherwise start",
    )
    parser.add_argument("--resume-auto", action="store_true", help=argparse.SUPPRESS)
    parser.words["--resume=auto"] = "--resume-auto"
    parser.add_argument("--overwrite", action="store_true", help="replace the run in DIR")
    parser.add_argument("--seed", type=int, metavar="N", help="seed for weights, sampling and dropout")
    parser.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda or mps (default: auto)")
    parser.add_argument("--threads", type=int, metavar="N", help="use at most N cores (default: all)")
    parser.add_argument("--memory", metavar="M", help="memory for counting n-grams, such as 2G; the rest goes to disk")
    parser.add_argument("--encoding", metavar="E", help="encoding of the text (default: UTF-8, otherwise guessed)")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")


def recipe_of(args: argparse.Namespace) -> Recipe:
    """The recipe that the options describe. Raises SettingsError, UsageError (--memory)."""
    task = [f"task.name={args.task}"] if args.task else []
    vocabulary = [f"training.vocabulary={args.vocabulary}"] if args.vocabulary else []
    files = {"heldout_files": args.heldout, "test_files": args.test}
    texts = [f"text.{name}={json.dumps(paths)}" for name, paths in files.items() if paths]
    memory = [f"ngram.memory={gibibytes(args.memory)}"] if args.memory else []
    recipe = apply_overrides(load_recipe(args.recipe or "default"), [*task, *vocabulary, *texts, *memory, *args.set])
    return with_budget(recipe, minutes=args.minutes, epochs=args.epochs, steps=args.steps, seed=args.seed, prefix="--")


def gibibytes(text: str) -> float:
    """A size such as `2G` or `512M`. Raises UsageError."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([MGT])(?:i?B)?", text.strip(), re.IGNORECASE)
    size = float(found[1]) * {"M": 1 / 1024, "G": 1.0, "T": 1024.0}[found[2].upper()] if found else 0.0
    if size <= 0.0:
        raise UsageError(f"--memory must be a size such as 2G or 512M, got {quoted(text)}")
    return size


def run(args: argparse.Namespace) -> int:
    """Train, then print where the model is and how good it is."""
    recipe, out = recipe_of(args), _folder(args)
    check_paths([*args.text, *args.heldout, *args.test])
    if args.seeds is not None or args.sweep:
        from ostinato.cli.sweep import run as several

        return several(args, out)
    with activity("starting"):
        from ostinato.runs.finding import find_task
        from ostinato.runs.joining import joined
        from ostinato.runs.run import train

        try:
            find_task(recipe)
        except MissingExtraError as error:
            raise MissingExtraError(f"{error}; without torch: --recipe kneser-ney") from None
    if (args.resume or args.resume_auto) and recipe.ngram.smoothing != "none":
        raise UsageError(
            "an n-gram model is counted anew each time, not resumed: leave out --resume, or use --overwrite"
        )
    if args.memory and recipe.ngram.smoothing == "none":
        raise UsageError("--memory is for n-gram models (--recipe kneser-ney): leave it out for a network")
    named = args.start is not None and str(args.start) not in (AUTO, NONE)
    if args.vocabulary and not named:
        raise UsageError("--vocabulary needs a model to start from: name one with --from")
    names_recipe = bool(args.recipe or args.set or args.task or args.seed is not None)
    with joined() as team, showing(not args.quiet and (team is None or team.rank == 0)):
        result = train(
            args.text,
            out=out,
            recipe=recipe,
            device=args.device,
            resume=AUTO if args.resume_auto else args.resume,
            same_recipe=names_recipe or not (args.resume or args.resume_auto),
            overwrite=args.overwrite,
            encoding=args.encoding,
            progress=not args.quiet,
            threads=args.threads,
            report=args.report,
            start=args.start if named else None if str(args.start) == NONE else AUTO,
            team=team,
        )
    if team is not None and team.rank:
        return 128 + result.signal if result.signal else 0
    if args.json:
        say_json(result.to_json())
    else:
        say(result.summary())
        use = "write with it: ostinato write" if find_task(recipe).writes else "use it: ostinato predict"
        cells = "".join(f" --cell-file {quoted(file)}" for file in args.cell_file)
        note(f"{use} {quoted(out)}{cells}")
        if result.reason == "interrupted":
            texts = " ".join(map(quoted, args.text))
            note(f"continue: ostinato train {texts} -o {quoted(out)} --resume{cells}")
    return 128 + result.signal if result.signal else 0


def _folder(args: argparse.Namespace) -> Path:
    """The folder given with `--out`, or one named after the first text."""
    first = args.text[0]
    what = "runs" if args.seeds is not None or args.sweep else "model"
    return args.out or Path(f"{Path(first).resolve().stem if first != '-' else 'stdin'}-{what}")
