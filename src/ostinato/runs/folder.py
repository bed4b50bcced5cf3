"""The output folder of a run: one run at a time, what it may replace, and when the run before it goes.

A run holds the folder's lock for its whole length. With `overwrite`, what the earlier run made is set aside in
`.replaced/`, except for its model, which is exchanged for the new one when that is first saved. A run that fails before
that puts everything back. Names that no run of ours made are never touched: they are refused before anything happens.
"""

import contextlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ostinato.bundle import MANIFEST, RUN_LOCK, recover_folder, tidy_folder
from ostinato.errors import OstinatoError, TrainingError, UsageError
from ostinato.files import hold, parse_json, read_regular, sweep, unique, write_file
from ostinato.runs.folder_names import (
    ASIDE,
    COMPARED_FILES,
    COMPARISON,
    FILES,
    MARK,
    MARKS,
    NETWORK,
    NEW,
    OTHERS,
    OWN,
    PART,
    PROBE,
    RUNS,
    SAVED,
    find_stranger,
    is_left_over,
    made_files,
    own_folders,
    remove,
)
from ostinato.runs.set_aside import finish_replacing, model_changed, put_back, recover, set_aside
from ostinato.settings import TOKENIZERS
from ostinato.training.launcher import launch, restarted

_LAUNCH = "launch"
"""In the mark of a network's run: which of torch's launchers began it (`training.launcher.launch`)."""
_FOR_NETWORK = (
    "keeps the network of its mixture there: move it away, choose another folder with -o, or leave the network alone "
    "with --set model.mixture=none"
)
_SIGNS = (COMPARISON, "model", "checkpoint", "metrics.jsonl")
_COUNTING = "counting"
_WAIT = 1.0


@dataclass
class RunFolder:
    """The output folder of a run in progress. `complete` says whether its end may remove an old model that it has not
    replaced; a comparison that was interrupted sets it to False."""

    path: Path
    complete: bool = True


@contextlib.contextmanager
def run_folder(
    out: Path, *, resume: bool | None = False, overwrite: bool = False, comparison: bool = False, what: str = "training"
) -> Iterator[RunFolder]:
    """Inside, `out` is this run's alone. `resume` is None for what cannot be resumed. A call inside another one for the
    same folder does nothing.

    Raises BusyError where another process is at work in it; TrainingError where it holds a run that is neither resumed
    nor overwritten, holds something that no run made, or is not writable, and for an OSError inside, of which it says
    what it has left; UsageError for resume and overwrite at once.
    """
    key = os.path.realpath(out), threading.get_ident()
    if key in _active:
        yield _active[key]
        return
    try:
        with _folder(out, key, resume, overwrite, comparison, what) as folder:
            yield folder
    except OSError as error:
        if isinstance(error, OstinatoError | BrokenPipeError):
            raise
        where = f" ({error.filename})" if error.filename else ""
        raise TrainingError(f"the run in {out} ended: {error.strerror or error}{where}; {_what_is_left(out)}") from None


@contextlib.contextmanager
def _folder(
    out: Path, key: "tuple[str, int]", resume: bool | None, overwrite: bool, comparison: bool, what: str
) -> Iterator[RunFolder]:
    _make(out)
    with hold(out / RUN_LOCK, what=what, place=out, wait=_WAIT):
        recover(out, resume=bool(resume))
        check_folder(out, resume=resume, overwrite=overwrite)
        _tidy(out)
        folder = _active[key] = RunFolder(out)
        marked = (out / MARK).exists()
        try:
            if overwrite:
                set_aside(out)
            _mark(out, comparison, "" if resume is None else launch())
            yield folder
        except BaseException:
            changed = model_changed(out)
            if changed:
                remove(out / ASIDE)
            elif changed is False and not resume:  # where it cannot be told, the next run sees to it
                put_back(out)
            if not marked and not _made_anything(out):
                _unmark(out)
            raise
        else:
            finish_replacing(out, complete=folder.complete)
        finally:
            del _active[key]


_active: dict[tuple[str, int], RunFolder] = {}
"""The runs of this process, by folder and thread."""


def check_folder(out: Path, *, resume: bool | None = False, overwrite: bool = False) -> None:
    """Make the output folder; nothing in it is touched. Raises as `run_folder`."""
    if resume and overwrite:
        raise UsageError("--resume continues a run and --overwrite replaces it: give only one of them")
    _make(out)
    for name in SAVED:
        recover_folder(out / name)
    try:
        stranger = find_stranger(out)
    except OSError as error:
        raise TrainingError(f"the output folder {out} cannot be read: {error.strerror or error}") from None
    if stranger is not None:
        raise TrainingError(
            f"{out / stranger} was not made by ostinato, and the run would replace it: move it away, or choose another "
            "folder with -o"
        )
    held = any((out / name).exists() for name in _SIGNS)
    can_go_on = resume is not None and (out / "checkpoint").exists()
    if held and not (resume or overwrite):
        goes_on = "--resume continues it, " if can_go_on else ""
        raise TrainingError(f"{out} already holds a run: {goes_on}--overwrite replaces it, -o names another")
    if resume and not can_go_on:
        instead = "--overwrite starts it anew" if held else "leave out --resume to start one"
        raise TrainingError(f"nothing to resume: no checkpoint at {out / 'checkpoint'} yet; {instead}")


def _tidy(out: Path) -> None:
    """Remove what killed processes left in `out` and in the folders of runs inside it."""
    for name in SAVED:
        tidy_folder(out / name)
    for left in out.glob(f"{PROBE}*"):
        left.unlink(missing_ok=True)
    for name in (NETWORK, *OTHERS):
        for left in sweep(out / name, NEW, everyone=True):
            remove(left)
    for left in sweep(out / _COUNTING, NEW, everyone=True):
        shutil.rmtree(left, ignore_errors=True)
    for name in {*RUNS, *TOKENIZERS}.intersection(own_folders(out)):
        if (out / name).is_dir():
            _tidy(out / name)


def foreign(out: Path) -> str | None:
    """The first thing in the run folder `out` that no run made there, whatever its name; None where there is none."""
    known = {*FILES, *COMPARED_FILES, *own_folders(out), *MARKS, ASIDE, RUN_LOCK}
    with contextlib.suppress(FileNotFoundError):
        for entry in sorted(out.iterdir()):
            if entry.name not in known and not is_left_over(entry.name):
                return entry.name
    return find_stranger(out)


def network_model(out: Path) -> Path:
    """Where the model of the network alone lies in the run folder `out`: in a folder of its own beside a mixture (which
    is not saved yet where the run was killed at that moment), else it is `model/`.

    Raises TrainingError where something lies there that no run with a mixture made.
    """
    _refuse_stranger(out / NETWORK, PART, _FOR_NETWORK)
    recover_folder(out / NETWORK / "model")
    return (out / NETWORK if (out / NETWORK / "model").exists() else out) / "model"


def counting_folder(out: Path) -> Path:
    """A name for the folder in which the run in `out` counts what memory is too small for; it is not made. What a run
    that is killed leaves there goes when the next one begins."""
    return unique(out / _COUNTING, NEW)


def make_corpus_folder(out: Path, name: str) -> Path:
    """The folder of another text (`heldout` or `test`) of the run in `out`, made where there is none.

    Raises TrainingError where something lies there that no run made.
    """
    return _marked(
        out, name, OWN, f"keeps the ids of its {name} text there: move it away, or choose another folder with -o"
    )


def make_network_folder(out: Path) -> Path:
    """The folder of the network alone in the run folder `out`, made where there is none.

    Raises TrainingError where something lies there that no run with a mixture made, and where it cannot be made.
    """
    return _marked(out, NETWORK, PART, _FOR_NETWORK)


def _marked(out: Path, name: str, mark: str, use: str) -> Path:
    """The folder `name` of the run in `out`, made where there is none, with the file that says that a run made it."""
    folder = out / name
    _refuse_stranger(folder, mark, use)
    if not (folder / mark).is_file():
        fresh = unique(folder, NEW)
        try:
            fresh.mkdir()
            (fresh / mark).touch()
            os.rename(fresh, folder)
        except OSError as error:
            remove(fresh)
            raise TrainingError(f"cannot write to the output folder {out}: {error.strerror or error}") from None
    return folder


def _refuse_stranger(folder: Path, mark: str, use: str) -> None:
    """Raise TrainingError where `folder` is there, holds something, and has no such mark."""
    if (folder / mark).is_file() or not os.path.lexists(folder):
        return
    if folder.is_symlink() or not folder.is_dir() or any(folder.iterdir()):
        raise TrainingError(f"{folder} was not made by ostinato, but a run {use}")


def remove_network(out: Path) -> None:
    """Remove the network alone, where a run made it: `model/` is the network again."""
    folder = out / NETWORK
    if (folder / PART).is_file():
        with contextlib.suppress(OSError):  # at once: half a model would be taken for the network
            os.rename(folder / "model", unique(folder / "model", NEW))
        remove(folder)


def _make(out: Path) -> None:
    if not str(out) or str(out).isspace():
        raise UsageError("the name of the output folder is empty: give one with -o")
    if out.exists() and not out.is_dir():
        raise TrainingError(f"{out} is a file; choose another with -o")
    if out.is_symlink() and not out.exists():
        raise TrainingError(
            f"{out} is a link to {os.readlink(out)}, which does not exist: make that folder, or choose another with -o"
        )
    if (out / MANIFEST).is_file() and (out / "config.json").is_file():
        raise TrainingError(f"{out} is a saved model, not the folder of a run; choose another with -o")
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / f"{PROBE}{os.getpid()}"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise TrainingError(
            f"cannot write to the output folder {out}: {error.strerror}; choose another with -o"
        ) from None


def _mark(out: Path, comparison: bool, launched_by: str) -> None:
    try:
        made = sorted({*made_files(out), *FILES, *(COMPARED_FILES if comparison else ())})
        by = {_LAUNCH: launched_by} if launched_by else {}
        write_file(out / MARK, json.dumps({"format": 1, "files": made, **by}) + "\n")
        if comparison:
            (out / COMPARISON).touch()
    except OSError as error:
        raise TrainingError(f"cannot write to the output folder {out}: {error.strerror}") from None


def begun_before(out: Path) -> bool:
    """Whether the run in `out` was begun by an earlier attempt of the launcher that has started this process anew: what
    it left is nobody else's."""
    if not restarted():
        return False
    with contextlib.suppress(OSError, ValueError):
        return bool(launch()) and parse_json(read_regular(out / MARK, limit=1 << 16)).get(_LAUNCH) == launch()
    return False


def _made_anything(out: Path) -> bool:
    """Whether there is anything of a run in `out`; True where that cannot be seen."""
    try:
        return not {*_SIGNS[1:], *FILES}.isdisjoint(os.listdir(out))
    except OSError:
        return True


def _what_is_left(out: Path) -> str:
    """What a run that could not read or write has left, for the message."""
    try:
        names = set(os.listdir(out))
    except FileNotFoundError:
        names = set()
    except OSError:
        return "nothing that was saved before is changed"
    if ASIDE in names:
        return "the run before it comes back when the folder is next used"
    if "model" not in names:
        return "no model was saved"
    goes_on = f", and --resume goes on from {out / 'checkpoint'}" if "checkpoint" in names else ""
    return f"the last saved model is {out / 'model'}{goes_on}"


def _unmark(out: Path) -> None:
    """Leave no trace of a run that ended before it made anything."""
    for name in (MARK, COMPARISON):
        with contextlib.suppress(OSError):
            (out / name).unlink(missing_ok=True)
