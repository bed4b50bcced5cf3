"""The output folder of a run: what it may hold before, and how it is emptied."""

import shutil
from pathlib import Path

from ostinato.errors import TrainingError, UsageError

_SIGNS = ("model", "checkpoint", "metrics.jsonl")
_FOLDERS = ("model", "checkpoint", "network", "window", "heldout")
_FILES = ("metrics.jsonl", "loss.svg", "loss.png", "recipe.toml", "compare.svg", "compare.png")


def check_folder(out: Path, *, resume: bool = False, overwrite: bool = False) -> None:
    """Make the output folder; nothing in it is touched.

    Raises TrainingError where it holds a run that is neither resumed nor overwritten, or is not writable; UsageError
    for both at once.
    """
    if resume and overwrite:
        raise UsageError("--resume goes on with a run and --overwrite replaces it: give one of them")
    if out.exists() and not out.is_dir():
        raise TrainingError(f"the output folder {out} is a file; choose another with -o")
    if any((out / name).exists() for name in _SIGNS) and not (resume or overwrite):
        raise TrainingError(
            f"{out} holds a run already: --resume goes on with it, --overwrite replaces it, -o names another"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise TrainingError(
            f"cannot write to the output folder {out}: {error.strerror}; choose another with -o"
        ) from None


def empty_folder(out: Path) -> None:
    """Remove what an earlier run left; called when everything the new run needs has been read and checked."""
    for name in _FOLDERS:
        shutil.rmtree(out / name, ignore_errors=True)
    for name in _FILES:
        (out / name).unlink(missing_ok=True)
