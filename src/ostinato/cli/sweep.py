"""Many runs of `train`: several seeds, and values of settings, each in a folder and a process of its own, as a table.

A run that is finished is not made again: the same command goes on where it was interrupted.
"""

import argparse
import contextlib
import csv
import io
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.bundle import NETWORK_SPLIT, RUN_LOCK
from ostinato.errors import TrainingError, UsageError
from ostinato.evaluation import figure
from ostinato.files import hold, parse_json, read_regular, write_file
from ostinato.settings import apply_overrides, load_recipe, to_mapping
from ostinato.terminal import note, one_line, quoted, say, say_json
from ostinato.text.width import pad

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABLE = "sweep.json"
_RESULT = "result.json"
_MOST = 1000
_FIGURES = ("perplexity", "bits_per_character", "accuracy", "whole_sequences", "rmse", "mean_absolute_error", "loss")
"""What a table shows of an evaluation, where it is there."""
_ALONE = {"held-out": NETWORK_SPLIT, "test": "test, network"}
"""For each text that a table shows, the split that a mixture's network alone is measured on."""
_SPLITS = tuple(split for pair in _ALONE.items() for split in pair)
_NO_DEVIATION = 1e-9
"""Of the mean: a deviation below this is rounding."""


@dataclass(frozen=True)
class Setting:
    """One combination of values, `section.key=value` each."""

    overrides: tuple[str, ...]

    @property
    def name(self) -> str:
        """For its folder and its line of the table: `hidden_size=256, cell=gru`."""
        return ", ".join(text.partition(".")[2] for text in self.overrides) or "as given"


@dataclass
class One:
    """One run: its setting, seed and folder; `result` is what `train --json` printed, None where it failed."""

    setting: Setting
    seed: int
    folder: Path
    result: dict[str, Any] | None = None
    error: str = ""


@dataclass
class Runs:
    """All runs of a command, and the processes of those that are going on."""

    plan: list[One]
    processes: set["subprocess.Popen[bytes]"] = field(default_factory=set)
    stopped: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


def settings_of(sweeps: Sequence[str], recipe: Sequence[str]) -> list[Setting]:
    """Every combination of the values that `--sweep section.key=a,b` gives. Raises UsageError, SettingsError."""
    choices: list[list[str]] = []
    for text in sweeps:
        key, equals, values = text.partition("=")
        given = [value.strip() for value in values.split(",")]
        if not equals or not all(given) or len(set(given)) != len(given):
            raise UsageError(f"--sweep needs different values, as in --sweep model.hidden_size=256,512; got {text!r}")
        choices.append([f"{key.strip()}={value}" for value in given])
    keys = [choice[0].partition("=")[0] for choice in choices]
    if len(set(keys)) != len(keys):
        raise UsageError(
            f"--sweep names {next(k for k in keys if keys.count(k) > 1)} twice: give all its values at once"
        )
    found = [Setting(overrides) for overrides in itertools.product(*choices)]
    for setting in found:  # a wrong one is said before hours of training
        apply_overrides(load_recipe(recipe[0]), [*recipe[1:], *setting.overrides])
    return found


def run(args: argparse.Namespace, out: Path) -> int:
    """Make all runs that are not made yet; print and save the table."""
    if args.seeds is not None and not 1 <= args.seeds <= _MOST:
        raise UsageError(f"--seeds must be between 1 and {_MOST}, got {args.seeds}")
    if "-" in args.text:
        raise UsageError("several runs read the text several times: give a file, not -")
    task = [f"task.name={args.task}"] if args.task else []
    settings = settings_of(args.sweep, [args.recipe or "default", *task, *args.set])
    first = args.seed if args.seed is not None else 1
    plan = [
        One(setting, seed, out / _folder(setting, seed))
        for setting in settings
        for seed in range(first, first + (args.seeds or 1))
    ]
    if len(plan) > _MOST:
        raise UsageError(f"that would be {len(plan)} runs, more than {_MOST}")
    jobs = args.jobs if args.jobs is not None else max(1, min(len(plan), _cores()))
    if not 1 <= jobs <= 256:
        raise UsageError(f"--jobs must be between 1 and 256, got {jobs}")
    _prepare(out)
    with hold(out / RUN_LOCK, what="training", place=out, wait=1.0):
        command = _description(args)
        _check_same(out, command, args.overwrite)
        runs = Runs(plan)
        try:
            with _shown(runs, quiet=args.quiet):
                _make_all(runs, args, jobs)
        finally:
            table = summary(plan, command)
            _save(out, table)
            drawn = draw(plan, out / "sweep")
    if args.json:
        say_json(table)
    else:
        say(text_of(table))
    if _mixed(plan):
        note(
            f"held-out figures are those of the mixture of network and n-grams, {NETWORK_SPLIT!r} those of the network "
            "alone; to train bare networks: --set model.mixture=none and another folder"
        )
    if not args.json:
        pictures = ", sweep.svg and .png (losses)" if drawn else ""
        note(f"{quoted(out)}: a folder for each run, {TABLE}, sweep.csv{pictures}; the same command goes on")
    failed = [one for one in plan if one.result is None]
    if failed:
        raise TrainingError(f"{len(failed)} of {len(plan)} runs failed; the first: {failed[0].error}")
    return 0


def finished_runs(folder: Path) -> list[str] | None:
    """The folders of the finished runs inside `folder`; None where it is not a sweep's."""
    try:
        table = parse_json(read_regular(folder / TABLE, limit=64 << 20))
    except (OSError, ValueError):
        return None
    if table and not {"command", "rows"} <= set(table):
        return None  # a text of the user's by that name
    return sorted(path.parent.name for path in folder.glob(f"*/{_RESULT}"))


def _folder(setting: Setting, seed: int) -> str:
    values = "-".join(text.partition(".")[2].replace("/", "_").replace("\\", "_") for text in setting.overrides)
    return f"{values}-seed{seed}" if values else f"seed{seed}"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _prepare(out: Path) -> None:
    if out.exists() and not (out / TABLE).is_file() and any(out.iterdir()):
        raise TrainingError(f"{out} holds something else than several runs: name another folder with -o")
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not (out / TABLE).exists():
            write_file(out / TABLE, "{}\n")
    except OSError as error:
        raise TrainingError(f"cannot write to the output folder {out}: {error.strerror or error}") from None


def _description(args: argparse.Namespace) -> dict[str, Any]:
    """What must be the same where the command is given again."""
    recipe = apply_overrides(load_recipe(args.recipe or "default"), args.set)
    budget = {"minutes": args.minutes, "epochs": args.epochs, "steps": args.steps}
    texts = {"text": args.text, "heldout": args.heldout, "test": args.test, "task": args.task}
    return json.loads(json.dumps({**texts, **budget, "recipe": to_mapping(recipe)}))  # type: ignore[no-any-return]


def _check_same(out: Path, command: Mapping[str, Any], overwrite: bool) -> None:
    before = parse_json(read_regular(out / TABLE, limit=64 << 20)).get("command")
    if before is not None and before != command and not overwrite:
        raise TrainingError(
            f"{out} holds runs of another text, recipe or budget: give the same command to go on, name another folder "
            "with -o, or replace them with --overwrite"
        )


def _make_all(runs: Runs, args: argparse.Namespace, jobs: int) -> None:
    """Make the runs, `jobs` at a time. An interruption ends those that are going on, which save their state."""
    threads = args.threads or max(1, _cores() // jobs)
    with ThreadPoolExecutor(jobs) as pool:
        made = [pool.submit(_one, runs, one, args, threads) for one in runs.plan]
        try:
            for each in made:
                each.result()
        except BaseException:
            _stop(runs)
            raise


def _one(runs: Runs, one: One, args: argparse.Namespace, threads: int) -> None:
    """Make one run in a process of its own, unless it is there."""
    result = one.folder / _RESULT
    if result.is_file() and not args.overwrite:
        one.result = parse_json(read_regular(result, limit=16 << 20))
        return
    goes_on = (one.folder / "checkpoint").exists() and not args.overwrite
    again = ["--resume"] if goes_on else ["--overwrite"] if one.folder.exists() else []
    command = [
        sys.executable, "-m", "ostinato", "train", *args.text, "-o", str(one.folder), "--seed", str(one.seed),
        "--json", "--quiet", "--threads", str(threads), *_passed_on(args, start=not goes_on), *again,
        *(word for text in one.setting.overrides for word in ("--set", text)),
    ]  # fmt: skip
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as said:
        with runs.lock:
            if runs.stopped:
                one.error = "interrupted"
                return
            process = subprocess.Popen(command, stdout=printed, stderr=said, stdin=subprocess.DEVNULL)
            runs.processes.add(process)
        code = process.wait()
        with runs.lock:
            runs.processes.discard(process)
        printed.seek(0)
        said.seek(0)
        if code:
            lines = said.read().decode("utf-8", "replace").strip().splitlines()
            one.error = one_line(lines[-1].removeprefix("ostinato: ") if lines else f"it ended with {code}")
            return
        one.result = json.loads(printed.read())
        write_file(result, json.dumps(one.result, ensure_ascii=False) + "\n")


def _passed_on(args: argparse.Namespace, *, start: bool) -> list[str]:
    """The options of `train` that each run has; `start`: also the model that it starts from."""
    options: list[str] = []
    for name in ("task", "recipe", "minutes", "epochs", "steps", "vocabulary", "device", "encoding"):
        if (value := getattr(args, name)) is not None:
            options += [f"--{name}", str(value)]
    if args.start is not None and start:
        options += ["--from", str(args.start)]
    for name in ("set", "heldout", "test", "report", "cell_file"):
        for value in getattr(args, name, ()):
            options += [f"--{name.replace('_', '-')}", value]
    return options


def _stop(runs: Runs) -> None:
    with runs.lock:
        runs.stopped = True
        for process in runs.processes:
            process.terminate()
    for process in list(runs.processes):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=30)


@contextlib.contextmanager
def _shown(runs: Runs, *, quiet: bool) -> Iterator[None]:
    """Inside, says now and then how many runs are done."""
    over = threading.Event()

    def tell() -> None:
        said, started = -1, time.monotonic()
        while not over.wait(0.5):
            done = sum(one.result is not None or bool(one.error) for one in runs.plan)
            if done != said or time.monotonic() - started > 30:
                said, started = done, time.monotonic()
                note(f"{done} of {len(runs.plan)} runs done, {len(runs.processes)} going on")

    teller = threading.Thread(target=tell, daemon=True)
    if not quiet:
        teller.start()
    try:
        yield
    finally:
        over.set()
        if teller.is_alive():
            teller.join()


def summary(plan: Sequence[One], command: Mapping[str, Any]) -> dict[str, Any]:
    """The table as JSON: each setting with its runs, and mean and standard deviation of its figures over the seeds."""
    settings: dict[str, list[One]] = {}
    for one in plan:
        settings.setdefault(one.setting.name, []).append(one)
    mixed = _mixed(plan)
    rows = []
    for name, ones in settings.items():
        measured = {one.seed: _evaluation(one.result, mixed) for one in ones if one.result is not None}
        evaluations = list(measured.values())
        rows.append({
            "setting": name,
            "overrides": list(ones[0].setting.overrides),
            "runs": [{"seed": one.seed, "folder": one.folder.name, "error": one.error or None,
                      "evaluation": measured.get(one.seed)} for one in ones],
            "figures": {split: _statistics(evaluations, split) for split in _splits(evaluations)},
        })  # fmt: skip
    return {"command": dict(command), "rows": rows}


def _mixed(plan: Sequence[One]) -> bool:
    """Whether the model of any run is a mixture, whose network was measured alone too."""
    return any(one.result is not None and NETWORK_SPLIT in one.result["evaluation"] for one in plan)


def _evaluation(result: Mapping[str, Any], mixed: bool) -> dict[str, Any]:
    """The evaluation of a run. Among mixtures, that of a bare network has its figures as the network's too."""
    found = dict(result["evaluation"])
    if mixed and "best_step" in result:  # a network was trained
        for split, alone in _ALONE.items():
            if split in found:
                found.setdefault(alone, found[split])
    return found


def _splits(evaluations: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was measured of the models themselves, not of baselines."""
    found = dict.fromkeys(split for evaluation in evaluations for split in evaluation)
    return [split for split in found if split in _SPLITS]


def _statistics(evaluations: Sequence[Mapping[str, Any]], split: str) -> dict[str, dict[str, float | None]]:
    """Mean and standard deviation (of the sample; None for one run) of each figure."""
    found: dict[str, dict[str, float | None]] = {}
    for name in _FIGURES:
        values = [evaluation.get(split, {}).get(name) for evaluation in evaluations]
        numbers = [float(value) for value in values if isinstance(value, int | float)]
        if numbers and len(numbers) == len(values):
            deviation = statistics.stdev(numbers) if len(numbers) > 1 else None
            found[name] = {"mean": statistics.fmean(numbers), "sd": deviation}
    return found


def text_of(table: Mapping[str, Any]) -> str:
    """The table for a person: a line per setting."""
    columns = [
        (split, name)
        for split in _SPLITS
        for name in _FIGURES
        if any(name in row["figures"].get(split, {}) for row in table["rows"])
    ]
    header = ["setting", "runs", *(f"{split} {name.replace('_', ' ')}" for split, name in columns)]
    lines = [header]
    for row in table["rows"]:
        done = sum(run["evaluation"] is not None for run in row["runs"])
        cells = [_cell(row["figures"].get(split, {}).get(name)) for split, name in columns]
        lines.append([row["setting"], f"{done} of {len(row['runs'])}", *cells])
    widths = [max(len(line[at]) for line in lines) for at in range(len(header))]
    return "\n".join(
        "  ".join(pad(cell, width, right=at > 0) for at, (cell, width) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    )


def draw(plan: Sequence[One], path: Path) -> bool:
    """The held-out losses of all runs against their steps, `path`.svg and .png; those of one setting in one colour.

    False where nothing can be drawn: without matplotlib, or of models that are counted.
    """
    from ostinato.runs.picture import drawn
    from ostinato.training.metrics import read_metrics

    curves: list[tuple[str, list[tuple[int, float]]]] = []
    for one in plan:
        rows = read_metrics(one.folder / "metrics.jsonl")
        points = [(row["step"], row["heldout_loss"]) for row in rows if row.get("heldout_loss") is not None]
        if points:
            curves.append((one.setting.name, points))
    if not curves:
        return False
    return drawn(path, 7.2, 4.2, lambda figure: _draw(figure, curves))


def _draw(figure: "Figure", curves: Sequence[tuple[str, list[tuple[int, float]]]]) -> None:
    axes = figure.add_subplot()
    colours = {name: f"C{at % 10}" for at, name in enumerate(dict.fromkeys(name for name, _ in curves))}
    labelled: set[str] = set()
    for name, points in curves:
        label = None if name in labelled else name
        labelled.add(name)
        axes.plot(*zip(*points, strict=True), color=colours[name], label=label, marker=".", linewidth=1.5)
    axes.set_xlabel("steps")
    axes.set_ylabel("held-out loss (nats per token)")
    axes.grid(alpha=0.25)
    axes.legend(loc="upper right", frameon=False)


def _cell(value: Mapping[str, float | None] | None) -> str:
    if value is None or value["mean"] is None:
        return ""
    mean, deviation = value["mean"], value["sd"]
    shown = figure(mean) if mean >= 100 else f"{mean:.3f}"
    if deviation is None or math.isnan(deviation):
        return shown
    return f"{shown} ± {0.0 if deviation < _NO_DEVIATION * abs(mean) else deviation:.3g}"


def _save(out: Path, table: Mapping[str, Any]) -> None:
    """sweep.json and sweep.csv, the latter with a line per run."""
    lines: list[dict[str, Any]] = []
    for row in table["rows"]:
        for one in row["runs"]:
            line = {"setting": row["setting"], "seed": one["seed"], "folder": one["folder"]}
            for split in _SPLITS:
                values = (one["evaluation"] or {}).get(split, {})
                line |= {f"{split} {name}": values.get(name) for name in _FIGURES if name in values}
            lines.append(line)
    names = list(dict.fromkeys(name for line in lines for name in line))
    sheet = io.StringIO(newline="")
    writer = csv.DictWriter(sheet, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    try:
        write_file(out / TABLE, json.dumps(table, ensure_ascii=False, indent=1) + "\n")
        write_file(out / "sweep.csv", sheet.getvalue())
    except OSError as error:
        raise TrainingError(f"cannot write the table in {out}: {error.strerror or error}") from None
