"""Classifiers and taggers beside what needs no network: which is saved, and what the card says."""

import dataclasses
import pickle
from types import SimpleNamespace

import numpy as np
import pytest

import ostinato
from ostinato.bundle import read_bundle
from ostinato.errors import BundleError
from ostinato.runs import load_task_model, train
from ostinato.runs.finding import named_task
from ostinato.runs.record_data import Part
from ostinato.settings import Recipe, apply_overrides
from ostinato.text.records import Records
from ostinato.training.observers import Row

SMALL = ("model.hidden_size=4", "model.embedding_size=4", "training.steps=4", "training.learning_rate=0")
"""A network that learns nothing."""


def recipe(task, *settings):
    return apply_overrides(Recipe(), [f"task.name={task}", *SMALL, *settings])


def run(task, records, out, *settings):
    return train(records, out=out, recipe=recipe(task, *settings), progress=False)


def texts(count=60):
    generator = np.random.default_rng(1)
    inputs = ["".join(generator.choice(list("abc"), 5)) + end for _ in range(count // 2) for end in ("ing", "ed")]
    return Records(inputs, ["yes" if t.endswith("ed") else "no" for t in inputs], list(range(count)), ("t",))


def series(count=60):
    generator = np.random.default_rng(2)
    inputs = [(generator.normal(size=(7, 3)) + 3 * (k % 2)).astype(np.float32) for k in range(count)]
    return Records(inputs, [str(k % 2) for k in range(count)], list(range(count)), ("t",))


def tagged(count=40):
    generator = np.random.default_rng(3)
    inputs = [generator.choice(["the", "cat", "runs", "walking"], 6).tolist() for _ in range(count)]
    tags = {"the": "D", "cat": "N", "runs": "V", "walking": "V"}
    return Records(inputs, [[tags[t] for t in tokens] for tokens in inputs], list(range(count)), ("t",))


CASES = {
    "texts": ("classify", texts, "character n-gram regression", "bbbbbed", "yes"),
    "series": ("classify", series, "regression on summaries", np.full((5, 3), 3, np.float32), "1"),
    "tags": ("tag", tagged, "commonest tag per word", ["the", "cat", "singing"], ["D", "N", "V"]),
}


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    task, make, method, asked, answer = CASES[request.param]
    out = tmp_path_factory.mktemp(request.param)
    return SimpleNamespace(task=task, method=method, asked=asked, answer=answer, out=out, records=make(),
                           result=run(task, make(), out))  # fmt: skip


def test_what_is_better_is_saved_in_the_place_of_the_network(case):
    bundle = read_bundle(case.out)
    assert bundle.config["task"]["method"] == case.method
    assert f"model: {case.method}, instead of a network (lstm, 1 × 4" in bundle.card
    assert "so their figures are slightly too good" in bundle.card
    model = ostinato.Model(case.out)
    assert model.predict([case.asked]) == [case.answer]
    assert pickle.loads(pickle.dumps(model)).predict([case.asked]) == [case.answer]
    found = case.result.evaluation
    assert found["held-out"]["accuracy"] == 1 >= found["held-out, network"]["accuracy"]
    assert [note for note in case.result.notes if note.startswith(f"saved: {case.method}")]


def test_the_network_is_saved_where_it_is_asked_for(case, tmp_path):
    result = run(case.task, case.records, tmp_path, "task.saved=network")
    bundle = read_bundle(tmp_path)
    assert bundle.config["task"]["method"] == "network"
    assert result.evaluation[f"held-out, {case.method}"] == {
        k: v for k, v in case.result.evaluation["held-out"].items() if k != "loss"
    }
    assert f"| held-out, {case.method} | accuracy | 1 |" in bundle.card
    assert not [note for note in result.notes if note.startswith("saved:")]


def test_a_damaged_one_is_refused(case):
    bundle = read_bundle(case.out)

    def opened(method=None, **tensors):
        task = {**bundle.config["task"], **({} if method is None else {"method": method})}
        return load_task_model(
            dataclasses.replace(
                bundle, config={**bundle.config, "task": task}, tensors={**dict(bundle.tensors), **tensors}
            )
        )

    opened()
    with pytest.raises(BundleError, match=r"task.method is 'tea leaves', which this version does not know for"):
        opened("tea leaves")
    first = min(bundle.tensors)
    with pytest.raises(BundleError, match=r"asks for float32|unlike what"):
        opened(**{first: np.array(bundle.tensors[first])[:-1]})
    with pytest.raises(BundleError, match="no finite number"):
        opened(**{first: np.full_like(bundle.tensors[first], np.nan)})
    with pytest.raises(BundleError, match=r"the model (lacks|also has)|config.json"):
        opened("network")


def test_a_network_that_is_better_is_saved(tmp_path):
    task = named_task("classify")
    records = texts()
    data = SimpleNamespace(train=records, heldout=Part(["zed"], ["no"]))
    model = SimpleNamespace(features=0, labels=["no", "yes"], tokenizer=None, task=recipe("classify").task,
                            label_id=["no", "yes"].index)  # fmt: skip
    rival = task.rival(model, records, data, {})
    row = Row(1, 1.0, 1.0, 1, 0.1, 0.1, 0.1, 1.0, {"heldout_accuracy": 1.0})
    assert not rival.wins(row)
    assert rival.wins(dataclasses.replace(row, scores={"heldout_accuracy": 0.0}))


@pytest.mark.parametrize("saved", ["best", "network"])
def test_test_records_score_what_is_saved_and_the_rival(saved, tmp_path):
    def file(name, count):
        records = texts(count)
        rows = zip(records.inputs, records.targets, strict=True)
        (tmp_path / name).write_text("text\tlabel\n" + "".join(f"{a}\t{b}\n" for a, b in rows), "utf-8")
        return str(tmp_path / name)

    out = tmp_path / "m"
    settings = apply_overrides(recipe("classify"), [f"text.test_files={file('test.tsv', 10)}", f"task.saved={saved}"])
    result = train([file("train.tsv", 60)], out=out, recipe=settings, progress=False)
    card = read_bundle(out).card
    if saved == "best":
        assert result.evaluation["test"]["accuracy"] == 1
        assert "| test | accuracy | 1 |" in card
    else:
        assert result.evaluation["test, character n-gram regression"]["accuracy"] == 1
        assert result.evaluation["test"]["accuracy"] < 1
        assert "| test, character n-gram regression | accuracy | 1 |" in card


def test_a_rival_of_a_run_that_goes_on_is_the_same(case, tmp_path):
    train(case.records, out=tmp_path, recipe=recipe(case.task), progress=False)
    train(case.records, out=tmp_path, recipe=recipe(case.task, "training.steps=6"), progress=False, resume=True)
    bundle = read_bundle(tmp_path)
    assert bundle.config["task"]["method"] == case.method
    a, b = bundle.tensors, read_bundle(case.out).tensors
    assert all(np.array_equal(a[name], b[name]) for name in a)


def test_nothing_is_compared_without_a_held_out_part(case, tmp_path, monkeypatch):
    monkeypatch.setattr(type(named_task(case.task)), "rival", None)
    run(case.task, case.records, tmp_path, "text.heldout=0")
    assert read_bundle(tmp_path).config["task"]["method"] == "network"


def test_half_of_many_held_out_records_choose_nothing(tmp_path):
    task, records = named_task("classify"), texts(400)
    asked = SimpleNamespace(recipe=recipe("classify"), recorded=None)
    data = task.divide(asked, records)
    assert (len(data.train), len(data.heldout), len(data.test)) == (360, 20, 20)
    kept = [*data.train.inputs, *data.heldout.inputs, *data.test.inputs]
    assert sorted(kept) == sorted(records.inputs)
    asked.recorded = {"fingerprint": "of a run of before version 0.2"}
    assert (len(task.divide(asked, records).heldout), task.divide(asked, records).test) == (40, None)
    assert task.divide(SimpleNamespace(recipe=asked.recipe, recorded=None), texts(380)).test is None
    out = tmp_path / "m"
    first = run("classify", records, out)
    card = read_bundle(out).card
    assert "- records: 360 for training, 20 held out, 20 for testing" in card
    assert "the test records chose nothing" in card
    assert first.evaluation["test"]["accuracy"] == 1
    again = train(records, out=out, recipe=recipe("classify", "training.steps=6"), progress=False, resume=True)
    assert again.evaluation["test"] == first.evaluation["test"]
