"""Texts of one's own that are held out and tested on: the split that chooses the model is not the one reported."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import ostinato
from ostinato.bundle import read_bundle
from ostinato.cli.main import main
from ostinato.errors import SettingsError
from ostinato.runs.saving import ModelWriter
from ostinato.runtime import load
from ostinato.settings import TextSettings, load_recipe, to_mapping
from ostinato.text import open_corpus

SMALL = ("model.mixture=none", "model.hidden_size=8", "training.batch_size=4", "training.window=8",
         "training.schedule=constant", "training.weight_decay=0", "model.weight_drop=0", "model.dropout=0")  # fmt: skip
OPTIONS = [word for option in SMALL for word in ("--set", option)]


@pytest.fixture
def files(tmp_path):
    """Names of three files: to learn from, held out, and to test on."""
    texts = {"train": "风在春里等你\n" * 60, "valid": "山在秋里等我\n" * 5, "test": "海在夜里等他\n风在\n" * 4}
    for name, text in texts.items():
        (tmp_path / f"{name}.txt").write_text(text, "utf-8")
    return {name: str(tmp_path / f"{name}.txt") for name in texts}


def trained(files, out, *more, capsys=None):
    texts = [files["train"], "--heldout", files["valid"], "--test", files["test"]]
    return main(["train", *texts, "-o", str(out), "--quiet", *more])


@pytest.mark.parametrize("recipe", [["--steps", "20", *OPTIONS], ["--recipe", "kneser-ney"]])
def test_each_part_is_measured_on_its_own_text(files, tmp_path, capsys, recipe):
    out = tmp_path / "m"
    assert trained(files, out, *recipe) == 0
    assert "test: perplexity" in capsys.readouterr().out
    bundle, model = read_bundle(out), load(out)
    assert (bundle.config["text"]["train"]["characters"], bundle.config["text"]["split"]["share"]) == (60 * 7, 0.0)
    for split, name in (("held-out", "valid"), ("test", "test")):
        folder = out / ("heldout" if name == "valid" else "test")
        ids = open_corpus(folder).train.ids
        assert bundle.tokenizer.decode(ids) == Path(files[name]).read_text("utf-8")
        values = bundle.config["evaluation"][split]
        assert values["nats"] == pytest.approx(-model.score(ids).sum(), rel=1e-4)
        assert values["tokens"] == len(ids)
        key = "heldout" if name == "valid" else "test"
        assert bundle.config["text"]["split"][key]["names"] == [f"{name}.txt"]
    assert str(tmp_path) not in json.dumps(bundle.config)
    assert "| test |" in bundle.card or "- test: " in bundle.card


def test_the_vocabulary_is_that_of_the_text_alone(files, tmp_path):
    assert trained(files, tmp_path / "m", "--recipe", "kneser-ney") == 0
    known = ostinato.load(tmp_path / "m").tokenizer
    assert len(known.encode("风")) == 1
    assert len(known.encode("海")) == 3


def test_a_run_resumes_with_its_files(files, tmp_path, capsys):
    assert trained(files, tmp_path / "whole", "--steps", "20", *OPTIONS) == 0
    assert trained(files, tmp_path / "m", "--steps", "10", *OPTIONS) == 0
    assert main(["train", files["train"], "-o", str(tmp_path / "m"), "--resume", "--steps", "20", "--quiet"]) == 0
    whole, resumed = read_bundle(tmp_path / "whole"), read_bundle(tmp_path / "m")
    assert resumed.config["evaluation"].keys() == whole.config["evaluation"].keys()
    assert resumed.config["text"] == whole.config["text"]
    with open(files["valid"], "a", encoding="utf-8") as file:
        file.write("山\n")
    capsys.readouterr()
    assert main(["train", files["train"], "-o", str(tmp_path / "m"), "--resume", "--steps", "30", "--quiet"]) == 1
    assert "cannot resume with another text" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [["--steps", "10"], ["--steps", "10", "--set", "model.context=2"],
     ["--steps", "10", "--task", "tag", "--set", "training.evaluate_every=1"]],
)  # fmt: skip
def test_a_run_killed_at_its_end_is_measured_by_a_resume(files, tmp_path, monkeypatch, options):
    if "--task" in options:
        for name in files.values():
            Path(name).write_text("风在\tab\n山海\tba\n" * 12, "utf-8")
    options = [*OPTIONS, *options]
    assert trained(files, tmp_path / "whole", *options) == 0
    with monkeypatch.context() as patch:
        patch.setattr(ModelWriter, "finished", lambda self: 1 / 0)
        assert trained(files, tmp_path / "m", *options) == 1
    before = read_bundle(tmp_path / "m")
    assert "test" not in before.config["evaluation"]
    assert trained(files, tmp_path / "m", *options, "--resume") == 0
    whole, resumed = read_bundle(tmp_path / "whole"), read_bundle(tmp_path / "m")
    assert list(resumed.config["evaluation"].items()) == list(whole.config["evaluation"].items())
    assert resumed.config.get("int8") == whole.config.get("int8")
    assert resumed.config["training"]["seconds"] == before.config["training"]["seconds"]
    assert _timeless(resumed.card) == _timeless(whole.card)
    written = (tmp_path / "m" / "model" / "config.json").stat().st_mtime_ns
    assert trained(files, tmp_path / "m", *options, "--resume") == 0
    assert (tmp_path / "m" / "model" / "config.json").stat().st_mtime_ns == written


def _timeless(card):
    return re.sub(r"\d+:\d\d", "", card)


def test_only_a_test_text(files, tmp_path):
    options = [files["train"], "--test", files["test"], "-o", str(tmp_path / "m"), "--quiet"]
    assert main(["train", *options, "--recipe", "kneser-ney"]) == 0
    evaluation = read_bundle(tmp_path / "m").config["evaluation"]
    assert evaluation["held-out"]["characters"] == pytest.approx(42, abs=8)
    assert evaluation["test"]["characters"] == 40


def test_a_recipe_names_the_files(files, tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        f"[text]\nheldout_files = {json.dumps(files['valid'])}\ntest_files = [{json.dumps(files['test'])}]\n"
        '[ngram]\nsmoothing = "kneser-ney"\n',
        "utf-8",
    )
    loaded = load_recipe(str(recipe))
    assert loaded.text.heldout_files == (files["valid"],)
    assert main(["train", files["train"], "-o", str(tmp_path / "m"), "--recipe", str(recipe), "--quiet"]) == 0
    assert read_bundle(tmp_path / "m").config["evaluation"]["test"]["tokens"]
    again = load_recipe(str(tmp_path / "m" / "recipe.toml"))
    assert to_mapping(again) == to_mapping(loaded)
    with pytest.raises(SettingsError, match=r"text\.test_files must be the name of a file or a list"):
        TextSettings(test_files=3)
    with pytest.raises(SettingsError, match=r"text\.test_files must be"):
        TextSettings(test_files=("",))


def test_overwriting_takes_the_other_texts_away(files, tmp_path):
    out = tmp_path / "m"
    assert trained(files, out, "--recipe", "kneser-ney") == 0
    assert main(["train", files["train"], "-o", str(out), "--recipe", "kneser-ney", "--overwrite", "--quiet"]) == 0
    assert not (out / "heldout").exists()
    assert not (out / "test").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--heldout", "train"], "cannot be learnt from and held out: use a different file for each"),
        (["--heldout", "valid", "--test", "valid"], "cannot be held out and tested on"),
        (["--test", "-"], "the test text must be a file"),
        (["--test", "missing"], "missing"),
    ],
)
def test_what_does_not_fit(files, tmp_path, capsys, options, message):
    options = [files.get(option, option) for option in options]
    code = main(["train", files["train"], "-o", str(tmp_path / "m"), "--recipe", "kneser-ney", "--quiet", *options])
    assert code in (1, 2)
    assert message in capsys.readouterr().err
    assert not (tmp_path / "m" / "model").exists()


def test_a_folder_of_someone_elses_is_not_touched(files, tmp_path, capsys):
    (tmp_path / "m" / "test").mkdir(parents=True)
    (tmp_path / "m" / "test" / "precious").touch()
    assert trained(files, tmp_path / "m", "--recipe", "kneser-ney") == 1
    assert "was not made by ostinato" in capsys.readouterr().err
    assert (tmp_path / "m" / "test" / "precious").exists()


def test_a_mixture_is_tested_and_so_is_its_network(files, tmp_path):
    out = tmp_path / "m"
    assert trained(files, out, "--steps", "20", *OPTIONS, "--set", "model.mixture=linear") == 0
    bundle = read_bundle(out)
    assert bundle.kind == "mixture"
    ids = open_corpus(out / "test").train.ids
    for split, model in (("test", load(out)), ("test, network", load(out / "network"))):
        assert bundle.config["evaluation"][split]["nats"] == pytest.approx(-model.score(ids).sum(), rel=1e-3)
    assert bundle.probe is not None
    assert read_bundle(out / "network").probe is not None


def test_the_best_model_is_tested_not_the_last(files, tmp_path):
    """With a rate that ruins the network later, the saved one is an early one, and so is the one tested."""
    out = tmp_path / "m"
    every = ["--set", "training.evaluate_every=0.2", "--set", "training.learning_rate=0.3"]
    assert trained(files, out, "--steps", "40", *OPTIONS, *every) == 0
    ids = open_corpus(out / "test").train.ids
    nats = read_bundle(out).config["evaluation"]["test"]["nats"]
    assert nats == pytest.approx(-float(np.sum(load(out).score(ids))), rel=1e-3)


RECORDS = {"classify": "text,label\n", "tag": "", "translate": ""}
ROWS = {
    "classify": ["so sad a day,sad\n", "what a joy,glad\n"],
    "tag": ["我们走\tBEB\n", "你们\tBE\n"],
    "translate": ["one\t一\n", "two\t二\n"],
}


@pytest.mark.parametrize("task", RECORDS)
def test_records_of_files_are_held_out_and_tested(task, tmp_path, capsys):
    ending = "csv" if task == "classify" else "tsv"
    names = {}
    for name, times in {"train": 6, "valid": 2, "test": 1}.items():
        names[name] = str(tmp_path / f"{name}.{ending}")
        Path(names[name]).write_text(RECORDS[task] + "".join(ROWS[task]) * times, "utf-8")
    out = tmp_path / "m"
    command = ["train", names["train"], "--task", task, "--heldout", names["valid"], "--test", names["test"],
               "-o", str(out), "--steps", "4", "--quiet", "--set", "model.hidden_size=8"]  # fmt: skip
    assert main(command) == 0
    config = read_bundle(out).config
    assert (config["text"]["train"], config["text"]["heldout"]) == (12, 4)
    assert "test: " in capsys.readouterr().out
    model = ostinato.load(out)
    scores = config["evaluation"]["test"]
    assert scores.keys() == {
        "classify": {"accuracy"}, "tag": {"accuracy", "whole_sequences"}, "translate": {"exact", "bleu", "chrf"}
    }[task]  # fmt: skip
    if task == "classify":
        right = [model.predict(["so sad a day"])[0] == "sad", model.predict(["what a joy"])[0] == "glad"]
        assert scores["accuracy"] == sum(right) / 2
    assert str(tmp_path) not in json.dumps(config)


def test_a_series_holds_out_its_own_end(tmp_path, capsys):
    file = tmp_path / "s.csv"
    file.write_text("value\n" + "".join(f"{n % 7}\n" for n in range(60)), "utf-8")
    (tmp_path / "t.csv").write_text("value\n1\n", "utf-8")
    command = ["train", str(file), "--task", "forecast", "--test", str(tmp_path / "t.csv"), "-o", str(tmp_path / "m")]
    assert main(command) == 2
    assert "holds out the last values of its series" in capsys.readouterr().err
