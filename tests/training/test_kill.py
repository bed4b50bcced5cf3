"""Exact resume after SIGKILL at random moments, also while a checkpoint is being saved."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("kill_and_resume.py")
KILLS = int(os.environ.get("OSTINATO_KILLS", "6"))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_and_resumed_run_gives_the_same_weights(verses, tmp_path):
    command = [sys.executable, PROGRAM, verses, tmp_path, str(KILLS), "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["kills"] >= KILLS // 2
    assert report["killed"] == report["whole"]
