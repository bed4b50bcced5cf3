"""The output folder of a run: what it may hold before, and how it is emptied."""

import shutil
from collections.abc import Collection
from pathlib import Path

from ostinato.errors import TrainingError, UsageError
from ostinato.settings import TOKENIZERS

_COMPARISON = ".comparison"
"""An empty file in every folder that a comparison fills: the networks in it are the comparison's, too."""
_SIGNS = (_COMPARISON, "model", "checkpoint", "metrics.jsonl")
_TRAINED = ("text", "model", "checkpoint", "metrics.jsonl", "loss.svg", "loss.png", "recipe.toml")
_COMPARED = (_COMPARISON, "heldout", "window", "network", "adapting", "compare.svg", "compare.png")


def check_folder(out: Path, *, resume: bool | None = False, overwrite: bool = False) -> None:
    """Make the output folder; nothing in it is touched. `resume` is None for what cannot be resumed.

    Raises TrainingError where it holds a run that is neither resumed nor overwritten, or is not writable; UsageError
    for both at once.
    """
    if resume and overwrite:
        raise UsageError("--resume goes on with a run and --overwrite replaces it: give one of them")
    if out.exists() and not out.is_dir():
        raise TrainingError(f"the output folder {out} is a file; choose another with -o")
    if any((out / name).exists() for name in _SIGNS) and not (resume or overwrite):
        goes_on = "" if resume is None else "--resume goes on with it, "
        raise TrainingError(f"{out} holds a run already: {goes_on}--overwrite replaces it, -o names another")
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise TrainingError(
            f"cannot write to the output folder {out}: {error.strerror}; choose another with -o"
        ) from None


def empty_folder(out: Path, *, keep: Collection[str] = ("text",)) -> None:
    """Remove what an earlier run left, without the names in `keep`; called when everything the new run needs has been
    read and checked. Networks and the folders of tokenizers go where a comparison made them.
    """
    names = [*_TRAINED]
    if (out / _COMPARISON).exists():
        names += [*_COMPARED, *(name for name in TOKENIZERS if (out / name / _COMPARISON).exists())]
    for name in names:
        path = out / name
        if name in keep:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def begin_comparison(out: Path, *, overwrite: bool, keep: Collection[str]) -> None:
    """Mark the folder as a comparison's; with `overwrite` it is emptied first, without the names in `keep`."""
    if overwrite:
        empty_folder(out, keep=keep)
    (out / _COMPARISON).touch()
