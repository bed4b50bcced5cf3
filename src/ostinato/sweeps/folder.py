"""The folder of a sweep: a folder per run, and the table of all."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ostinato.bundle import MANIFEST, RUN_LOCK
from ostinato.errors import TrainingError
from ostinato.files import is_unique, parse_json, read_regular, write_file

TABLE = "sweep.json"
SHEET = "sweep.csv"
RESULT = "result.json"
"""In the folder of each finished run: what `train --json` printed."""
_MODEL = "model_sha256"
"""In the result: of the manifest of the model whose figures they are."""
_REPLACED = "to replace"
"""In the table while runs are replaced (--overwrite): the checkpoints of those that were there before."""
_LARGEST = 64 << 20


def prepare(out: Path) -> None:
    """Make the folder. Raises TrainingError where it is none, or something else lies there."""
    if out.exists() and not out.is_dir():
        raise TrainingError(f"{out} is a file; choose another with -o")
    try:
        out.mkdir(parents=True, exist_ok=True)
        there = {name for name in os.listdir(out) if not is_unique(name)} - {RUN_LOCK}
    except OSError as error:
        raise TrainingError(f"cannot write to the output folder {out}: {error.strerror or error}") from None
    if TABLE in there and read_table(out) is None:
        raise TrainingError(
            f"{out / TABLE} was not made by ostinato, and the runs' table would replace it: move it away, or name "
            "another folder with -o"
        )
    if there and TABLE not in there:
        raise TrainingError(f"{out} holds something else than several runs: name another folder with -o")


def begin(out: Path, command: Mapping[str, Any], folders: Iterable[Path], *, overwrite: bool) -> dict[str, str]:
    """Note in the table which command the runs are of, before any is made, so that those of two are never mixed.

    With `overwrite` the results in `folders` go. Returns the checkpoints of runs that are to be replaced and are not
    yet, by the name of the folder, as `checkpoint_in` tells them: also those that a killed process left. Raises
    TrainingError.
    """
    check_same(out, command, overwrite=overwrite)
    table = read_table(out) or {}
    replaced: dict[str, str] = table.get(_REPLACED, {})
    try:
        if overwrite:
            replaced = {folder.name: checkpoint_in(folder) for folder in folders if folder.exists()}
            for folder in folders:  # first, so that no result of theirs is ever taken for one of this command
                (folder / RESULT).unlink(missing_ok=True)
        rest = {_REPLACED: replaced} if replaced else {}
        whole = {"rows": [], "best": None, **table, "command": dict(command), **rest}
        write_file(out / TABLE, json.dumps(whole, ensure_ascii=False, indent=1) + "\n")
    except OSError as error:
        raise TrainingError(f"cannot write to the output folder {out}: {error.strerror or error}") from None
    return replaced


def checkpoint_in(folder: Path) -> str:
    """Identifies the checkpoint of the run in `folder` (its manifest's checksum); empty if there is none."""
    return _manifest_checksum(folder / "checkpoint")


def _manifest_checksum(folder: Path) -> str:
    """The checksum of the manifest in `folder`; empty if there is none."""
    try:
        return hashlib.sha256(read_regular(folder / MANIFEST, limit=_LARGEST)).hexdigest()
    except (OSError, ValueError):
        return ""


def check_same(out: Path, command: Mapping[str, Any], *, overwrite: bool) -> None:
    """Raises TrainingError where the folder's runs were asked for by another command, and are not to be replaced.

    What an older version did not note is not compared.
    """
    before = (read_table(out) or {}).get("command")
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
    kinds = {"command": dict, "rows": list, _REPLACED: dict}
    ours = {"command", "rows"} <= set(table) and all(
        isinstance(table.get(k, kind()), kind) for k, kind in kinds.items()
    )
    return table if ours or not table else None  # else a text of the user's by that name


def finished_runs(folder: Path) -> list[str]:
    """The folders of the finished runs inside the sweep's `folder`."""
    return sorted(path.parent.name for path in folder.glob(f"*/{RESULT}"))


def read_result(folder: Path) -> dict[str, Any] | None:
    """What the run in `folder` printed; None where it is not finished, or another model has replaced its own."""
    try:
        result = parse_json(read_regular(folder / RESULT, limit=16 << 20))
    except (OSError, ValueError):
        return None
    evaluation = result.get("evaluation")
    whole = isinstance(evaluation, dict) and all(isinstance(values, dict) for values in evaluation.values())
    return result if whole and result.pop(_MODEL, None) in (None, _manifest_checksum(folder / "model")) else None


def save_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write down what the run in `folder` printed, and of which model. Raises TrainingError."""
    try:
        whole = {**result, _MODEL: _manifest_checksum(folder / "model")}
        write_file(folder / RESULT, json.dumps(whole, ensure_ascii=False) + "\n")
    except OSError as error:
        raise TrainingError(
            f"cannot write {folder / RESULT}: {error.strerror or error}; its model is saved: run the same command to "
            "continue"
        ) from None


def save_table(out: Path, table: Mapping[str, Any], sheet: str, replaced: Mapping[str, str]) -> None:
    """Write sweep.json, with what is still to be replaced (`begin`), and sweep.csv. Raises TrainingError."""
    try:
        whole = {**table, **({_REPLACED: dict(replaced)} if replaced else {})}
        write_file(out / TABLE, json.dumps(whole, ensure_ascii=False, indent=1) + "\n")
        write_file(out / SHEET, sheet)
    except OSError as error:
        raise TrainingError(f"cannot write the table in {out}: {error.strerror or error}") from None
