"""`ostinato train --seeds N --sweep K=A,B`: what the options ask for, and what is printed of it."""

import argparse
import json
import signal
from pathlib import Path
from typing import Any

from ostinato.bundle import NETWORK_SPLIT
from ostinato.errors import TrainingError, UsageError
from ostinato.files import checksum
from ostinato.settings import apply_overrides, load_recipe, to_mapping
from ostinato.sweeps import TABLE, Sweep, settings_of, sweep, text_of
from ostinato.terminal import note, quoted, say, say_json


def run(args: argparse.Namespace, out: Path) -> int:
    """Make all runs that are not made yet; print the table."""
    from ostinato.runs.joining import refuse_launched

    refuse_launched("several runs (--seeds, --sweep)")
    try:
        made = sweep(_asked(args, out), quiet=args.quiet)
    except KeyboardInterrupt as interruption:
        note(f"interrupted; {_to_continue(args)} ({quoted(out)})")
        return 128 + int(next(iter(interruption.args), signal.SIGINT))
    if args.json:
        say_json(made.table)
    else:
        say(text_of(made.table))
    if made.mixed:
        note(
            "the held-out columns show the saved model, such as the mixture of network and n-grams; "
            f"{NETWORK_SPLIT!r} shows the network alone; to save bare networks: --set model.mixture=none (of a "
            "task: task.saved=network) and another folder"
        )
    if not args.json:
        again = f"; {_to_continue(args)}" if made.failed else ""
        pictures = ", sweep.svg and .png (losses)" if made.drawn else ""
        note(f"{quoted(out)}: a folder for each run, {TABLE}, sweep.csv{pictures}{again}")
        if best := made.table["best"]:
            figure = best["figure"].replace("_", " ")
            note(f"the best run by held-out {figure}, {best['value']:.4g}: {quoted(out / best['folder'])}")
    if failed := made.failed:
        raise TrainingError(f"{len(failed)} of {len(made.runs)} runs failed; the first: {failed[0].error}")
    return 0


def _to_continue(args: argparse.Namespace) -> str:
    return f"run the same command{' without --overwrite' if args.overwrite else ''} to continue"


def _asked(args: argparse.Namespace, out: Path) -> Sweep:
    """The sweep that the options describe. Raises UsageError, SettingsError."""
    seeds = 1 if args.seeds is None else args.seeds
    if "-" in args.text:
        raise UsageError("several runs read the text several times: give a file, not -")
    task = [f"task.name={args.task}"] if args.task else []
    first = args.seed if args.seed is not None else 1
    return Sweep(
        out,
        settings_of(args.sweep, [args.recipe or "default", *task, *args.set]),
        range(first, first + seeds),
        options=_options(args),
        start=[
            *([] if args.start is None else ["--from", str(args.start)]),
            *([] if args.vocabulary is None else ["--vocabulary", args.vocabulary]),
        ],
        command=_command(args),
        overwrite=args.overwrite,
        jobs=args.jobs,
        threads=args.threads,
    )


def _options(args: argparse.Namespace) -> list[str]:
    """The texts and the options of `train` that each run has."""
    options: list[str] = [*args.text]
    for name in ("task", "recipe", "minutes", "epochs", "steps", "device", "memory", "encoding"):
        if (value := getattr(args, name)) is not None:
            options += [f"--{name}", str(value)]
    for name in ("set", "heldout", "test", "report", "cell_file"):
        for value in getattr(args, name, ()):
            options += [f"--{name.replace('_', '-')}", value]
    return options


def _command(args: argparse.Namespace) -> dict[str, Any]:
    """What must be the same where the command is given again; of files with cells what they hold."""
    recipe = apply_overrides(load_recipe(args.recipe or "default"), args.set)
    budget = {"minutes": args.minutes, "epochs": args.epochs, "steps": args.steps}
    texts = {"text": args.text, "heldout": args.heldout, "test": args.test, "task": args.task}
    start = {"from": None if args.start is None else str(args.start), "vocabulary": args.vocabulary}
    cells = {Path(file).name: checksum(Path(file)) for file in args.cell_file}
    files = [Path(name) for name in (*args.text, *args.heldout, *args.test)]
    content = {str(file): checksum(file) for file in files if file.is_file()}
    asked = {**texts, **budget, **start, "content": content, "cell_files": cells, "recipe": to_mapping(recipe)}
    return json.loads(json.dumps(asked))  # type: ignore[no-any-return]
