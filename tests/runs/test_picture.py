"""Pictures leave matplotlib as it was, show any text, and end no run where they cannot be drawn."""

import json
import os
import subprocess
import sys

import matplotlib
import pytest
from matplotlib import font_manager

from ostinato.comparing import draw
from ostinato.evaluation import Evaluation
from ostinato.evaluation.compare import Comparison, Row
from ostinato.runs.picture import LossPicture, draw_losses

ROWS = [{"seconds": 6.0 * n, "train_loss": 5.0 - n, "heldout_loss": 5.2 - n} for n in range(3)]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps({"step": 1, **row}) + "\n" for row in ROWS))
    return tmp_path


def test_any_text_is_drawn_and_matplotlib_stays_as_it_was(tmp_path):
    matplotlib.rcParams["lines.linewidth"] = 7.25
    before, fonts = dict(matplotlib.rcParams), list(font_manager.fontManager.ttflist)
    try:
        draw_losses(ROWS, tmp_path / "a", title=r"$\frac{ $x^ \bad$", sample="costs $5 and $\\alpha$\n分开 \x1b[31m 🎵")
        assert dict(matplotlib.rcParams) == before
        assert font_manager.fontManager.ttflist == fonts
    finally:
        matplotlib.rcParams["lines.linewidth"] = matplotlib.rcParamsDefault["lines.linewidth"]
    assert (tmp_path / "a.svg").read_text("utf-8").startswith("<?xml")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert "matplotlib.pyplot" not in sys.modules


def test_the_caller_s_style_is_not_used(tmp_path):
    draw_losses(ROWS, tmp_path / "plain", title="t")
    with matplotlib.rc_context({"axes.facecolor": "black", "lines.linewidth": 9, "font.size": 40}):
        draw_losses(ROWS, tmp_path / "styled", title="t")
    assert (tmp_path / "plain.svg").read_bytes() == (tmp_path / "styled.svg").read_bytes()


def test_a_picture_that_cannot_be_drawn_is_one_note(folder, monkeypatch):
    notes = []
    picture = LossPicture(folder / "gone", notes.append, title="t")
    picture.draw()
    picture.draw()
    assert len(notes) == 1
    assert "loss.svg and loss.png could not be drawn" in notes[0]

    def broken(*arguments, **options):
        raise RuntimeError("no font\n at all")

    monkeypatch.setattr("ostinato.runs.picture.draw_losses", broken)
    picture = LossPicture(folder, notes.append, title="t")
    picture.draw()
    assert notes[1].endswith("no font at all")


def test_a_comparison_that_cannot_be_drawn_is_a_note(tmp_path, capsys):
    comparison = Comparison("word", 5, 10, 20, (Row("uniform", "baseline", Evaluation(9.0, 10, 20)),), (), 0)
    assert draw([comparison], tmp_path / "compare")
    assert capsys.readouterr().err == ""
    assert not draw([comparison], tmp_path / "none" / "compare")
    assert "compare.svg and compare.png could not be drawn" in capsys.readouterr().err


def test_a_foreign_backend_is_no_obstacle(folder):
    program = (
        "import sys; from pathlib import Path; from ostinato.runs.picture import LossPicture; "
        "LossPicture(Path(sys.argv[1]), print, title='t').draw()"
    )
    for backend in ("module://no_such_backend", "abacus", "tkagg"):
        done = subprocess.run(
            [sys.executable, "-c", program, folder], capture_output=True, text=True, check=True,
            env={**os.environ, "MPLBACKEND": backend},
        )  # fmt: skip
        assert done.stderr == ""
        assert (folder / "loss.png").exists() or "not be drawn" in done.stdout
