"""The figures of all runs as one table: JSON, a sheet of comma-separated values, and lines for a person."""

import csv
import io
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ostinato.bundle import NETWORK_SPLIT
from ostinato.evaluation import figure
from ostinato.sweeps.plan import One
from ostinato.text.width import pad

_FIGURES = ("perplexity", "bits_per_character", "accuracy", "whole_sequences", "rmse", "mean_absolute_error", "loss")
"""What a table shows of an evaluation, where it is there."""
_CHOSEN_BY = (("bits_per_character", 1), ("accuracy", -1), ("rmse", 1), ("perplexity", 1), ("loss", 1))
"""The figures that tell the best run, the first one that all have, and 1 where less is better, -1 where more is."""
_HELD_OUT = "held-out"
_ALONE = {_HELD_OUT: NETWORK_SPLIT, "test": "test, network"}
"""For each text that a table shows, the split that a mixture's network alone is measured on."""
_SPLITS = tuple(split for pair in _ALONE.items() for split in pair)
_NO_DEVIATION = 1e-9
"""Of the mean: a deviation below this is rounding."""


def summary(plan: Sequence[One], command: Mapping[str, Any]) -> dict[str, Any]:
    """The table as JSON: each setting with its runs, and mean and standard deviation of its figures over the seeds.

    best: the folder of the best run by the held-out text, the figure that says so, and its value; None without one.
    """
    settings: dict[str, list[One]] = {}
    for one in plan:
        settings.setdefault(one.setting.name, []).append(one)
    mixed = has_mixtures(plan)
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
    return {"command": dict(command), "rows": rows, "best": best_of(rows)}


def has_mixtures(plan: Sequence[One]) -> bool:
    """Whether the model of any run is a mixture, whose network was measured alone too."""
    return any(one.result is not None and NETWORK_SPLIT in one.result["evaluation"] for one in plan)


def best_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The best run by the held-out text: `{"folder", "figure", "value"}`; None where that cannot be told."""
    measured = [(run["evaluation"].get(_HELD_OUT, {}), run["folder"])
                for row in rows for run in row["runs"] if run["evaluation"] is not None]  # fmt: skip
    for name, sign in _CHOSEN_BY:
        values = [(found.get(name), folder) for found, folder in measured]
        if values and all(isinstance(value, int | float) for value, _ in values):
            value, folder = min(values, key=lambda pair: sign * pair[0])
            return {"folder": folder, "figure": name, "value": value}
    return None


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


def _cell(value: Mapping[str, float | None] | None) -> str:
    if value is None or value["mean"] is None:
        return ""
    mean, deviation = value["mean"], value["sd"]
    shown = figure(mean) if mean >= 100 else f"{mean:.3f}"
    if deviation is None or math.isnan(deviation):
        return shown
    return f"{shown} ± {0.0 if deviation < _NO_DEVIATION * abs(mean) else deviation:.3g}"


def sheet_of(table: Mapping[str, Any]) -> str:
    """The table as comma-separated values, a line per run."""
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
    return sheet.getvalue()
