"""The folder of a sweep: a folder per run, and the table of all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ostinato.errors import TrainingError
from ostinato.files import parse_json, read_regular, write_file

TABLE = "sweep.json"
SHEET = "sweep.csv"
RESULT = "result.json"
"""In the folder of each finished run: what `train --json` printed."""
_LARGEST = 64 << 20


def prepare(out: Path) -> None:
    """Make the folder, with an empty table. Raises TrainingError where something else lies there."""
    if out.exists() and not (out / TABLE).is_file() and any(out.iterdir()):
        raise TrainingError(f"{out} holds something else than several runs: name another folder with -o")
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not (out / TABLE).exists():
            write_file(out / TABLE, "{}\n")
    except OSError as error:
        raise TrainingError(f"cannot write to the output folder {out}: {error.strerror or error}") from None


def check_same(out: Path, command: Mapping[str, Any], *, overwrite: bool) -> None:
    """Raises TrainingError where the folder's runs were asked for by another command, and are not to be replaced.

    What an older version did not note is not compared.
    """
    before = parse_json(read_regular(out / TABLE, limit=_LARGEST)).get("command")
    if before is None or overwrite or before == {name: command.get(name) for name in before}:
        return
    if before.get("cell_files", command.get("cell_files")) != command.get("cell_files"):
        raise TrainingError(
            f"{out} holds runs with other files of cells (--cell-file): give the files as they were to go on, name "
            "another folder with -o, or replace the runs with --overwrite"
        )
    raise TrainingError(
        f"{out} holds runs of another text, recipe or budget: give the same command to go on, name another folder "
        "with -o, or replace them with --overwrite"
    )


def read_table(folder: Path) -> dict[str, Any] | None:
    """The table of the sweep in `folder`, empty before its first run ends; None where it is no sweep's."""
    try:
        table = parse_json(read_regular(folder / TABLE, limit=_LARGEST))
    except (OSError, ValueError):
        return None
    return None if table and not {"command", "rows"} <= set(table) else table  # a text of the user's by that name


def finished_runs(folder: Path) -> list[str]:
    """The folders of the finished runs inside the sweep's `folder`."""
    return sorted(path.parent.name for path in folder.glob(f"*/{RESULT}"))


def read_result(folder: Path) -> dict[str, Any] | None:
    """What the run in `folder` printed; None where it is not finished."""
    file = folder / RESULT
    return parse_json(read_regular(file, limit=16 << 20)) if file.is_file() else None


def save_table(out: Path, table: Mapping[str, Any], sheet: str) -> None:
    """Write sweep.json and sweep.csv. Raises TrainingError."""
    try:
        write_file(out / TABLE, json.dumps(table, ensure_ascii=False, indent=1) + "\n")
        write_file(out / SHEET, sheet)
    except OSError as error:
        raise TrainingError(f"cannot write the table in {out}: {error.strerror or error}") from None
