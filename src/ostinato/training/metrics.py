"""`metrics.jsonl`: a row per evaluation and rows between them, append-only, also across a resume."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ostinato.training.observers import Observer, Row


class MetricsFile(Observer):
    """Appends rows to a file. Steps that are there already (a resumed run repeats them) are not written twice."""

    def __init__(self, path: Path) -> None:
        self.path = path
        rows = read_metrics(path)
        self._last_step = rows[-1]["step"] if rows else -1
        self._last_evaluated = max((row["step"] for row in rows if row.get("heldout_loss") is not None), default=-1)
        if path.exists() and path.stat().st_size and not path.read_bytes().endswith(b"\n"):
            with path.open("a", encoding="utf-8") as file:  # a row cut short by a kill: start a new line after it
                file.write("\n")

    def evaluated(self, row: Row, best: bool) -> None:
        """Write the row, also where there is one of its step that was logged."""
        if self._last_evaluated < row.step == self._last_step:
            self._last_step -= 1
        self.append(row)
        self._last_evaluated = max(self._last_evaluated, row.step)

    def logged(self, row: Row) -> None:
        """Write the row, whose held-out loss is null."""
        self.append(row)

    def append(self, row: Row) -> None:
        """Write one row and flush it."""
        if row.step <= self._last_step:
            return
        self._last_step = row.step
        data = asdict(row)
        data |= data.pop("scores")
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in data.items()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(finite) + "\n")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics file in order; a row that was cut short is left out, a missing file has none."""
    try:
        text = path.read_text("utf-8", errors="replace")
    except FileNotFoundError:  # also one that a new run has just cleared away
        return []
    rows = []
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and "step" in row:
            rows.append(row)
    return rows
