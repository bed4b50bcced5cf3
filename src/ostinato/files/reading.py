"""Reading files that anyone may have put there: regular ones only, within limits, JSON once and strictly."""

import contextlib
import hashlib
import json
import math
import mmap
import os
import stat
from pathlib import Path
from typing import Any

_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class UnsafeFileError(ValueError):
    """A file that is not read: a link, a pipe, a device, a folder, or one that is too large."""


def path(text: str) -> Path:
    """An option's value as a path. Raises ValueError for an empty one, which Path would take for the working folder."""
    if not text.strip():
        raise ValueError("an empty path was given")
    return Path(text)


def open_regular(path: Path | str, *, folder: int | None = None, links: bool = True) -> int:
    """A descriptor of the regular file `path`, which may be relative to the open `folder`; never blocks.

    Raises UnsafeFileError for anything else (with `links` False also for a link), OSError as os.open.
    """
    entry = os.stat(path, dir_fd=folder, follow_symlinks=links)
    if not stat.S_ISREG(entry.st_mode):
        raise UnsafeFileError(_kind(entry.st_mode))
    handle = os.open(path, _FLAGS | (0 if links else _NOFOLLOW), dir_fd=folder)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise UnsafeFileError("it is not a regular file")
    return handle


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "it is a link, and links are not followed here"
    return "it is a folder" if stat.S_ISDIR(mode) else "it is not a regular file"


def close(handle: int) -> None:
    """Close a descriptor that was only read from: what the system has to say to that changes nothing."""
    with contextlib.suppress(OSError):
        os.close(handle)


def read_handle(handle: int, limit: int) -> bytes:
    """All of an open file of at most `limit` bytes. Raises UnsafeFileError beyond that."""
    size = os.fstat(handle).st_size
    if size > limit:
        raise UnsafeFileError(f"it has {size:,} bytes, more than the {limit:,} that are read")
    with open(handle, "rb", closefd=False) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise UnsafeFileError(f"it has more than the {limit:,} bytes that are read")
    return content


def read_regular(path: Path, *, limit: int) -> bytes:
    """The bytes of a regular file of at most `limit` bytes. Raises UnsafeFileError and OSError."""
    handle = open_regular(path)
    try:
        return read_handle(handle, limit)
    finally:
        close(handle)


def checksum(path: Path) -> str:
    """The SHA-256 of a regular file, in hexadecimal digits. Raises UnsafeFileError and OSError."""
    with os.fdopen(open_regular(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parse_json(content: bytes, *, depth: int = 40) -> dict[str, Any]:
    """The object of a JSON document, strictly: UTF-8, no NaN or infinity, no name twice, nested at most `depth` deep.

    Raises ValueError with what is wrong.
    """
    try:
        data = parse_value(content.decode("utf-8"), depth=depth)
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from None
    if not isinstance(data, dict):
        raise ValueError("it does not hold a JSON object")
    return data


def parse_value(text: str, *, depth: int = 40) -> Any:
    """Any value of JSON, as strictly. Raises ValueError with what is wrong."""
    try:
        data = json.loads(text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_distinct)
    except RecursionError:
        raise ValueError(f"it is nested more than {depth} deep") from None
    check_depth(data, depth)
    return data


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not a number that JSON has")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"the number {digits[:20]} is too large")
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice[:40]!r} stands in it twice")
    return table


def check_depth(data: Any, depth: int = 40) -> None:
    """Raise ValueError where lists and tables are nested more than `depth` deep."""
    level = [data] if isinstance(data, dict | list) else []
    for _ in range(depth):
        children = (child for value in level for child in (value.values() if isinstance(value, dict) else value))
        level = [child for child in children if isinstance(child, dict | list)]
        if not level:
            return
    raise ValueError(f"it is nested more than {depth} deep")


def unload(array: Any) -> None:
    """Take what has been read or written of a mapped file out of this process's memory; it stays in the file.

    array: a NumPy array over it, a `memmap` or one over a buffer that is only read, however often viewed. Others are
    left alone: what was changed of a private mapping is in no file.
    """
    owner = array
    while owner is not None and not isinstance(owner, mmap.mmap):
        if isinstance(owner, memoryview):
            owner = owner.obj if owner.readonly else None
        elif getattr(owner, "_mmap", None) is not None:
            owner = None if owner.mode == "c" else owner._mmap
        else:
            owner = getattr(owner, "base", None)
    if owner is not None and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)
