"""The recipe `words` fits the minutes given; without them it is the lesson's."""

import numpy as np
import pytest

from ostinato.batching import minibatches
from ostinato.runs.defaults import CorpusSize, machine_speed, pass_seconds, reason, resolve
from ostinato.runs.fitting import fitted
from ostinato.settings import apply_overrides, load_recipe, with_budget

SPEED = machine_speed(2, "vnni", "bf16")
SONGS = CorpusSize(43_000, 4_800, 5_700)


def planned(minutes, *overrides, size=SONGS, speed=SPEED, recipe="words"):
    asked = with_budget(load_recipe(recipe), minutes=minutes, epochs=None, steps=None, seed=None)
    return resolve(fitted(apply_overrides(asked, overrides), size, speed), size, speed)


def passes(plan, size=SONGS):
    """How often the text is read before the epochs or the minutes end."""
    t = plan.training
    by_minutes = 60 * t.minutes / pass_seconds(plan, size, SPEED)
    return by_minutes if t.epochs is None else min(by_minutes, t.epochs * t.window / t.stride)


def test_without_minutes_it_is_the_lesson():
    plan = planned(None)
    t = plan.training
    assert (plan.model.layers, plan.model.hidden_size, plan.model.dropout) == (2, 512, 0.5)
    assert (t.batch_size, t.window, t.stride, t.epochs, t.learning_rate) == (64, 100, 1, 30, 0.001)
    assert (t.schedule, t.patience, t.evaluate_every) == ("plateau", 3, 1.0)


def test_ten_minutes_read_a_song_collection_often_enough_and_no_more():
    plan = planned(10)
    t = plan.training
    assert plan.model.hidden_size == 512
    assert 12 <= passes(plan) <= 30
    assert t.stride > 1
    assert (t.schedule, t.patience) == ("linear", 0)
    evaluations = t.epochs / t.evaluate_every
    assert 10 <= evaluations <= 30
    assert plan.model.mixture == "best"


def test_fewer_minutes_make_it_narrower_and_longer_texts_give_larger_minibatches():
    widths = [planned(minutes).model.hidden_size for minutes in (0.02, 0.2, 1, 10)]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1] == 512
    rows = [planned(600, size=CorpusSize(n, n // 9, 9000)).training.batch_size for n in (43_000, 300_000, 3_000_000)]
    assert rows == sorted(rows)
    assert (rows[0], rows[-1]) == (16, 64)


def test_a_text_too_large_for_the_minutes_is_evaluated_all_the_same():
    plan = planned(1, size=CorpusSize(20_000_000, 2_000_000, 30_000))
    assert 0 < plan.training.evaluate_every < 1
    assert plan.training.candidates == 4096


@pytest.mark.parametrize("tokens", [300, 2_000, 7_000])
def test_a_short_text_still_gives_minibatches(tokens):
    plan = planned(10, size=CorpusSize(tokens, tokens // 9, 400))
    t = plan.training
    assert (
        len(minibatches("windows", np.arange(tokens), batch_size=t.batch_size, window=t.window, stride=t.stride)) >= 1
    )


def test_what_is_given_is_kept():
    given = ("model.hidden_size=100", "training.batch_size=5", "training.patience=4", "training.schedule=cosine",
             "training.evaluate_every=2")  # fmt: skip
    plan = planned(10, *given)
    t = plan.training
    assert (plan.model.hidden_size, t.batch_size, t.patience, t.schedule, t.evaluate_every) == (100, 5, 4, "cosine", 2)
    assert planned(10, "training.stride=1").training.stride == 1


@pytest.mark.parametrize("recipe", ["default", "scratch-rnn", "ptb"])
def test_other_recipes_are_left_alone(recipe):
    asked = load_recipe(recipe)
    assert fitted(asked, SONGS, SPEED) is asked
    windows = apply_overrides(asked, ["training.sampling=windows"])
    assert fitted(windows, SONGS, SPEED) is windows


@pytest.mark.parametrize(
    ("minutes", "said"),
    [(10, "512 units: the widest for a text of this size; about 24 passes over it"),
     (1, "384 units: the widest that the time allows; about 16 passes over the text in 1 minute on 2 cores"),
     (None, "512 units: the widest for a text of this size; about 3,000 passes over it")],
)  # fmt: skip
def test_the_passes_that_are_said_are_those_of_the_windows(minutes, said):
    asked = with_budget(load_recipe("words"), minutes=minutes, epochs=None, steps=None, seed=None)
    assert reason(asked, planned(minutes), SONGS, SPEED, "2 cores") == said
