"""`samples.jsonl`: what a model wrote while it learnt, kept beside the metrics."""

import json
from pathlib import Path
from typing import Any

from ostinato.training.metrics import read_metrics

FILE = "samples.jsonl"
"""In the folder of a run: a line of JSON per sample, with `step`, `seconds` and `text`."""


def append_sample(folder: Path, *, step: int, seconds: float, text: str) -> None:
    """Keep a sample in the run's `folder`. Raises OSError."""
    with (folder / FILE).open("a+b") as file:
        if file.seek(0, 2) and (file.seek(-1, 2), file.read(1))[1] != b"\n":  # a line cut short by a kill
            file.write(b"\n")
        file.write((json.dumps({"step": step, "seconds": round(seconds, 3), "text": text}) + "\n").encode())


def read_samples(folder: Path) -> list[dict[str, Any]]:
    """The samples of a run in order; a line that was cut short is left out, a missing file has none."""
    return [row for row in read_metrics(folder / FILE) if isinstance(row.get("text"), str)]
