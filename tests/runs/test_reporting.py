"""Metrics for TensorBoard and Weights & Biases, with stand-ins for both."""

import math
import sys
import types

import pytest

from ostinato.cli.main import main
from ostinato.runs.reporting import figures, reports
from ostinato.training.metrics import read_metrics
from ostinato.training.observers import Row

SMALL = ("model.hidden_size=8", "training.batch_size=4", "training.window=8", "text.documents='^# '")
OPTIONS = [word for option in SMALL for word in ("--set", option)]


@pytest.fixture
def tensorboard(monkeypatch):
    """What was written, as (folder, [(name, value, step)], texts, closed)."""
    seen = types.SimpleNamespace(folders=[], scalars=[], texts=[], closed=0)

    class SummaryWriter:
        def __init__(self, folder):
            seen.folders.append(folder)

        def add_scalar(self, name, value, step):
            seen.scalars.append((name, value, step))

        def add_text(self, name, text):
            seen.texts.append((name, text))

        def flush(self):
            pass

        def close(self):
            seen.closed += 1

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    return seen


@pytest.fixture
def wandb(monkeypatch):
    """What was sent: one namespace per run."""
    runs = []

    def init(**options):
        run = types.SimpleNamespace(options=options, rows=[], finished=False)
        run.log = lambda values, step: run.rows.append((step, values))
        run.finish = lambda: setattr(run, "finished", True)
        runs.append(run)
        return run

    module = types.ModuleType("wandb")
    module.init = init
    monkeypatch.setitem(sys.modules, "wandb", module)
    return runs


def test_both_get_every_row_of_the_metrics(verses, tmp_path, tensorboard, wandb):
    out = tmp_path / "m"
    reported = ["--report", "tensorboard", "--report", "wandb"]
    assert main(["train", str(verses), "-o", str(out), "--steps", "30", "--quiet", *OPTIONS, *reported]) == 0
    rows = read_metrics(out / "metrics.jsonl")
    assert len(rows) >= 20
    (run,) = wandb
    assert [step for step, _ in run.rows] == [row["step"] for row in rows]
    assert run.finished
    assert run.options["name"] == "m"
    assert run.options["config"]["model"]["hidden_size"] == 8
    assert [(step, value) for name, value, step in tensorboard.scalars if name == "loss/training"] == [
        (row["step"], row["train_loss"]) for row in rows
    ]
    heldout = [(step, value) for name, value, step in tensorboard.scalars if name == "loss/held-out"]
    assert heldout == [(row["step"], row["heldout_loss"]) for row in rows if row["heldout_loss"] is not None]
    assert heldout[-1][0] == 30
    assert tensorboard.closed == 1
    assert tensorboard.folders[0].startswith(str(out / "tensorboard"))
    assert "model.cell = lstm" in tensorboard.texts[0][1]


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_one_line_where_the_package_is_absent(verses, tmp_path, capsys, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    if name == "tensorboard":
        monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    out = tmp_path / "m"
    assert main(["train", str(verses), "-o", str(out), "--steps", "3", "--quiet", *OPTIONS, "--report", name]) == 1
    assert f"--report {name} needs {name}: pip install 'ostinato[{name}]'" in capsys.readouterr().err
    assert not out.exists()


def test_an_unknown_program(tmp_path, verses, capsys):
    assert main(["train", str(verses), "-o", str(tmp_path / "m"), "--report", "excel"]) == 2
    assert "--report must be one of tensorboard, wandb, got 'excel'" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()
    assert reports([], tmp_path, {}) == []


def test_only_finite_figures():
    row = Row(3, 0.5, 1.0, 100, math.nan, math.inf, 0.1, 10.0, {"heldout_accuracy": 0.5})
    assert figures(row) == {
        "training/learning_rate": 0.1, "training/tokens_per_second": 10.0, "training/epoch": 0.5,
        "scores/heldout_accuracy": 0.5,
    }  # fmt: skip
