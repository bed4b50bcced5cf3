"""The output folder of a run: one run at a time, what it may replace, and when the run before it goes.

A run holds the folder's lock for its whole length. With `overwrite`, what the earlier run made is set aside in
`.replaced/`, except for its model, which is exchanged for the new one when that is first saved. A run that fails before
that puts everything back. Names that no run of ours made are never touched: they are refused before anything happens.
"""

import contextlib
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ostinato.bundle import MANIFEST, RUN_LOCK, discard_folder, first_stranger, recover_folder, tidy_folder
from ostinato.errors import OstinatoError, TrainingError, UsageError
from ostinato.files import hold, is_unique, parse_json, read_regular, sweep, unique, write_file
from ostinato.settings import TOKENIZERS
from ostinato.training.launcher import launch, restarted

MARK = ".run.json"
"""In every folder that a run fills: the files that a run makes there."""
_LAUNCH = "launch"
"""In the mark of a network's run: which of torch's launchers began it (`training.launcher.launch`)."""
_COMPARISON = ".comparison"
"""An empty file in every folder that a comparison fills: the networks in it are the comparison's, too."""
NETWORK = "network"
"""Where a run whose `model/` is a mixture keeps the network alone, as a comparison does: `network/model`."""
_OTHERS = ("heldout", "test")
"""Where a run keeps the ids of texts that it was given beside the one it learns from."""
_OWN = ".part-of-run"
"""An empty file in those folders: they are the run's own."""
_PART = ".part-of-mixture"
"""An empty file in `network/`: the network in it is the mixture's."""
MARKS = (MARK, _COMPARISON, _OWN, _PART)
"""The hidden files that stay in the folders of a run that has ended."""
_FOR_NETWORK = (
    "keeps the network of its mixture there: move it away, choose another folder with -o, or leave the network alone "
    "with --set model.mixture=none"
)
_ASIDE, _WAS, _NEW = ".replaced", ".was.json", ".new"
_PROBE = ".writable."
_SIGNS = (_COMPARISON, "model", "checkpoint", "metrics.jsonl")

_FILES = ("recipe.toml", "metrics.jsonl", "samples.jsonl", "loss.svg", "loss.png")
_COMPARED_FILES = ("compare.json", "compare.csv", "compare.svg", "compare.png")
_SAVED = ("model", "checkpoint")
_BESIDE = frozenset(f".{name}.{what}" for name in _SAVED for what in ("lock", "new", "old"))
"""What killed saves leave in a fixed place: locks, and the half-built folders of version 0.1.0."""
_COUNTING = "counting"
_CORPORA = ("text", "heldout", "test")
_RUNS = ("window", "network", "adapting")
_IN_CORPUS = ("train.ids", "heldout.ids", "corpus.json", "suffixes.u32")
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
        _recover(out, resume=bool(resume))
        check_folder(out, resume=resume, overwrite=overwrite)
        _tidy(out)
        folder = _active[key] = RunFolder(out)
        marked = (out / MARK).exists()
        try:
            if overwrite:
                _set_aside(out)
            _mark(out, comparison, "" if resume is None else launch())
            yield folder
        except BaseException:
            changed = _model_changed(out)
            if changed:
                _remove(out / _ASIDE)
            elif changed is False and not resume:  # where it cannot be told, the next run sees to it
                _put_back(out)
            if not marked and not _made_anything(out):
                _unmark(out)
            raise
        else:
            _end(out, complete=folder.complete)
        finally:
            del _active[key]


_active: dict[tuple[str, int], RunFolder] = {}
"""The runs of this process, by folder and thread."""


def check_folder(out: Path, *, resume: bool | None = False, overwrite: bool = False) -> None:
    """Make the output folder; nothing in it is touched. Raises as `run_folder`."""
    if resume and overwrite:
        raise UsageError("--resume continues a run and --overwrite replaces it: give only one of them")
    _make(out)
    for name in _SAVED:
        recover_folder(out / name)
    try:
        stranger = _stranger(out)
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
    for name in _SAVED:
        tidy_folder(out / name)
    for left in out.glob(f"{_PROBE}*"):
        left.unlink(missing_ok=True)
    for name in (NETWORK, *_OTHERS):
        for left in sweep(out / name, _NEW, everyone=True):
            _remove(left)
    for left in sweep(out / _COUNTING, _NEW, everyone=True):
        shutil.rmtree(left, ignore_errors=True)
    for name in {*_RUNS, *TOKENIZERS}.intersection(_own_folders(out)):
        if (out / name).is_dir():
            _tidy(out / name)


def foreign(out: Path) -> str | None:
    """The first thing in the run folder `out` that no run made there, whatever its name; None where there is none."""
    known = {*_FILES, *_COMPARED_FILES, *_own_folders(out), *MARKS, _ASIDE, RUN_LOCK}
    with contextlib.suppress(FileNotFoundError):
        for entry in sorted(out.iterdir()):
            if entry.name not in known and not _is_left_over(entry.name):
                return entry.name
    return _stranger(out)


def network_model(out: Path) -> Path:
    """Where the model of the network alone lies in the run folder `out`: in a folder of its own beside a mixture (which
    is not saved yet where the run was killed at that moment), else it is `model/`.

    Raises TrainingError where something lies there that no run with a mixture made.
    """
    _refuse_stranger(out / NETWORK, _PART, _FOR_NETWORK)
    recover_folder(out / NETWORK / "model")
    return (out / NETWORK if (out / NETWORK / "model").exists() else out) / "model"


def counting_folder(out: Path) -> Path:
    """A name for the folder in which the run in `out` counts what memory is too small for; it is not made. What a run
    that is killed leaves there goes when the next one begins."""
    return unique(out / _COUNTING, _NEW)


def make_corpus_folder(out: Path, name: str) -> Path:
    """The folder of another text (`heldout` or `test`) of the run in `out`, made where there is none.

    Raises TrainingError where something lies there that no run made.
    """
    return _marked(
        out, name, _OWN, f"keeps the ids of its {name} text there: move it away, or choose another folder with -o"
    )


def make_network_folder(out: Path) -> Path:
    """The folder of the network alone in the run folder `out`, made where there is none.

    Raises TrainingError where something lies there that no run with a mixture made, and where it cannot be made.
    """
    return _marked(out, NETWORK, _PART, _FOR_NETWORK)


def _marked(out: Path, name: str, mark: str, use: str) -> Path:
    """The folder `name` of the run in `out`, made where there is none, with the file that says that a run made it."""
    folder = out / name
    _refuse_stranger(folder, mark, use)
    if not (folder / mark).is_file():
        fresh = unique(folder, _NEW)
        try:
            fresh.mkdir()
            (fresh / mark).touch()
            os.rename(fresh, folder)
        except OSError as error:
            _remove(fresh)
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
    if (folder / _PART).is_file():
        with contextlib.suppress(OSError):  # at once: half a model would be taken for the network
            os.rename(folder / "model", unique(folder / "model", _NEW))
        _remove(folder)


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
        probe = out / f"{_PROBE}{os.getpid()}"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise TrainingError(
            f"cannot write to the output folder {out}: {error.strerror}; choose another with -o"
        ) from None


def _mark(out: Path, comparison: bool, launched_by: str) -> None:
    try:
        made = sorted({*_made(out), *_FILES, *(_COMPARED_FILES if comparison else ())})
        by = {_LAUNCH: launched_by} if launched_by else {}
        write_file(out / MARK, json.dumps({"format": 1, "files": made, **by}) + "\n")
        if comparison:
            (out / _COMPARISON).touch()
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
        return not {*_SIGNS[1:], *_FILES}.isdisjoint(os.listdir(out))
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
    if _ASIDE in names:
        return "the run before it comes back when the folder is next used"
    if "model" not in names:
        return "no model was saved"
    goes_on = f", and --resume goes on from {out / 'checkpoint'}" if "checkpoint" in names else ""
    return f"the last saved model is {out / 'model'}{goes_on}"


def _unmark(out: Path) -> None:
    """Leave no trace of a run that ended before it made anything."""
    for name in (MARK, _COMPARISON):
        with contextlib.suppress(OSError):
            (out / name).unlink(missing_ok=True)


def _made(out: Path) -> set[str]:
    """The single files in `out` that a run made: those its mark lists; without a mark, the usual ones of a run of
    version 0.1.0, if it is one."""
    with contextlib.suppress(OSError, ValueError):
        files = parse_json(read_regular(out / MARK, limit=1 << 16)).get("files")
        return {name for name in files if isinstance(name, str)} if isinstance(files, list) else set()
    old = (out / _COMPARISON).exists() or any((out / name / MANIFEST).is_file() for name in _SAVED)
    return {*_FILES, *_COMPARED_FILES} if old or _is_metrics(out / "metrics.jsonl") else set()


def _is_metrics(path: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return "step" in parse_json(read_regular(path, limit=1 << 26).split(b"\n", 1)[0])
    return False


def _stranger(out: Path) -> str | None:
    """The first thing under a name of ours in `out` that no run made, as a path inside it."""
    made = _made(out)
    name: str
    for name in [*_FILES, *(_COMPARED_FILES if (out / _COMPARISON).exists() else ())]:
        if os.path.lexists(out / name) and name not in made:
            return name
    for name in _own_folders(out):
        folder = out / name
        if not os.path.lexists(folder):
            continue
        inside = "" if not folder.is_dir() else _stranger_inside(folder, name)
        if inside is not None:
            return f"{name}/{inside}" if inside else name
    return None


def _stranger_inside(folder: Path, name: str) -> str | None:
    if name in _SAVED:
        return first_stranger(folder)
    if name in _CORPORA:
        known = {*_IN_CORPUS, _OWN}
    else:
        known = {*_FILES, *_COMPARED_FILES, *_own_folders(folder), *MARKS, _ASIDE, RUN_LOCK}
    inside = sorted(entry.name for entry in folder.iterdir() if not _is_left_over(entry.name))
    unknown: str | None = next((entry for entry in inside if entry not in known), None)
    return unknown if unknown or name in _CORPORA else _stranger(folder)


def _is_left_over(name: str) -> bool:
    """What a killed process was writing, or held."""
    return name.startswith((".part.", ".suffixes.", _PROBE)) or is_unique(name) or name in _BESIDE


def _own_folders(out: Path) -> list[str]:
    """The names of folders that the run in `out` makes; networks and tokenizers go where a comparison made them."""
    if not (out / _COMPARISON).exists():
        others = [name for name in _OTHERS if (out / name / _OWN).is_file()]
        return [*_SAVED, "text", *others, *([NETWORK] if (out / NETWORK / _PART).is_file() else [])]
    return [*_SAVED, *_CORPORA, *_RUNS, *(name for name in TOKENIZERS if (out / name / _COMPARISON).exists())]


def _set_aside(out: Path) -> None:
    """Move what the earlier run made to `.replaced/`. Its model stays where it is, as does the text, of which a second
    name is kept; links are left alone."""
    aside = out / _ASIDE
    try:
        folders = _own_folders(out)
        compared = (out / _COMPARISON).exists()
        aside.mkdir(exist_ok=True)
        write_file(aside / _WAS, json.dumps({"model": _model_id(out), "comparison": compared}) + "\n")
        for name in [*_FILES, *_COMPARED_FILES, *folders]:
            path = out / name
            if name == "model" or path.is_symlink() or not path.exists() or (name not in folders + sorted(_made(out))):
                continue
            if name != "text" or not _link(path, aside / name):
                os.rename(path, aside / name)
        if compared:
            os.rename(out / _COMPARISON, aside / _COMPARISON)
    except OSError as error:
        _put_back(out)
        raise TrainingError(
            f"the run in {out} cannot be replaced: {error.strerror}; what was there before is untouched"
        ) from None


def _link(corpus: Path, target: Path) -> bool:
    """Hard-link the files of a corpus into `target` (they are replaced, never changed). False if links fail."""
    try:
        target.mkdir()
        for name in _IN_CORPUS:
            if (corpus / name).is_file():
                os.link(corpus / name, target / name)
    except OSError:
        _remove(target)
        return False
    return True


def _put_back(out: Path) -> None:
    """Undo `_set_aside`, as far as it came. Does nothing that would lose a file."""
    aside = out / _ASIDE
    with contextlib.suppress(OSError):
        for path in sorted(aside.iterdir()):
            if path.name == _WAS:
                continue
            if is_unique(path.name):  # the note, half written
                path.unlink()
                continue
            if path.name in _CORPORA and (out / path.name).is_dir():
                for file in sorted(path.iterdir(), reverse=True):  # corpus.json, which says what they are, comes last
                    os.replace(file, out / path.name / file.name)
                    file.unlink(missing_ok=True)  # of two names of one file the system replaces neither
                path.rmdir()
                continue
            _remove(out / path.name)
            os.rename(path, out / path.name)
        (aside / _WAS).unlink(missing_ok=True)
        aside.rmdir()


def _recover(out: Path, *, resume: bool) -> None:
    """Finish or undo a replacement whose process was killed."""
    if not (out / _ASIDE).is_dir():
        return
    changed = _model_changed(out)
    if changed is None:
        raise TrainingError(f"cannot read what an earlier run set aside: see {out / _ASIDE}")
    if changed:
        _remove(out / _ASIDE)
    elif not (resume and (out / "checkpoint").exists()):  # else the new run goes on, and is not yet in place
        _put_back(out)


def _end(out: Path, *, complete: bool) -> None:
    if (out / _ASIDE).is_dir():
        if complete and (out / _ASIDE / _WAS).is_file() and _model_changed(out) is False:
            # a comparison whose models lie in folders of their own
            for name in ("model", "text"):
                if not (out / name).is_symlink():
                    _remove(out / name)
        _remove(out / _ASIDE)


def _model_id(out: Path) -> list[Any] | None:
    """What tells the model in `out` from any other; None where there is none. Raises OSError."""
    try:
        manifest = read_regular(out / "model" / MANIFEST, limit=1 << 20)
        return [os.stat(out / "model").st_mtime_ns, hashlib.sha256(manifest).hexdigest()]
    except (FileNotFoundError, ValueError):  # nothing of ours
        return None


def _model_changed(out: Path) -> bool | None:
    """Whether another model is in place than when the run was set aside; None where that cannot be told."""
    if not os.path.isdir(out / _ASIDE):
        return False
    try:
        was = parse_json(read_regular(out / _ASIDE / _WAS, limit=1 << 16)).get("model")
        return _model_id(out) != was
    except FileNotFoundError:  # killed before anything was moved
        return False
    except (OSError, ValueError):
        return None


def _remove(path: Path) -> None:
    """Remove what a run made under this name, and what its saves left; anything else in it stays. Never raises."""
    with contextlib.suppress(OSError):
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
        elif (path / MANIFEST).is_file():
            discard_folder(path)
        else:
            for name in (*_IN_CORPUS, *_FILES, *_COMPARED_FILES, RUN_LOCK):
                (path / name).unlink(missing_ok=True)
            for name in _SAVED:
                tidy_folder(path / name)
            for entry in sorted(path.iterdir()):
                if entry.name in (*_SAVED, *_CORPORA, *_RUNS, *TOKENIZERS, _ASIDE):
                    _remove(entry)
                elif _is_left_over(entry.name) and not entry.is_dir():
                    entry.unlink()
            for name in (*MARKS, _WAS):  # as long as anything is there, they say what it is
                (path / name).unlink(missing_ok=True)
            path.rmdir()
