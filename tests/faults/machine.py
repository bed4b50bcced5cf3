"""Runs a command in a forked process in which one file operation fails, or which dies there.

The operations are those that libc is asked for below one folder: open, read, write, fsync, rename, unlink, mkdir, stat
and more (`inject.c`, preloaded). Forked from a process that has imported everything, a command takes a fraction of a
second.
"""

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

KILL = -1
HERE = Path(__file__).parent
LIBRARY = Path(tempfile.gettempdir()) / f"ostinato-faults-{os.getuid()}" / "inject.so"


@dataclass(frozen=True)
class Fault:
    """Operation `at` fails with errno `code` (KILL: the process dies before it), once or `for_good`."""

    at: int = 0
    code: int = 0
    for_good: bool = False

    def __str__(self) -> str:
        what = "SIGKILL" if self.code == KILL else os.strerror(self.code)
        return f"operation {self.at}: {what}{', and all later ones' if self.for_good else ''}"


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code (negative: a signal), what it said on stderr, the operations it asked for."""

    code: int
    said: str
    operations: list[str]

    @property
    def message(self) -> str:
        """The line that says why it failed."""
        lines = [line for line in self.said.splitlines() if line.strip()]
        return lines[-1] if lines else ""


def compiler() -> str | None:
    """A C compiler, if there is one."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def preloaded() -> bool:
    """Whether this process counts its file operations; else `start_again` does."""
    return hasattr(ctypes.CDLL(None), "ostinato_faults")


def start_again() -> None:
    """Compile the library and run this program again with it. Does not return."""
    LIBRARY.parent.mkdir(mode=0o700, exist_ok=True)
    fresh = LIBRARY.with_name(f"{os.getpid()}.so")
    compiled = [compiler() or "cc", "-shared", "-fPIC", "-O1", "-o", str(fresh), str(HERE / "inject.c"), "-ldl"]
    subprocess.run(compiled, check=True)
    fresh.replace(LIBRARY)
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "LD_PRELOAD": str(LIBRARY)})


def run(arguments: list[str], place: Path, fault: Fault, *, log: bool = False) -> Ended:
    """The command line `arguments` in a process of its own, with a fault below the folder `place`."""
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as journal:
        process = os.fork()
        if not process:
            code = 99
            try:
                os.dup2(said.fileno(), 2)
                os.dup2(said.fileno() if log else os.open(os.devnull, os.O_WRONLY), 1)
                from ostinato.cli.main import main

                arm = ctypes.CDLL(None).ostinato_faults
                arm(os.fsencode(place), ctypes.c_long(fault.at), fault.code, fault.for_good, journal.fileno())
                code = main(arguments)
            except SystemExit as error:
                code = error.code if isinstance(error.code, int) else 98
            except BaseException as error:
                os.write(2, f"ESCAPED {type(error).__name__}: {error}\n".encode())
            finally:
                os._exit(code)
        status = os.waitpid(process, 0)[1]
        said.seek(0)
        journal.seek(0)
        operations = [line.partition(" ")[2] for line in journal.read().decode().splitlines()]
        return Ended(os.waitstatus_to_exitcode(status), said.read().decode("utf-8", "replace"), operations)
