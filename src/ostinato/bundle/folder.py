"""Folders that are written whole or not at all, with a manifest of checksums.

A folder is built beside its place, flushed to the disk, and then exchanged with the old one: after a crash at any
moment there is either the old folder or the new one, whole. Models and checkpoints are written this way, under a lock,
so that two processes that save the same model do it one after the other. Only files that a manifest lists are replaced.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ostinato.errors import BundleError, BusyError
from ostinato.files import (
    NotFlushedError,
    checksum,
    flush,
    hold,
    parse_json,
    read_regular,
    refuse_if_held,
    sweep,
    unique,
)
from ostinato.files.writing import exchange, flush_place

FORMAT = 1
MANIFEST = "manifest.json"
RUN_LOCK = ".ostinato.lock"
"""The lock file of a run, inside its output folder."""

MANIFEST_LIMIT = 1 << 20
_NEW, _OLD = ".new", ".old"
_WAIT = 30.0
"""Seconds that a save waits for another save of the same folder."""

FileContent = bytes | Callable[[Path], None]


def write_folder(path: Path, files: Mapping[str, FileContent]) -> None:
    """Write `files` (bytes, or a function that writes the file at the path it is given) and their manifest as folder
    `path`, replacing what was there at once or not at all. Links are followed.

    Raises BundleError when the disk is full or not writable, or when the folder holds something that no manifest lists;
    what was there before is untouched then, unless the message says that the new one is saved. Raises BusyError while
    another process trains in the folder around it, or keeps saving to it.
    """
    place = Path(os.path.realpath(path))
    try:
        _check_folder(path, place)
        place.parent.mkdir(parents=True, exist_ok=True)
        refuse_if_held(place.parent / RUN_LOCK, place=place.parent)
        with hold(_lock(place), what="saving", place=path, wait=_WAIT) as locked:
            _clean(place, everyone=locked)
            _check_replaceable(path, place)
            _replace(place, files)
    except NotFlushedError as error:
        raise BundleError(
            f"{path} is saved, but its folder could not be flushed to the disk ({error.strerror}): "
            "after a power cut the old one may be back"
        ) from None
    except OSError as error:
        raise BundleError(f"cannot save {path}: {error.strerror or error}; {_state(place)}") from None


def check_place(path: Path) -> None:
    """Raise BundleError if a model cannot be saved as `path`, for use before long work. Creates nothing."""
    place = Path(os.path.realpath(path))
    try:
        _check_folder(path, place)
        _check_replaceable(path, place)
    except OSError as error:
        raise BundleError(f"cannot save {path}: {error.strerror or error}; {_state(place)}") from None


def _check_folder(path: Path, place: Path) -> None:
    if not str(path) or place.parent == place:
        raise BundleError(f"cannot save to {str(path)!r}: name a folder")
    if place.exists() and not place.is_dir():
        raise BundleError(f"cannot save {path}: it is a file; name a folder")


def _check_replaceable(path: Path, place: Path) -> None:
    stranger = first_stranger(place)
    if stranger is not None:
        raise BundleError(
            f"cannot save {path}: it holds {stranger}, which is not part of a saved model; "
            "move it away, or name another folder"
        )


def first_stranger(folder: Path) -> str | None:
    """The first file in `folder` that its manifest does not list, as a path inside it; None where there is none.

    Raises OSError where the manifest cannot be read.
    """
    if not folder.is_dir():
        return None
    own = listed(folder)
    for name in sorted(_files(folder)):
        if name not in own:
            return name
    return None


def listed(folder: Path) -> set[str]:
    """The files that the manifest of `folder` lists, and the manifest itself; empty where there is none, or a damaged
    one. Raises OSError where it cannot be read."""
    try:
        files = parse_json(read_regular(folder / MANIFEST, limit=MANIFEST_LIMIT)).get("files")
    except (FileNotFoundError, ValueError):
        return set()
    return {MANIFEST, *files} if isinstance(files, dict) else set()


def recover_folder(path: Path) -> None:
    """Finish an exchange that was cut short between its two renames (only where the system has no atomic exchange)."""
    place = Path(os.path.realpath(path))
    if place.exists() or not place.parent.is_dir():
        return
    with contextlib.suppress(OSError):  # where nothing may be written, the folder is reported missing
        if _aside(place):
            with hold(_lock(place), what="saving", place=path, wait=_WAIT):
                _recover(place)


def tidy_folder(path: Path) -> None:
    """Remove what killed saves of `path` left beside it, if nobody saves to it now. Never raises."""
    place = Path(os.path.realpath(path))
    with contextlib.suppress(OSError, BusyError):
        if os.path.lexists(_lock(place)) or sweep(place, _NEW, everyone=True) or _aside(place):
            with hold(_lock(place), what="saving", place=path) as locked:
                _clean(place, everyone=locked)


def discard_folder(folder: Path) -> None:
    """Remove a folder that was replaced: what its manifest lists, and it, if nothing else is in it. Never raises."""
    with contextlib.suppress(OSError):
        own = listed(folder)
        if not own and (folder / MANIFEST).exists():
            return
        for name in sorted(own & set(_files(folder)) - {MANIFEST}):  # a foreign manifest may name anything
            with contextlib.suppress(OSError):
                (folder / name).unlink(missing_ok=True)
        for parent in sorted((p for p in folder.rglob("*") if p.is_dir() and not p.is_symlink()), reverse=True):
            parent.rmdir()
        if [entry.name for entry in folder.iterdir()] == [MANIFEST]:
            (folder / MANIFEST).unlink()
        folder.rmdir()


def _replace(place: Path, files: Mapping[str, FileContent]) -> None:
    """Build the folder aside, then put it in its place; raises NotFlushedError once it is there, else OSError."""
    fresh = unique(place, _NEW)
    try:
        fresh.mkdir()
        _build(fresh, files)
        _exchange(fresh, place)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    flush_place(place.parent)
    discard_folder(fresh)  # the old one, by way of an exchange


def _build(fresh: Path, files: Mapping[str, FileContent]) -> None:
    manifest = {}
    for name, content in files.items():
        target = fresh / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(target)
        else:
            target.write_bytes(content)
        flush(target)
        manifest[name] = {"bytes": target.stat().st_size, "sha256": checksum(target)}
    (fresh / MANIFEST).write_text(json.dumps({"format": FORMAT, "files": manifest}, indent=1) + "\n", "utf-8")
    flush(fresh / MANIFEST)
    for folder in sorted({(fresh / name).parent for name in files} | {fresh}):
        flush(folder)


def _exchange(fresh: Path, place: Path) -> None:
    """Put folder `fresh` in the place of `place`; after it, `fresh` is the old one or not there."""
    if not place.exists():
        os.rename(fresh, place)
    elif not exchange(fresh, place):
        aside = unique(place, _OLD)
        os.rename(place, aside)
        try:
            os.rename(fresh, place)
        except OSError:
            with contextlib.suppress(OSError):
                os.rename(aside, place)
            raise
        discard_folder(aside)


def _clean(place: Path, *, everyone: bool) -> None:
    """Remove what interrupted saves left beside `place`; where there are no locks, those of ended processes alone."""
    _recover(place)
    with contextlib.suppress(OSError):
        for left in [*sweep(place, _NEW, everyone=everyone), place.with_name(f".{place.name}{_NEW}")]:
            if not left.is_dir() or left.is_symlink():
                continue
            if (left / MANIFEST).exists() and first_stranger(left) is not None:
                continue  # someone put a file into the model while it was replaced
            shutil.rmtree(left, ignore_errors=True)
        for left in _aside(place):
            discard_folder(left)


def _recover(place: Path) -> None:
    if not place.exists():
        for aside in _aside(place)[-1:]:
            os.rename(aside, place)


def _aside(place: Path) -> list[Path]:
    """The old folders of exchanges that were cut short, also of version 0.1.0."""
    found = [*sweep(place, _OLD, everyone=True), place.with_name(f".{place.name}{_OLD}")]
    return [folder for folder in found if folder.is_dir() and not folder.is_symlink()]


def _state(place: Path) -> str:
    """What a failed save has left, for the message."""
    with contextlib.suppress(OSError):
        if not place.exists() and (aside := _aside(place)):
            return f"what was there before lies in {aside[0]}, and is put back when it is next read or saved"
    return "what was there before is untouched"


def _lock(place: Path) -> Path:
    return place.with_name(f".{place.name}.lock")


def _files(folder: Path) -> Iterator[str]:
    """Everything in `folder` that is not itself a folder, as paths inside it; empty folders too."""
    for root, folders, names in os.walk(folder):
        inside = Path(root).relative_to(folder)
        links = [name for name in folders if (Path(root) / name).is_symlink()]
        yield from ((inside / name).as_posix() for name in [*names, *links])
        if not folders and not names and Path(root) != folder:
            yield inside.as_posix()
