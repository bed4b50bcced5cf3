"""The benchmarks run, at tiny sizes; their figures are nobody's promise."""

import subprocess
import sys
from pathlib import Path

import pytest

from ostinato.kernels.train import train_kernels

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="there are no benchmarks beside an installed package")
@pytest.mark.skipif(train_kernels("fp32") is None, reason="there are no compiled kernels to measure")
def test_benchmarks_run():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for title in ("scratch_rnn", "decode", "train"):
        assert f"## {title}.py" in done.stdout
