"""Folders that are written whole or not at all, with a manifest of checksums.

A folder is written beside its place, flushed to the disk, and then exchanged with the old one: after a crash at any
moment there is either the old folder or the new one, whole. Models and checkpoints are written this way.
"""

import contextlib
import ctypes
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ostinato.errors import BundleError

FORMAT = 1
MANIFEST = "manifest.json"

FileContent = bytes | Callable[[Path], None]


def write_folder(path: Path, files: Mapping[str, FileContent]) -> None:
    """Write `files` (bytes, or a function that writes the file at the path it is given) and their manifest as folder
    `path`, replacing what was there at once or not at all.

    Raises BundleError when the disk is full or not writable; the old folder is then untouched.
    """
    path = path.absolute()
    fresh = path.with_name(f".{path.name}.new")
    if path.exists() and not path.is_dir():
        raise BundleError(f"cannot save {path}: it is a file; name a folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        recover_folder(path)
        _remove(fresh)
        fresh.mkdir()
        manifest = {}
        for name, content in files.items():
            target = fresh / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if callable(content):
                content(target)
            else:
                target.write_bytes(content)
            _flush(target)
            manifest[name] = {"bytes": target.stat().st_size, "sha256": _sha256(target)}
        (fresh / MANIFEST).write_text(json.dumps({"format": FORMAT, "files": manifest}, indent=1) + "\n", "utf-8")
        _flush(fresh / MANIFEST)
        for folder in sorted({(fresh / name).parent for name in files} | {fresh}):
            _flush(folder)
        _exchange(fresh, path)
        _flush(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            _remove(fresh)
        raise BundleError(
            f"cannot save {path}: {error.strerror or error}; what was there before is untouched"
        ) from None


def verify_folder(path: Path) -> None:
    """Check every file of a folder against its manifest. Raises BundleError naming the first damaged file."""
    recover_folder(path)
    manifest = read_json(path / MANIFEST)
    files = manifest.get("files")
    if not isinstance(files, dict):
        raise BundleError(f"{path / MANIFEST} lists no files: the model is damaged; train or copy it again")
    for name, expected in files.items():
        file = path / name
        if not _inside(path, file) or not isinstance(expected, dict):
            raise BundleError(f"{path / MANIFEST} is damaged at {name!r}; train or copy the model again")
        if not file.is_file():
            raise BundleError(f"{file} is missing: the model is incomplete; copy the whole folder again")
        if file.stat().st_size != expected.get("bytes") or _sha256(file) != expected.get("sha256"):
            raise BundleError(f"{file} does not match its checksum: it was damaged or edited; copy or train it again")


def recover_folder(path: Path) -> None:
    """Finish an exchange that was cut short between its two renames (only where the system has no atomic exchange)."""
    path = path.absolute()
    aside = path.with_name(f".{path.name}.old")
    if aside.is_dir() and not path.exists():
        os.rename(aside, path)


def _inside(folder: Path, file: Path) -> bool:
    return file.resolve().is_relative_to(folder.resolve())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)


def _flush(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a folder for flushing
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _exchange(fresh: Path, path: Path) -> None:
    """Put folder `fresh` in the place of `path`."""
    if not path.exists():
        os.rename(fresh, path)
    elif _exchange_atomically(fresh, path):
        _remove(fresh)
    else:
        aside = path.with_name(f".{path.name}.old")
        _remove(aside)
        os.rename(path, aside)
        os.rename(fresh, path)
        _remove(aside)


def _exchange_atomically(first: Path, second: Path) -> bool:
    """Exchange two paths in one step with Linux's renameat2(RENAME_EXCHANGE). False where there is no such call."""
    if not sys.platform.startswith("linux"):
        return False
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(renameat2(here, os.fsencode(first), here, os.fsencode(second), exchange) == 0)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{path.parent} is not a saved model: it has no {path.name}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path} cannot be read ({error}); copy or train the model again") from None
    if not isinstance(data, dict):
        raise BundleError(f"{path} does not hold a JSON object; copy or train the model again")
    return data
