"""Nothing is silent for more than two seconds in a terminal: what takes long is done inside an activity."""

import importlib
import io
import itertools
import os
import signal
import sys
import threading
import time

import pytest

from ostinato.cli.main import main
from ostinato.terminal import activity

TINY = ["--set", "model.hidden_size=8", "--set", "training.batch_size=4", "--set", "training.window=8"]
doing = sys.modules[activity.__module__]._doing

LONG = {
    "train": [
        "runs.texts.prepare", "runs.language_data.mean_loss", "runs.tasks.language.build_language_model",
        "runs.tasks.language.sample_text", "runs.saving.write_bundle", "runtime.precision_loss",
        "training.trainer.save_checkpoint", "runs.picture.draw_losses",
    ],
    "train --recipe kneser-ney": [
        "runs.texts.prepare", "runs.ngram.fit_ngram", "runs.ngram.evaluate", "runs.ngram.write_bundle",
    ],
    "train --recipe context-mixing": ["runs.texts.prepare", "runs.mixing.fit_mixing", "runs.ngram.write_bundle"],
    "compare": [
        "comparing.run.prepare", "comparing.measuring.fit_ngram", "comparing.measuring.fit_mixing",
        "comparing.measuring.fit_weights", "comparing.measuring.cross_fit", "comparing.measuring.open_training_text",
        "comparing.measuring.baselines.unigram", "comparing.run.write_bundle", "comparing.dynamic.dynamic_scores",
    ],
    "score": ["cli.texts.prepare", "evaluation.evaluate", "runtime.load"],
    "score --per-token": ["evaluation.surprisal.surprisals"],
    "write --count": ["runtime.load", "form.stream"],
    "info": ["text.report.prepare"],
}  # fmt: skip
"""What may take long in each command, where it is called from."""


def command(name, model, verses, out):
    if name.startswith("train"):
        return [*name.split(), verses, "-o", out / "m", *([] if "recipe" in name else ["--steps", "6", *TINY])]
    if name == "compare":
        return ["compare", verses, "-o", out / "c", "--order", "2", "--model", model]
    if name == "info":
        return ["info", verses]
    if name.startswith("write"):
        return ["write", model, "--count", "2", "--tokens", "5"]
    score, *options = name.split()
    return [score, model, verses, *options]


def spied(monkeypatch, path, around):
    """Call `around(original)` in place of the function at `path`; whether it was called."""
    place, _, name = path.rpartition(".")
    try:
        owner = importlib.import_module(f"ostinato.{place}")
    except ModuleNotFoundError:  # a function of an object in a module
        place, _, inner = place.rpartition(".")
        owner = getattr(importlib.import_module(f"ostinato.{place}"), inner)
    original, called = getattr(owner, name), []

    def spy(*args, **options):
        called.append(around())
        return original(*args, **options)

    monkeypatch.setattr(owner, name, spy)
    return called


@pytest.mark.parametrize("name", list(LONG))
def test_what_takes_long_is_said(name, model, verses, tmp_path, monkeypatch, capsys):
    seen = {path: spied(monkeypatch, path, lambda: bool(doing)) for path in LONG[name]}
    assert main([str(part) for part in command(name, model, verses, tmp_path)]) == 0
    for path, said in seen.items():
        assert said, f"{path} is not called any more: what takes its place?"
        assert all(said), path


class Terminal(io.StringIO):
    """A terminal that notes when something was written."""

    def __init__(self):
        super().__init__()
        self.times = [time.monotonic()]

    def isatty(self):
        return True

    def write(self, text):
        self.times.append(time.monotonic())
        return super().write(text)

    def longest_silence(self):
        times = [*self.times, time.monotonic()]
        return max(b - a for a, b in itertools.pairwise(times))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("train", "runs.language_data.mean_loss"),
        ("compare", "comparing.measuring.fit_mixing"),
        ("score", "evaluation.evaluate"),
    ],
)
def test_the_longest_silence(name, path, model, verses, tmp_path, monkeypatch, capsys):
    slept = spied(monkeypatch, path, lambda: time.sleep(2.5) if not slept else None)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    assert main([str(part) for part in command(name, model, verses, tmp_path)]) == 0
    assert slept
    assert terminal.longest_silence() < 2.0


def test_a_notebook_keeps_its_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys.modules[activity.__module__], "in_notebook", lambda: True)
    monkeypatch.setattr(sys.modules[activity.__module__], "_shown", True)
    with activity("evaluating"):
        assert not doing


def test_a_second_signal_stops_at_once(verses, tmp_path, monkeypatch, capsys):
    """The first is answered at once; the checkpoint is saved before the evaluation that the second cuts short."""
    out, answered = tmp_path / "m", []

    def evaluating():
        if answered:  # asked to stop: an evaluation that takes for ever
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)

    spied(monkeypatch, "runs.language_data.mean_loss", evaluating)

    def send():
        while not (out / "recipe.toml").exists():
            time.sleep(0.01)
        time.sleep(0.3)
        answered.append(True)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    sender = threading.Thread(target=send)
    sender.start()
    try:
        started = time.monotonic()
        code = main(
            ["train", str(verses), "-o", str(out), "--minutes", "30", *TINY, "--set", "training.evaluate_every=1e6"]
        )
    finally:
        sender.join()
        signal.signal(signal.SIGINT, before)
    errors = capsys.readouterr().err
    assert code == 130
    assert time.monotonic() - started < 30
    assert "stopping: saving and evaluating; --resume goes on (a second Ctrl-C stops at once)" in errors
    assert errors.rstrip().endswith("ostinato: interrupted")
    assert (out / "checkpoint").is_dir()
    answered.clear()
    assert main(["train", str(verses), "-o", str(out), "--resume", "--steps", "1", "--quiet"]) == 0
