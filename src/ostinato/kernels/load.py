"""Finding the compiled kernels and choosing an instruction set: which kernels run here, and why."""

import ctypes
import functools
import os
from dataclasses import dataclass
from pathlib import Path

from ostinato.errors import UsageError

ISAS = ("portable", "avx2", "avx512", "vnni", "amx", "neon", "dotprod", "mmla")
"""Instruction sets of the compiled kernels; the index is the C interface's number. Each includes those before it of its
kind of CPU: x86-64 has them up to "amx", ARM64 "neon" (every one), "dotprod" (ARMv8.2's dot products of bytes) and
"mmla" (ARMv8.6's matrix products of bytes and of bfloat16 numbers)."""

NUMPY = "numpy"
"""The name that stands for the NumPy twin in place of an instruction set."""

INTERFACE_VERSION = 4
"""Of the C interface (csrc/api.h): a library with another number was built from other sources and is not used."""


@dataclass(frozen=True)
class Kernels:
    """The kernels this process uses. `isa` is one of ISAS, or "numpy"; `why` is a sentence part for people."""

    isa: str
    why: str
    library: str | None
    available: tuple[str, ...]


@functools.cache
def find_library() -> tuple[ctypes.CDLL | None, str]:
    """The compiled library, and its path; or None, and the reason why there is none.

    It lies beside this file (or where OSTINATO_LIBRARY says: a build with sanitizers, say).
    """
    given = os.environ.get("OSTINATO_LIBRARY")
    beside = Path(__file__).parent
    candidates = [Path(given)] if given else [beside / f"libostinato{end}" for end in (".so", ".dylib", ".dll")]
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        if given:
            return None, f"OSTINATO_LIBRARY={given} is no file"
        return None, "there is no compiled library: the package was built without a C++ compiler"
    try:
        library = ctypes.CDLL(str(path))
        version = library.ostinato_interface_version()
    except (OSError, AttributeError) as error:
        return None, f"the compiled library does not load ({error})"
    if version != INTERFACE_VERSION:
        return None, f"the compiled library has interface {version}, not {INTERFACE_VERSION}; build again"
    return library, str(path)


def available() -> tuple[str, ...]:
    """What `OSTINATO_ISA` may be on this machine, slowest first: "numpy", then what library and CPU share."""
    library, _ = find_library()
    if library is None:
        return (NUMPY,)
    return (NUMPY, *(name for number, name in enumerate(ISAS) if library.ostinato_supports(number)))


def choose_isa(isa: str | None = None) -> Kernels:
    """The kernels named `isa`; by default those that OSTINATO_ISA names, or the best this machine has.

    Raises UsageError for an unknown name, and for a set that this machine or this build does not have.
    """
    library, where = find_library()
    names = available()
    wanted = isa or os.environ.get("OSTINATO_ISA") or ""
    origin = "isa" if isa else "OSTINATO_ISA"
    if wanted and wanted not in (NUMPY, *ISAS):
        raise UsageError(f"{origin} must be one of {', '.join((NUMPY, *ISAS))}, got {wanted!r}")
    if wanted and wanted not in names:
        reason = where if library is None else "this CPU or this build lacks it"
        raise UsageError(f"{origin}={wanted} cannot be used here: {reason}; available: {', '.join(names)}")
    chosen = wanted or names[-1]
    if wanted:
        why = f"{origin} asks for it"
    elif library is None:
        why = where
    else:
        why = "the fastest this CPU supports"
    return Kernels(chosen, why, None if library is None or chosen == NUMPY else where, names)
