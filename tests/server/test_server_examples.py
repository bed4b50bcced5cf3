"""The examples of docs/server.md, run as they stand there (but for the port)."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from server_tools import OLD, until

ROOT = Path(__file__).parents[2]


def examples(page):
    """What is marked to be run in a page, by language."""
    return dict(re.findall(r"<!-- run: (\w+) -->\n```\w+\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL))


EXAMPLES = examples("docs/server.md")
NEEDS = {"bash": "curl", "javascript": "node", "llm": "llm", "lm_eval": "lm_eval"}
PACKAGES = Path(os.environ.get("OSTINATO_NODE_MODULES", ROOT / "node_modules"))
"""Where npm has put `openai`."""


@pytest.fixture
def alone(start):
    return start(f"my-model={OLD / 'lstm' / 'model'}")


def command(language, program, folder):
    """How to run the example; skips where what it needs is not here."""
    beside = Path(sys.executable).parent
    path = os.pathsep.join([str(beside), os.environ.get("PATH", "")])
    if language in NEEDS and not shutil.which(NEEDS[language], path=path):
        pytest.skip(f"{NEEDS[language]} is not here")
    environment = {
        **os.environ, "PATH": path, "LLM_USER_PATH": str(folder), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1",
        "HF_HOME": str(folder),
    }  # fmt: skip
    if language == "python":
        return [sys.executable, "-c", program], environment
    if language == "javascript":
        if not (PACKAGES / "openai").is_dir():
            pytest.skip("openai for JavaScript is not here: npm install openai")
        (folder / "node_modules").symlink_to(PACKAGES.resolve())
        (folder / "example.mjs").write_text(program, "utf-8")
        return ["node", "example.mjs"], environment
    return ["bash", "-ec", program], environment


@pytest.mark.parametrize("language", EXAMPLES)
def test_the_examples_work(alone, language, tmp_path):
    program = EXAMPLES[language].replace("http://127.0.0.1:8000", alone.url)
    arguments, environment = command(language, program, tmp_path)
    done = subprocess.run(
        arguments, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip()
    assert "error" not in done.stdout
    statuses = lambda: {entry["status"] for entry in alone.entries() if entry["route"] == "/v1/completions"}  # noqa: E731
    until(statuses)  # the log may be late
    assert statuses() == {200}


def test_the_example_of_the_readme_works(start):
    server = start("base-en")
    program = examples("README.md")["python"].replace("http://127.0.0.1:8000", server.url)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(done.stdout.strip()) > 30


def test_there_are_examples():
    assert list(EXAMPLES) == ["bash", "python", "javascript", "llm", "lm_eval"]
