"""A forecast's run from end to end: what is saved, what the card says of it, and how it is used."""

import dataclasses
import json
import pickle

import numpy as np
import pytest

import ostinato
from ostinato.bundle import read_bundle
from ostinato.cli.main import main
from ostinato.errors import BundleError, TrainingError
from ostinato.runs import load_task_model, train
from ostinato.runs.tasks import forecast
from ostinato.settings import Recipe, apply_overrides
from ostinato.text.records import Records
from ostinato.training.trainer import Trainer

SMALL = ("task.history=8", "task.horizon=4", "model.hidden_size=4", "training.epochs=2", "training.batch_size=8")


def recipe(*settings):
    return apply_overrides(Recipe(), ["task.name=forecast", *SMALL, *settings])


def walk(length=80):
    return np.random.default_rng(7).normal(size=length).cumsum() + 50


def run(series, out, *settings, **options):
    return train(Records([series], [], [0], ("s",)), out=out, recipe=recipe(*settings), progress=False, **options)


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    out = tmp_path_factory.mktemp("walk")
    return out, run(walk(), out)


def test_the_last_value_is_saved_of_a_random_walk(walked):
    out, result = walked
    bundle = read_bundle(out)
    assert bundle.config["task"]["method"] == "last value"
    assert sum(tensor.size for tensor in bundle.tensors.values()) == 5
    assert load_task_model(bundle).predict([walk()])[0].tolist() == [walk()[-1]] * 4
    assert "model: last value, instead of a network (lstm, 1 × 4" in bundle.card
    assert "| earlier forecasts | mean_absolute_error |" in bundle.card
    (note,) = (note for note in result.notes if note.startswith("saved: last value"))
    errors = [result.evaluation[f"earlier forecasts, {m}"]["mean_absolute_error"] for m in ("last value", "network")]
    better = errors[1] < errors[0]
    assert ("within its standard error" in note) == better
    assert ("earlier forecasts are as good or better" in note) != better


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (21.42, "since the gain of the network's earlier forecasts is within its standard error (mean absolute error "
         "21.42, against 21.83)"),
        (22.74, "whose earlier forecasts are as good or better (mean absolute error 21.83, the network's 22.74); "
         "held-out figures do not decide, since they chose the network's weights"),
        (None, "whose earlier forecasts are as good or better (mean absolute error 21.83, the network's infinite); "
         "held-out figures do not decide, since they chose the network's weights"),
    ],
)  # fmt: skip
def test_the_reason_is_the_one_that_decided(network, reason):
    errors = {"last season": {"mean_absolute_error": 21.83}, "network": {"mean_absolute_error": network}}
    assert forecast.TASK.preferred("last season", {"backtest": {"errors": errors}}) == reason


def test_every_method_stands_beside_it_on_the_same_origins(walked):
    evaluation = walked[1].evaluation
    names = ["last value", "exponential smoothing", "smoothing with trend", "network"]
    assert [n for n in evaluation if n.startswith("earlier")] == [
        "earlier forecasts", *(f"earlier forecasts, {name}" for name in names)
    ]  # fmt: skip
    figure = evaluation["earlier forecasts"]
    assert figure["mean_absolute_error"] <= figure["nine_in_ten_below"]
    assert evaluation["held-out"] == pytest.approx(evaluation["held-out, last value again"])
    assert {"held-out, network", "training, network"} <= set(evaluation)


def test_the_network_is_saved_where_it_is_asked_for(tmp_path):
    result = run(walk(), tmp_path, "task.saved=network")
    bundle = read_bundle(tmp_path)
    assert bundle.config["task"]["method"] == "network"
    assert "head.weight" in bundle.tensors
    assert not any(note.startswith("saved:") for note in result.notes)
    assert "earlier forecasts, last value" in result.evaluation
    assert len(load_task_model(bundle).predict([walk()])[0]) == 4


def test_a_seasonal_series_is_smoothed(tmp_path):
    t = np.arange(72)
    series = np.exp(0.02 * t) * (20 + 9 * np.tile([0.0, 1, 3, 2, 0, -1], 12))
    run(series, tmp_path, "task.logarithm=true")
    bundle = read_bundle(tmp_path)
    assert bundle.config["task"]["method"] == "smoothing with trend and season"
    (made,) = load_task_model(bundle).predict([series[:-4]])
    assert np.abs(made - series[-4:]).mean() < 0.05 * series[-1]
    with pytest.raises(ostinato.TextError, match="values above 0"):
        load_task_model(bundle).predict([series - 100])
    with pytest.raises(ostinato.TextError, match="the series has 5 values, but a forecast reads 8"):
        load_task_model(bundle).predict([series[:5]])


def test_it_is_a_model_like_others(walked, tmp_path, capsys):
    out, _ = walked
    model = ostinato.Model(out)
    assert pickle.loads(pickle.dumps(model)).predict([walk()])[0].tolist() == [walk()[-1]] * 4
    model.save(tmp_path / "copy")
    (tmp_path / "s.csv").write_text("v\n" + "".join(f"{value}\n" for value in walk()), "utf-8")
    assert main(["predict", str(tmp_path / "copy"), str(tmp_path / "s.csv"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["predictions"] == [pytest.approx([walk()[-1]] * 4)]
    assert main(["info", str(out)]) == 0
    assert "last value, instead of a network" in capsys.readouterr().out
    for command in (["write", str(out)], ["export", str(out), "--to", "onnx", "-o", str(tmp_path / "x.onnx")]):
        assert main(command) in (1, 2)
        assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "tensor", "message"),
    [
        ("tea leaves", None, "config.json: it forecasts by 'tea leaves', which this version does not know"),
        (7, None, "task.method cannot be 7"),
        ("network", None, "unlike what its config.json describes"),
        ("last value", [2, 0, 0, 0, 0], "its parameters must be 0 to 1 and its season a number of values"),
        ("last season", [0, 0, 0, 0, 0], "its parameters must be 0 to 1 and its season a number of values"),
        ("last season", [0, 0, 0, 0, 1.5], "its parameters must be 0 to 1 and its season a number of values"),
        ("last season", [0, 0, 0, 0, 1e9], "its parameters must be 0 to 1 and its season a number of values"),
        ("last value", [np.nan, 0, 0, 0, 0], "no finite number"),
    ],
)
def test_a_damaged_one_is_refused(walked, change, tensor, message):
    bundle = read_bundle(walked[0])
    config = {**bundle.config, "task": {**bundle.config["task"], "method": change}}
    tensors = bundle.tensors if tensor is None else {"values": np.array(tensor, np.float32)}
    with pytest.raises(BundleError, match=message) as refused:
        load_task_model(dataclasses.replace(bundle, config=config, tensors=tensors))
    assert str(bundle.path) in str(refused.value)


def test_a_run_that_goes_on_keeps_what_was_compared(walked, tmp_path, monkeypatch):
    first = run(walk(), tmp_path).evaluation
    monkeypatch.setattr(forecast, "_backtest", None)
    again = run(walk(), tmp_path, "training.epochs=3", resume=True).evaluation
    assert again["earlier forecasts"] == first["earlier forecasts"]
    assert read_bundle(tmp_path).config["task"]["method"] == "last value"


def test_trials_do_not_change_what_the_network_learns(tmp_path, monkeypatch):
    run(walk(), tmp_path / "a", "task.saved=network")
    monkeypatch.setattr(forecast, "trial_origins", lambda *arguments: [])
    run(walk(), tmp_path / "b", "task.saved=network")
    a, b = (read_bundle(tmp_path / name).tensors for name in "ab")
    assert all(np.array_equal(a[name], b[name]) for name in a)


def test_a_series_too_short_to_test_a_network_gets_a_method_without_one(tmp_path):
    result = run(walk(17), tmp_path)
    bundle = read_bundle(tmp_path)
    assert bundle.config["task"]["method"] == "last value"
    assert "The series is too short to test a network on it" in bundle.card
    assert "earlier forecasts, network" not in result.evaluation
    assert any("since the series is too short to test a network on it" in note for note in result.notes)


def test_a_trial_that_diverges_loses(tmp_path, monkeypatch):
    def diverge(self):
        raise TrainingError("training diverged")

    monkeypatch.setattr(forecast._Trial, "train", diverge)
    result = run(walk(), tmp_path)
    assert result.evaluation["earlier forecasts, network"] == {"mean_absolute_error": None, "rmse": None}
    assert "| earlier forecasts, network | rmse | infinite |" in read_bundle(tmp_path).card
    assert "infinite" in result.summary()


def test_without_a_held_out_part_nothing_is_compared(tmp_path):
    result = run(walk(), tmp_path, "text.heldout=0")
    assert not any("earlier" in name for name in result.evaluation)
    assert read_bundle(tmp_path).config["task"]["method"] == "network"


def test_trials_have_a_third_of_the_minutes(tmp_path, monkeypatch):
    given = []
    real = Trainer.__init__

    def noting(self, model, data, settings, **options):
        given.append(settings.minutes)
        real(self, model, data, dataclasses.replace(settings, minutes=None, steps=2), **options)

    monkeypatch.setattr(Trainer, "__init__", noting)
    settings = apply_overrides(recipe(), ["training.epochs=auto", "training.minutes=3"])
    train(Records([walk()], [], [0], ("s",)), out=tmp_path, recipe=settings, progress=False)
    assert given == [pytest.approx(0.25)] * 4 + [pytest.approx(2.0)]
