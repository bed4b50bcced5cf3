"""The compiled library shows the plain C interface and nothing else."""

import os
import shutil
import subprocess

import pytest

from ostinato.kernels.load import find_library


def test_only_the_c_interface_is_exported():
    library, path = find_library()
    if library is None or not path.endswith(".so") or "OSTINATO_LIBRARY" in os.environ:
        pytest.skip("no compiled library, or one of another build")
    if shutil.which("nm") is None:
        pytest.skip("no nm to list symbols with")
    listed = subprocess.run(["nm", "-D", "--defined-only", path], capture_output=True, text=True, check=True).stdout
    names = {line.split()[-1] for line in listed.splitlines()}
    assert "ostinato_interface_version" in names
    assert {name for name in names if not name.startswith("ostinato_")} <= {"_init", "_fini"}
