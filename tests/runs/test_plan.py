"""The default recipe fits itself to the text and the time."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.batching import minibatches
from ostinato.runs.defaults import CorpusSize, machine_speed, reason, resolve
from ostinato.settings import Recipe, apply_overrides, load_recipe, with_budget

SPEED = machine_speed(2, "amx", "bf16")


def planned(tokens, vocabulary, minutes, *overrides):
    recipe = with_budget(load_recipe("default"), minutes=minutes, epochs=None, steps=None, seed=None)
    return resolve(apply_overrides(recipe, overrides), CorpusSize(tokens, tokens // 9, vocabulary), SPEED)


def test_more_minutes_and_faster_machines_allow_larger_models():
    sizes = [planned(1_000_000, 320, minutes).model.hidden_size for minutes in (0.5, 2, 10, 60)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
    slow = resolve(with_budget(load_recipe("default"), minutes=10, epochs=None, steps=None, seed=None),
                   CorpusSize(1_000_000, 100_000, 320), machine_speed(2, "avx2", "fp32"))  # fmt: skip
    assert slow.model.hidden_size < planned(1_000_000, 320, 10).model.hidden_size


@pytest.mark.parametrize("minutes", [1, 3, 10])
@pytest.mark.parametrize("vocabulary", [320, 4000])
def test_no_size_of_a_text_is_a_threshold_of_widths(vocabulary, minutes):
    widths = [planned(tokens, vocabulary, minutes, "training.candidates=0").model.hidden_size
              for tokens in (500_000, 2_900_000, 3_100_000, 100_000_000)]  # fmt: skip
    assert widths[1] == widths[2]
    assert max(widths[1:]) <= 2 * min(widths[1:])


def test_a_long_text_has_a_wide_network_though_it_is_read_seldom():
    recipe = with_budget(load_recipe("default"), minutes=3, epochs=None, steps=None, seed=None)
    novel = resolve(recipe, CorpusSize(2_900_000, 320_000, 341), machine_speed(1, "avx2", "fp32"))
    assert novel.model.hidden_size == 256


def test_speeds_are_those_of_the_instruction_set_and_the_precision():
    kinds = (("amx", "bf16"), ("vnni", "bf16"), ("mmla", "bf16"), ("avx2", "fp32"), ("numpy", "fp32"), ("neon", "fp32"))
    per_core = [machine_speed(1, isa, precision) for isa, precision in kinds]
    assert per_core == sorted(per_core, reverse=True)
    assert machine_speed(3, "avx2", "fp32") == 3 * machine_speed(1, "avx2", "fp32")
    assert machine_speed(1, "avx2", "bf16") == machine_speed(1, "portable", "fp32")  # torch's own layers


def test_what_is_given_is_kept():
    plan = planned(200_000, 2400, 3, "model.hidden_size=100", "training.window=7", "model.dropout=0.05")
    assert (plan.model.hidden_size, plan.training.window, plan.model.dropout) == (100, 7, 0.05)
    assert (plan.training.minutes, plan.training.epochs) == (3.0, None)


def test_large_vocabularies_are_learnt_by_candidates():
    small, large = (planned(2_000_000, vocabulary, 10) for vocabulary in (12_000, 12_001))
    assert (small.training.candidates, large.training.candidates) == (0, 4096)
    assert small.model.hidden_size < large.model.hidden_size  # the head costs less
    assert planned(2_000_000, 33_000, 10, "training.candidates=0").training.candidates == 0


@pytest.mark.parametrize(
    ("tokens", "minutes", "expected"),
    [(200_000, 0.5, (0.4, 0.0, 0.0)), (200_000, 5, (0.5, 0.4, 0.0)), (1_000_000, 0.1, (0.2, 0.0, 0.0)),
     (1_000_000, 3, (0.2, 0.0, 0.1)), (1_000_000, 60, (0.3, 0.0, 0.1)), (30_000_000, 10, (0.1, 0.0, 0.0))],
)  # fmt: skip
def test_what_is_read_often_is_regularised_more(tokens, minutes, expected):
    plan = planned(tokens, 320, minutes)
    assert (plan.model.dropout, plan.model.weight_drop, plan.training.weight_decay) == expected
    kept = planned(tokens, 320, minutes, "model.weight_drop=0.1", "model.dropout=0.15", "training.weight_decay=0.3")
    assert (kept.model.dropout, kept.model.weight_drop, kept.training.weight_decay) == (0.15, 0.1, 0.3)
    assert planned(tokens, 320, minutes, "training.optimizer=sgd").training.weight_decay == 0.0


def test_passes_are_counted_by_any_budget():
    often = with_budget(load_recipe("default"), minutes=None, epochs=20, steps=None, seed=None)
    assert resolve(often, CorpusSize(200_000, 20_000, 320), SPEED).model.weight_drop == 0.4
    seldom = with_budget(load_recipe("default"), minutes=None, epochs=None, steps=200, seed=None)
    assert resolve(seldom, CorpusSize(200_000, 20_000, 320), SPEED).model.weight_drop == 0.0


def test_without_a_budget_there_is_one():
    assert resolve(Recipe(), CorpusSize(1000, 100, 50), SPEED).training.minutes == 3.0
    epochs = with_budget(Recipe(), minutes=None, epochs=2, steps=None, seed=None)
    assert resolve(epochs, CorpusSize(1000, 100, 50), SPEED).training.minutes is None


@given(st.integers(20, 10**10), st.integers(3, 10**6), st.floats(0.01, 10_000), st.sampled_from(["lstm", "gru", "rnn"]))
def test_every_plan_is_complete_and_possible(tokens, vocabulary, minutes, cell):
    plan = planned(tokens, vocabulary, minutes, f"model.cell={cell}")
    m = plan.model
    assert None not in (m.hidden_size, m.embedding_size, m.dropout, m.weight_drop)
    t = plan.training
    assert None not in (t.batch_size, t.window, t.learning_rate, t.minutes, t.evaluate_every, t.weight_decay)
    assert plan.model.embedding_size <= plan.model.hidden_size
    assert t.evaluate_every > 0

    class Ids:
        def __len__(self):
            return tokens

    assert len(minibatches("consecutive", Ids(), batch_size=t.batch_size, window=t.window)) >= 1
    assert dataclasses.replace(plan, name="x") != plan


@pytest.mark.parametrize("tokens", [20, 100, 1000])
def test_tiny_texts_get_tiny_minibatches(tokens):
    t = planned(tokens, 30, 1).training
    assert t.batch_size * t.window <= tokens


@pytest.mark.parametrize(
    ("tokens", "minutes", "overrides", "start", "said"),
    [(10_000, 3, (), None, "640 units: the widest for a text of this size; about "),
     (1_000_000, 0.01, (), None, "128 units: the narrowest, since the time is short for this text; about "),
     (1_000_000, 1, (), None, " units: the widest that the time allows; about "),
     (1_000_000, 3, ("model.hidden_size=96", "model.cell=gru"), None, "96 units: as set; about "),
     (10_000, 3, ("model.hidden_size=640",), "base-en", "640 units, like base-en: about ")],
)  # fmt: skip
def test_why_is_said_on_one_line(tokens, minutes, overrides, start, said):
    recipe = with_budget(load_recipe("default"), minutes=minutes, epochs=None, steps=None, seed=None)
    recipe, size = apply_overrides(recipe, overrides), CorpusSize(tokens, tokens // 9, 320)
    line = reason(recipe, resolve(recipe, size, SPEED), size, SPEED, "2 cores in bf16", start)
    assert said in line
    text = "it" if "this text" in said or "a text" in said else "the text"
    ends = f" passes over {text} in {minutes:g} minute{'s' if minutes != 1 else ''} on 2 cores in bf16"
    assert line.endswith(ends)
    assert "\n" not in line


@pytest.mark.parametrize(
    ("overrides", "rate"),
    [((), 6 / 640), (("model.hidden_size=256",), 0.016), (("model.hidden_size=1024", "model.cell=gru"), 6 / 1024),
     (("model.cell=rnn",), 4e-3), (("model.cell=rnn", "model.hidden_size=1024"), 2e-3),
     (("model.context=8",), 4e-3), (("training.optimizer=adam",), 2e-3),
     (("training.learning_rate=0.5",), 0.5)],
)  # fmt: skip
def test_the_learning_rate_falls_with_the_width_of_networks_with_gates(overrides, rate):
    assert planned(200_000, 320, 10, *overrides).training.learning_rate == rate
