"""What an earlier run made, set aside in `.replaced/` while another one replaces it: kept, put back, or let go."""

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from ostinato.bundle import MANIFEST
from ostinato.errors import TrainingError
from ostinato.files import is_unique, parse_json, read_regular, write_file
from ostinato.runs.folder_names import (
    ASIDE,
    COMPARED_FILES,
    COMPARISON,
    CORPORA,
    FILES,
    IN_CORPUS,
    WAS,
    made_files,
    own_folders,
    remove,
)


def set_aside(out: Path) -> None:
    """Move what the earlier run made to `.replaced/`. Its model stays where it is, as does the text, of which a second
    name is kept; links are left alone."""
    aside = out / ASIDE
    try:
        folders = own_folders(out)
        compared = (out / COMPARISON).exists()
        aside.mkdir(exist_ok=True)
        write_file(aside / WAS, json.dumps({"model": _model_id(out), "comparison": compared}) + "\n")
        for name in [*FILES, *COMPARED_FILES, *folders]:
            path = out / name
            ours = name in folders or name in made_files(out)
            if name == "model" or path.is_symlink() or not path.exists() or not ours:
                continue
            if name != "text" or not _link(path, aside / name):
                os.rename(path, aside / name)
        if compared:
            os.rename(out / COMPARISON, aside / COMPARISON)
    except OSError as error:
        put_back(out)
        raise TrainingError(
            f"the run in {out} cannot be replaced: {error.strerror}; what was there before is untouched"
        ) from None


def _link(corpus: Path, target: Path) -> bool:
    """Hard-link the files of a corpus into `target` (they are replaced, never changed). False if links fail."""
    try:
        target.mkdir()
        for name in IN_CORPUS:
            if (corpus / name).is_file():
                os.link(corpus / name, target / name)
    except OSError:
        remove(target)
        return False
    return True


def put_back(out: Path) -> None:
    """Undo `set_aside`, as far as it came. Does nothing that would lose a file."""
    aside = out / ASIDE
    with contextlib.suppress(OSError):
        for path in sorted(aside.iterdir()):
            if path.name == WAS:
                continue
            if is_unique(path.name):  # the note, half written
                path.unlink()
                continue
            if path.name in CORPORA and (out / path.name).is_dir():
                for file in sorted(path.iterdir(), reverse=True):  # corpus.json, which says what they are, comes last
                    os.replace(file, out / path.name / file.name)
                    file.unlink(missing_ok=True)  # of two names of one file the system replaces neither
                path.rmdir()
                continue
            remove(out / path.name)
            os.rename(path, out / path.name)
        (aside / WAS).unlink(missing_ok=True)
        aside.rmdir()


def recover(out: Path, *, resume: bool) -> None:
    """Finish or undo a replacement whose process was killed."""
    if not (out / ASIDE).is_dir():
        return
    changed = model_changed(out)
    if changed is None:
        raise TrainingError(f"cannot read what an earlier run set aside: see {out / ASIDE}")
    if changed:
        remove(out / ASIDE)
    elif not (resume and (out / "checkpoint").exists()):  # else the new run goes on, and is not yet in place
        put_back(out)


def finish_replacing(out: Path, *, complete: bool) -> None:
    """Delete what was set aside, once the new run is in place. With `complete` also the old model and its text, if the
    new run saved no model there (a comparison: its models are in folders of their own)."""
    if (out / ASIDE).is_dir():
        if complete and (out / ASIDE / WAS).is_file() and model_changed(out) is False:
            # a comparison whose models lie in folders of their own
            for name in ("model", "text"):
                if not (out / name).is_symlink():
                    remove(out / name)
        remove(out / ASIDE)


def _model_id(out: Path) -> list[Any] | None:
    """What tells the model in `out` from any other; None where there is none. Raises OSError."""
    try:
        manifest = read_regular(out / "model" / MANIFEST, limit=1 << 20)
        return [os.stat(out / "model").st_mtime_ns, hashlib.sha256(manifest).hexdigest()]
    except (FileNotFoundError, ValueError):  # nothing of ours
        return None


def model_changed(out: Path) -> bool | None:
    """Whether another model is in place than when the run was set aside; None where that cannot be told."""
    if not os.path.isdir(out / ASIDE):
        return False
    try:
        was = parse_json(read_regular(out / ASIDE / WAS, limit=1 << 16)).get("model")
        return _model_id(out) != was
    except FileNotFoundError:  # killed before anything was moved
        return False
    except (OSError, ValueError):
        return None
