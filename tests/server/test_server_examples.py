"""The examples of docs/server.md, run as they stand there (but for the port)."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "server.md").read_text("utf-8")
EXAMPLES = re.findall(r"<!-- run: (\w+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
PROGRAMS = {"bash": ["bash", "-c"], "python": [sys.executable, "-c"]}


@pytest.mark.parametrize(("language", "example"), EXAMPLES, ids=[language for language, _ in EXAMPLES])
def test_the_examples_work(server, language, example):
    if language == "bash" and not shutil.which("curl"):
        pytest.skip("curl is not here")
    program = example.replace("http://127.0.0.1:8000", server.url).replace('{"prompt"', '{"model": "lstm", "prompt"')
    done = subprocess.run([*PROGRAMS[language], program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert "error" not in done.stdout


def test_there_are_examples():
    assert [language for language, _ in EXAMPLES] == ["bash", "python"]
