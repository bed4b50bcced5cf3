"""Single files that are written whole or not at all."""

import contextlib
import ctypes
import errno
import os
import re
import secrets
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_PART, _NEW, _OLD = ".part", ".new", ".old"
_ZEROS = 1 << 20
_UNIQUE = re.compile(r"\..+\.\d+-[0-9a-f]+\.(part|new|old)", re.DOTALL)


class NotFlushedError(OSError):
    """What was written is in its place, but its folder could not be flushed to the disk."""


def unique(path: Path, suffix: str) -> Path:
    """A hidden name beside `path` that no other writer has: it holds this process's id, which `sweep` reads."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{suffix}")


def is_unique(name: str) -> bool:
    """Whether `unique` may have made this name."""
    return _UNIQUE.fullmatch(name) is not None


def sweep(path: Path, suffix: str, *, everyone: bool = False) -> list[Path]:
    """What is left of the names that `unique` gave to processes that have ended; with `everyone`, to any process."""
    prefix, found = f".{path.name}.", []
    with os.scandir(path.parent) as entries:
        for entry in entries:
            name = entry.name
            if not (name.startswith(prefix) and name.endswith(suffix)):
                continue
            number, dash, _ = name[len(prefix) : -len(suffix)].partition("-")
            if dash and number.isdecimal() and (everyone or not _alive(int(number))):
                found.append(path.with_name(name))
    return sorted(found)


def flush(path: Path) -> None:
    """Flush a file or folder to the disk."""
    folder = path.is_dir()
    if folder and os.name == "nt":
        return  # Windows cannot open a folder for flushing
    handle = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Inside, write the file it gives: it takes the place of `path` when the block ends without an error.

    The new file is flushed before, its folder afterwards; links are followed; what is no regular file (a pipe, a
    terminal) is written to directly. Raises OSError: `path` is then as it was, except after NotFlushedError.
    """
    target = Path(os.path.realpath(path))
    with contextlib.suppress(OSError):
        if not stat.S_ISREG(target.stat().st_mode) and not target.is_dir():
            with target.open("wb") as file:
                yield file
            return
    if not target.parent.is_dir():  # else the message would name the hidden file
        folder = target.parent if path.is_symlink() else path.parent
        raise FileNotFoundError(errno.ENOENT, "the folder does not exist", str(folder))
    with contextlib.suppress(OSError):
        for stale in sweep(target, _PART):
            stale.unlink(missing_ok=True)
    temporary = unique(target, _PART)
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    flush_place(target.parent)


def flush_place(folder: Path) -> None:
    """Flush the folder in which something has just been put. Raises NotFlushedError."""
    try:
        flush(folder)
    except OSError as error:
        raise NotFlushedError(error.errno, error.strerror or str(error), str(folder)) from None


def exchange(first: Path, second: Path) -> bool:
    """Exchange two paths in one step with Linux's renameat2(RENAME_EXCHANGE). False where there is no such call."""
    if not sys.platform.startswith("linux"):
        return False
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    here, flag = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(renameat2(here, os.fsencode(first), here, os.fsencode(second), flag) == 0)


@contextlib.contextmanager
def building(path: Path) -> Iterator[Path]:
    """Inside, make a file or folder at the path it gives: it takes the place of `path`, of whatever kind that is, when
    the block ends without an error.

    Everything is flushed before, the folder around it afterwards; links are followed; what killed processes left of
    such builds is removed. Raises OSError: `path` is then as it was, except after NotFlushedError.
    """
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):
        for stale in sweep(target, _NEW):
            if not os.path.lexists(target) and (stale / _OLD).exists():  # killed between two renames
                os.rename(stale / _OLD, target)
            shutil.rmtree(stale, ignore_errors=True)
    aside = unique(target, _NEW)
    aside.mkdir(mode=0o700)
    try:
        fresh = aside / target.name
        yield fresh
        for made in [fresh, *(fresh.rglob("*") if fresh.is_dir() else ())]:
            flush(made)
        old = aside / _OLD
        if not target.is_dir():
            os.replace(fresh, target)
        elif not exchange(fresh, target):
            os.rename(target, old)
            try:
                os.rename(fresh, target)
            except OSError:
                os.rename(old, target)
                raise
        flush_place(target.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def disk_is_full(error: OSError) -> bool:
    """Whether what failed may be tried again once there is room on the disk."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def reserve(path: Path, size: int) -> None:
    """Make the file `path` of `size` bytes, with room on the disk for all of them.

    What is mapped and written needs this: where the disk is full, a write into a mapped hole ends the process. Raises
    OSError.
    """
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            for first in range(0, size, _ZEROS):
                file.write(bytes(min(_ZEROS, size - first)))


def write_file(path: Path, content: bytes | str) -> None:
    """Write `content` (text as UTF-8) as the file `path`, whole or not at all. Raises OSError as `replacing`."""
    with replacing(path) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)


def _alive(process: int) -> bool:
    if os.name == "nt":
        return process == os.getpid()
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OverflowError:
        return False
    except OSError:  # it is another user's
        return True
    return True
