"""Lock files: one process at a time writes in a folder, and the others are told which one.

A lock is an advisory `flock` on a small file that names its holder. The system drops it when the holder ends,
however it ends, so a dead process never blocks anyone. Where the file system has no locks (or the platform no `flock`),
nothing is locked and everything else works.
"""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ostinato.errors import BusyError

fcntl: Any = import_module("fcntl") if find_spec("fcntl") else None
"""None on Windows."""

_PAUSE = 0.02
"""Seconds between two attempts at a lock that another process holds."""


@dataclass
class _Held:
    handle: int
    thread: int
    locked: bool
    depth: int = 1


_held: dict[Path, _Held] = {}
_guard = threading.Lock()


@contextlib.contextmanager
def hold(lock: Path, *, what: str, place: Path, wait: float = 0.0) -> Iterator[bool]:
    """Hold the lock file `lock` inside the block; a thread that holds it already may do so again.

    what: what is done under it, for the message of those who are refused. place: the folder that it protects, for the
    message. wait: seconds to wait for another holder. Yields whether the system has locks here. The file is removed in
    the end.

    Raises BusyError, which names the holder; OSError where the file cannot be made.
    """
    lock = Path(os.path.realpath(lock.parent)) / lock.name
    with _guard:
        own = _held.get(lock)
        nested = own is not None and own.thread == threading.get_ident()
        if nested and own is not None:
            own.depth += 1
    if not nested:
        taken = _acquire(lock, what, place, wait)
        with _guard:
            _held[lock] = taken
    try:
        yield _held[lock].locked
    finally:
        with _guard:
            held = _held.get(lock)
            if held is not None:  # a forked child has none
                held.depth -= 1
                if not held.depth:
                    del _held[lock]
                    with contextlib.suppress(OSError):
                        lock.unlink()
                    with contextlib.suppress(OSError):  # the file is closed all the same
                        os.close(held.handle)


def refuse_if_held(lock: Path, *, place: Path) -> None:
    """Raise BusyError where another process holds `lock`; nothing is made or kept."""
    with _held_by_another(lock) as handle:
        if handle is not None:
            raise _busy(handle, place)


def holder(lock: Path) -> int | None:
    """The number of the other process that holds `lock` just now; 0 where it is not known, None where none does."""
    with _held_by_another(lock) as handle:
        return None if handle is None else _named(handle)[0] or 0


@contextlib.contextmanager
def _held_by_another(lock: Path) -> Iterator[int | None]:
    """The lock file, open, where another process holds it; else None."""
    lock = Path(os.path.realpath(lock.parent)) / lock.name
    with _guard:
        if fcntl is None or lock in _held:
            yield None
            return
    try:
        handle = os.open(lock, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # there is none: nobody holds it
        yield None
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        held = False
    except BlockingIOError:
        held = True
    except OSError:  # a file system without locks
        held = False
    try:
        yield handle if held else None
    finally:
        os.close(handle)


def _acquire(lock: Path, what: str, place: Path, wait: float) -> _Held:
    deadline = time.monotonic() + wait
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
    while True:
        handle = os.open(lock, flags | getattr(os, "O_CLOEXEC", 0), 0o666)
        try:
            locked = _lock(handle)
            if _is(handle, lock):  # else its last holder has just removed it
                os.ftruncate(handle, 0)
                os.write(handle, f"{os.getpid()} {what}\n".encode())
                return _Held(handle, threading.get_ident(), locked)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                busy = _busy(handle, place)
                os.close(handle)
                raise busy from None
            time.sleep(_PAUSE)
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _lock(handle: int) -> bool:
    """Lock an open file; False where there are no locks. Raises BlockingIOError where another has it."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # a file system without locks: work without them
        return False
    return True


def _is(handle: int, path: Path) -> bool:
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(handle))


def _named(handle: int) -> tuple[int | None, str]:
    """The process that an open lock file names, and what it does."""
    with contextlib.suppress(OSError):
        os.lseek(handle, 0, os.SEEK_SET)
    number, _, what = os.read(handle, 200).decode("utf-8", "replace").strip().partition(" ")
    return int(number) if number.isdecimal() else None, what


def _busy(handle: int, place: Path) -> BusyError:
    number, what = _named(handle)
    who = "another process" if number is None else f"process {number}" + (f" ({what})" if what else "")
    if number == os.getpid():
        who = f"another thread of this process ({what})"
    return BusyError(f"{who} is writing in {place}: wait until it has ended, or name another folder")


def _forget() -> None:
    """In a forked child: the locks are its parent's."""
    global _guard
    _guard = threading.Lock()
    for held in _held.values():
        with contextlib.suppress(OSError):
            os.close(held.handle)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
