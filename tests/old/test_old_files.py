"""Bundles and checkpoints made by version 0.1.0 still open, write the same texts, give the same scores, and resume."""

import json
import os
import shutil
from pathlib import Path

import pytest

from ostinato.cli.main import main

HERE = Path(__file__).parent
ANSWERS = json.loads((HERE / "answers.json").read_text("utf-8"))
RESUMED = json.loads((HERE / "resumed.json").read_text("utf-8"))
TIMES = ("seconds", "tokens_per_second", "characters_per_second", "steps_per_second", "rate")


@pytest.fixture(autouse=True)
def _portable(monkeypatch):
    monkeypatch.setenv("OSTINATO_ISA", "portable")


@pytest.fixture
def copy(tmp_path):
    """The folder's files where they may be written to."""
    shutil.copytree(HERE, tmp_path / "old", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    before = Path.cwd()
    os.chdir(tmp_path / "old")
    yield tmp_path / "old"
    os.chdir(before)


def _alike(now, then, where="answer"):
    """Equal, but for times; numbers to the sixth digit, and new fields may have been added."""
    if isinstance(then, dict):
        assert set(then) <= set(now), f"{where} lost {set(then) - set(now)}"
        for key in then:
            if key not in TIMES:
                _alike(now[key], then[key], f"{where}.{key}")
    elif isinstance(then, list):
        assert len(now) == len(then), where
        for at, (a, b) in enumerate(zip(now, then, strict=True)):
            _alike(a, b, f"{where}[{at}]")
    elif isinstance(then, float):
        assert now == pytest.approx(then, rel=1e-5, abs=1e-6), where
    else:
        assert now == then, where


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda a: "-".join(a["command"][:2]))
def test_an_old_model_answers_as_it_did(answer, copy, capsys):
    assert main(answer["command"]) == 0
    _alike(json.loads(capsys.readouterr().out), answer["printed"])


@pytest.mark.parametrize("name", RESUMED)
def test_an_old_checkpoint_goes_on(name, copy, capsys):
    then = RESUMED[name]
    assert main(then["command"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["steps"] == then["printed"]["steps"]
    rows = [json.loads(row) for row in (copy / name / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert rows[-1]["train_loss"] == pytest.approx(then["train_loss"], rel=1e-4)
