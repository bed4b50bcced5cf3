"""The examples of docs/python.md run as they stand, and the Chinese page has the same ones."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


def blocks(page):
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL)


def test_both_languages_have_the_same_examples():
    assert blocks("python.zh.md") == blocks("python.md")


def test_the_examples_run(tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for block in blocks("python.md"):
        exec(compile(block, "docs/python.md", "exec"), names)
    assert "no model at no-such-model" in capsys.readouterr().out
