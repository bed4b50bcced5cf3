"""Training on records: the lessons' toys are learnt, runs resume exactly, too little data is refused."""

import dataclasses
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ostinato.bundle import read_bundle
from ostinato.errors import BundleError, SettingsError, TextError, UsageError
from ostinato.runs import load_task_model, train
from ostinato.runs.finding import named_task
from ostinato.runs.record_data import TaskData, divide
from ostinato.runs.record_task import resolve
from ostinato.settings import Recipe, TaskSettings, apply_overrides
from ostinato.text.records import Records
from ostinato.training.trainer import Trainer


def recipe(task, *settings):
    return apply_overrides(Recipe(), [f"task.name={task}", *settings])


def run(records, out, task, *settings, **options):
    train(records, out=out, recipe=recipe(task, *settings), progress=False, **options)
    return load_task_model(read_bundle(out))


def texts(count=24):
    """Texts whose class is whether they have an a before their b."""
    generator = np.random.default_rng(4)
    inputs = ["".join(generator.permutation(list("ab..."))) for _ in range(count)]
    return Records(inputs, ["yes" if t.index("a") < t.index("b") else "no" for t in inputs], list(range(count)), ("t",))


def hello(target="ohlol"):
    return Records([list("hello")], [list(target)], [0], ("hello",))


SMALL = ("model.hidden_size=8", "model.embedding_size=6", "model.backend=torch")
HELLO = ("text.heldout=0", "text.min_count=1", "task.bidirectional=false", "model.cell=rnn", "model.dropout=0",
         "model.hidden_size=4", "model.embedding_size=0", "training.optimizer=adam", "training.learning_rate=0.1",
         "training.schedule=constant", "training.clip=0", "training.epochs=15")  # fmt: skip


@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_hello_becomes_ohlol(backend, tmp_path):
    model = run(hello(), tmp_path, "tag", *HELLO, f"model.backend={backend}")
    assert "".join(model.predict([list("hello")])[0]) == "ohlol"


def test_order_is_learnt_and_reported(tmp_path):
    model = run(texts(200), tmp_path, "classify", *SMALL, "training.epochs=12", "training.learning_rate=0.02")
    assert model.predict(["..a.b", "b..a."]) == ["yes", "no"]
    evaluation = json.loads((tmp_path / "model" / "config.json").read_text("utf-8"))["evaluation"]
    assert evaluation["held-out"]["accuracy"] > 0.9 > evaluation["held-out, commonest class"]["accuracy"]
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text("utf-8").splitlines()]
    rows = [row for row in rows if row["heldout_loss"] is not None]
    assert rows[-1]["heldout_accuracy"] > rows[0]["heldout_accuracy"] - 0.5
    assert (tmp_path / "loss.svg").exists()
    assert "| held-out | accuracy |" in read_bundle(tmp_path).card


def test_without_matplotlib_there_is_a_model(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run(hello(), tmp_path, "tag", *HELLO).predict([list("hello")])
    assert not (tmp_path / "loss.svg").exists()


@pytest.mark.parametrize("task", ["tag", "classify", "translate", "forecast"])
def test_a_run_that_was_cut_short_ends_the_same(task, tmp_path, monkeypatch):
    records = texts()
    settings = [*SMALL, "training.batch_size=4", "training.steps=14", "training.evaluate_every=1"]
    if task == "tag":
        records = dataclasses.replace(
            records, inputs=[list(t) for t in records.inputs], targets=[list(t) for t in records.inputs]
        )
    elif task == "translate":
        records = dataclasses.replace(records, targets=[t[::-1] for t in records.inputs])
    elif task == "forecast":
        records = Records([np.arange(60.0) % 7], [], [0], ("t",))
        settings += ["task.history=9", "task.horizon=4", "task.saved=network"]
    whole = run(records, tmp_path / "a", task, *settings).network.save_tensors()
    step, count = Trainer._step, 0

    def interrupted(self, *arguments):
        nonlocal count
        if type(self) is Trainer:  # not a trial of a forecast
            count += 1
            self.interrupted = count == 8
        return step(self, *arguments)

    monkeypatch.setattr(Trainer, "_step", interrupted)
    run(records, tmp_path / "b", task, *settings)
    assert count == 8
    again = run(records, tmp_path / "b", task, *settings, resume=True).network.save_tensors()
    assert count == 14
    for name, value in whole.items():
        np.testing.assert_array_equal(again[name], value, err_msg=name)


def test_translations_are_learnt_by_heart(tmp_path):
    words = ["ab", "ba", "aab", "bba"]
    records = Records(words, [w.upper() for w in words], list(range(4)), ("t",))
    model = run(records, tmp_path, "translate", "text.heldout=0", "text.min_count=1", "model.hidden_size=24",
                "model.embedding_size=16", "model.dropout=0", "model.backend=torch", "training.precision=fp32",
                "training.steps=120", "training.batch_size=4", "training.learning_rate=0.01",
                "training.schedule=constant")  # fmt: skip
    assert model.predict(words) == [w.upper() for w in words]
    for beam in (1, 3):
        model.task = dataclasses.replace(model.task, beam=beam)
        assert model.predict(["ab"]) == ["AB"]
    scores = model.scores(["AB", "x"], ["AB", "y"])
    assert scores["exact"] == 0.5
    assert 0 < scores["chrf"] < 100


def test_a_growing_season_is_forecast_better_than_by_repeating_it(tmp_path):
    t = np.arange(140)
    series = np.exp(0.01 * t) * (10 + np.sin(t * np.pi / 3))
    model = run(Records([series[:-12]], [], [0], ("t",)), tmp_path, "forecast", "task.history=18", "task.season=6",
                "task.logarithm=true", "model.hidden_size=8", "training.epochs=40")  # fmt: skip
    (forecast,) = model.predict([series[:-12]])
    again = np.resize(series[-18:-12], 12)
    error, naive = (np.abs(f - series[-12:]).mean() for f in (forecast, again))
    assert error < 0.5 * naive
    assert "held-out, last season again" in read_bundle(tmp_path).config["evaluation"]


def test_what_is_held_out():
    records = Records(list("abcdefghij"), list("ABCDEFGHIJ"), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4], ("t",))
    train, heldout = divide(records, 0.2)
    assert (len(train), len(heldout)) == (8, 2)
    assert records.inputs.index(heldout.inputs[1]) == records.inputs.index(heldout.inputs[0]) + 1  # one whole group
    assert [t.upper() for t in train.inputs] == train.targets
    train, heldout = divide(records, 0.0)
    assert (len(train), len(heldout)) == (10, 0)


def test_windows_of_a_series_do_not_see_what_is_held_out():
    task = TaskSettings(name="forecast", history=5, horizon=3)
    train, heldout = named_task("forecast").parts(Records([np.arange(30.0)], [], [0]), task, 0.2)
    assert max(t.max() for t in train.targets) == 23
    assert [t[0] for t in heldout.targets] == [24, 25, 26, 27]
    assert heldout.inputs[0].tolist() == [19, 20, 21, 22, 23]


def test_epochs_have_every_record_once_in_an_order_of_their_own(tmp_path):
    model = run(texts(), tmp_path, "classify", *SMALL, "training.epochs=1")
    learn, heldout = divide(texts(), 0.1)
    resolved = resolve(recipe("classify", "training.batch_size=4"), named_task("classify").defaults, 22)
    data = TaskData(model, learn, heldout, resolved.training)
    orders = [[tuple(rows) for rows in data.epoch(number).rows] for number in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(k for rows in orders[2] for k in rows) == list(range(22))


@pytest.mark.parametrize(
    ("records", "task", "settings", "error", "message"),
    [
        (hello(), "tag", (), TextError, "1 record is too few to hold some out"),
        (
            Records([np.arange(30.0)], [], [0]),
            "forecast",
            (),
            TextError,
            "30 values, 12 of them held out, but a window",
        ),
        (Records([np.arange(99.0)], [], [0]), "forecast", ("task.logarithm=true",), TextError, "values above 0, got 0"),
        (texts(), "classify", ("model.context=3",), SettingsError, "model.context is for language models"),
        (texts(), "classify", ("training.candidates=9",), SettingsError, "training.candidates is for language models"),
        (texts(), "language", (), UsageError, "task.name is language"),
    ],
)
def test_what_cannot_be_trained(records, task, settings, error, message, tmp_path):
    with pytest.raises(error, match=message):
        run(records, tmp_path, task, *settings)


def test_a_decoder_starts_from_the_frequencies_of_its_targets(tmp_path):
    model = run(Records(["a", "b"] * 8, ["xy", "y"] * 8, list(range(16)), ("t",)), tmp_path, "translate",
                "training.learning_rate=0", "training.steps=1", "text.heldout=0", "model.tied=false")  # fmt: skip
    bias = model.network.head.bias.detach().double()
    end, x, y = 0, *model.tokenizer.encode("xy").tolist()
    assert torch.allclose(bias[[end, x, y]].exp() / bias[y].exp(), torch.tensor([1.0, 0.5, 1.0]).double())
    assert bias.min() == pytest.approx(float(bias[y]) + math.log(0.1 / 16))


@pytest.mark.parametrize("task", ["tag", "classify", "translate", "next-line", "forecast"])
def test_nothing_is_left_open_that_a_network_is_built_from(task):
    resolved = resolve(recipe(task), named_task(task).defaults, 100)
    model = resolved.model
    assert None not in (model.hidden_size, model.embedding_size, model.dropout, model.weight_drop)
    assert (resolved.training.candidates, resolved.training.weight_decay) == (0, 0.0)


OLD = Path(__file__).parents[1] / "old"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [["a"], "b"]}, "task.labels must be texts, each one once"),
        ({"labels": ["a", "a"]}, "task.labels must be texts, each one once"),
        ({"labels": "ab"}, "task.labels cannot be 'ab'"),
        ({"labels": None}, "task.labels cannot be None"),
        ({"features": -1}, "task.features must be 0 to 65536, got -1"),
        ({"features": True}, "task.features must be 0 to 65536, got True"),
        ({"labels": ["a"]}, "does not fit|not this model's|asks for float32"),
        (None, 'has no table "task"'),
    ],
)
def test_what_a_task_says_of_itself_is_checked(change, message):
    bundle = read_bundle(OLD / "classify")
    task = {**bundle.config["task"], **change} if change is not None else None
    with pytest.raises(BundleError, match=message) as refused:
        load_task_model(dataclasses.replace(bundle, config={**bundle.config, "task": task}))
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize("name", ["classify", "tag", "translate", "next-line", "forecast"])
def test_weights_and_vocabularies_that_do_not_fit_a_task(name):
    bundle = read_bundle(OLD / name)
    load_task_model(bundle)
    first = min(bundle.tensors)
    tensor = np.array(bundle.tensors[first])
    tensor.reshape(-1)[0] = np.nan
    for spoilt, message in (
        (tensor, "holds a value that is no finite number"),
        (np.array(bundle.tensors[first])[:-1], "asks for float32"),
        (np.array(bundle.tensors[first]).astype(np.float64), "asks for float32"),
    ):
        with pytest.raises(BundleError, match=message):
            load_task_model(dataclasses.replace(bundle, tensors={**bundle.tensors, first: spoilt}))
    model = {**bundle.config["model"], "vocabulary_size": bundle.tokenizer.vocabulary_size + 1}
    with pytest.raises(BundleError, match="they do not belong together"):
        load_task_model(dataclasses.replace(bundle, config={**bundle.config, "model": model}))
