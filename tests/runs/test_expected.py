"""What is said of the time a run will take: before its first step, and about right."""

import re

import pytest

from ostinato.runs import expected
from ostinato.runs import run as running
from ostinato.runs.expected import expected_time
from ostinato.settings import apply_overrides, load_recipe, with_budget
from ostinato.training.observers import Observer

SMALL = ["model.hidden_size=64", "model.embedding_size=32", "training.batch_size=4", "training.window=32",
         "training.precision=fp32", "model.mixture=none"]  # fmt: skip


class Heard(Observer):
    """What is said before the first step."""

    def __init__(self):
        self.steps, self.notes, self.before = 0, [], 0

    def stepped(self, position, loss, progress):
        self.steps += 1

    def noted(self, text):
        if not self.steps:
            self.notes.append(text)


def run(verses, out, *more, recipe="default", **budget):
    heard = Heard()
    chosen = apply_overrides(load_recipe(recipe), [*SMALL, *more])
    chosen = with_budget(chosen, **{"minutes": None, "epochs": None, "steps": None, "seed": None, **budget})
    running.train([str(verses)], out=out, recipe=chosen, progress=False, observers=[heard])
    return [note for note in heard.notes if note.startswith("expected time")]


def test_it_is_said_before_the_first_step(verses, tmp_path, monkeypatch):
    monkeypatch.setattr(expected, "_SHORT", 0.0)
    monkeypatch.setattr(expected, "_LONG", 0.0)
    (line,) = run(verses, tmp_path, "training.patience=3", steps=60)
    assert re.fullmatch(
        r"expected time: \d+:\d\d \(60 steps\); less if 3 evaluations in a row bring no improvement; "
        r"--minutes M ends it sooner", line,
    )  # fmt: skip


@pytest.mark.parametrize("recipe", ["words", "scratch-rnn", "concise-rnn", "ptb", "wikitext-2"])
def test_every_long_recipe_says_it(verses, tmp_path, monkeypatch, recipe):
    monkeypatch.setattr(expected, "_SHORT", 0.0)
    monkeypatch.setattr(expected, "_SECONDS", 0.0)
    assert len(run(verses, tmp_path, "model.hidden_size=8", recipe=recipe, steps=50)) == 1


def test_nothing_is_said_of_a_short_run(verses, tmp_path):
    assert run(verses, tmp_path / "a", steps=60) == []
    assert run(verses, tmp_path / "b", minutes=0.01) == []


def test_minutes_are_the_time_unless_the_epochs_end_before(monkeypatch):
    class Fake:
        class team:
            size = 1

        class position:
            seconds = 60.0

        class settings:
            minutes, patience = 10.0, 0

        evaluate_steps = 10
        left: int | None = None

        def steps_left(self):
            return self.left

        def rehearse(self):
            return 1.0

    fake = Fake()
    assert expected_time(fake, 0.0) == "expected time: 9:00"
    fake.left = 100
    assert expected_time(fake, 0.0) == "expected time: 1:45 (100 steps)"
    assert expected_time(fake, 5.0) == "expected time: 2:38 (100 steps)"
    fake.left = 1000
    assert expected_time(fake, 0.0) == "expected time: 9:00"
    fake.settings.minutes = None
    assert expected_time(fake, 0.0) == "expected time: 17:30 (1,000 steps); --minutes M ends it sooner"
    fake.team.size = 2
    assert expected_time(fake, 0.0) is None
