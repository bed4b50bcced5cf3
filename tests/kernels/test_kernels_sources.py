"""The C++ sources ask for nothing that only some systems or one compiler have; `make cross` builds them for others."""

import re
from pathlib import Path

import pytest

import ostinato.kernels

SOURCES = sorted((Path(ostinato.kernels.__file__).parent / "csrc").glob("*.*"))
SYSTEMS = re.compile(r"(unistd|pthread|sched|dlfcn|cpuid|windows|intrin|poll|signal)\.h|(sys|asm|linux|mach)/.*")
"""Headers that not every system has."""
GUARDS = re.compile(r"__linux__|__APPLE__|_WIN32|__x86_64__|OSTINATO_X86")


def unguarded(text):
    """The headers of some systems that `text` includes outside any condition that names a system or a kind of CPU."""
    conditions, found = [], []
    for line in text.splitlines():
        if match := re.match(r"\s*#\s*(ifdef|ifndef|if)\b(.*)", line):
            conditions.append(match[2])
        elif re.match(r"\s*#\s*endif", line):
            conditions.pop()
        elif (match := re.match(r"\s*#\s*include\s*<(.*)>", line)) and SYSTEMS.fullmatch(match[1]):
            found += [match[1]] * (not any(map(GUARDS.search, conditions)))
    return found


@pytest.mark.skipif(not SOURCES, reason="an installed package has no sources")
def test_headers_of_one_system_are_included_under_a_condition():
    assert {source.name: names for source in SOURCES if (names := unguarded(source.read_text("utf-8")))} == {}


def test_what_is_not_guarded_is_found():
    assert unguarded("#include <vector>\n#include <unistd.h>\n#include <sys/mman.h>") == ["unistd.h", "sys/mman.h"]
    assert unguarded("#if defined(A)\n#endif\n#include <sched.h>") == ["sched.h"]
    assert unguarded("#if !defined(_WIN32)\n#if 1\n#include <unistd.h>\n#endif\n#endif") == []


@pytest.mark.skipif(not SOURCES, reason="an installed package has no sources")
def test_instruction_sets_are_asked_for_by_flags_not_by_one_compilers_pragma():
    """Clang ignores GCC's `#pragma GCC target`, and the whole library then fails to build."""
    assert [source.name for source in SOURCES if "#pragma GCC target" in source.read_text("utf-8")] == []
