"""A few faults in whole commands, and a few kills (`make faults` tries every file operation of each)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FAULTS = Path(__file__).parent / "faults"
sys.path.insert(0, str(FAULTS))
from machine import compiler  # noqa: E402

sys.path.remove(str(FAULTS))

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or compiler() is None or "libasan" in os.environ.get("LD_PRELOAD", ""),
    reason="faults are injected by a preloaded C library, on Linux, where there is a compiler",
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ("--every", "599", "--kills", "2", "overwrite"),
        ("--every", "299", "--kills", "1", "ngram-overwrite", "arpa", "compare"),
    ],
)
def test_a_few_faults_leave_the_old_or_the_new(options, tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(FAULTS), *options]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 findings" in done.stdout
