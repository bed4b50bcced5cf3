import csv
import importlib
import json
import math
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import ostinato
from ostinato.cli.main import main
from ostinato.comparing import save_table
from ostinato.errors import TrainingError


def compared(capsys, *arguments):
    assert main(["compare", *map(str, arguments), "--quiet", "--json"]) == 0
    return json.loads(capsys.readouterr().out)["comparisons"]


def rows_of(comparison):
    return {row["model"]: row for row in comparison["rows"]}


@pytest.fixture
def asked(monkeypatch):
    """The networks that a comparison wants trained, as (tokens of a window, minutes); none of them is."""
    networks, really = [], importlib.import_module("ostinato.runs.run").train

    def train(texts, *, recipe, **options):
        if recipe.ngram.smoothing != "none":
            return really(texts, recipe=recipe, **options)
        networks.append((recipe.model.context, recipe.training.minutes))
        raise TrainingError("not now")

    monkeypatch.setattr("ostinato.runs.run.train", train)
    return networks


@pytest.mark.slow
def test_the_mixture_beats_its_parts_and_can_be_used(verses, tmp_path, capsys, monkeypatch):
    out = tmp_path / "c"
    settings = ("text.documents='^# '", "model.hidden_size=32", "training.window=16", "training.batch_size=4")
    options = [word for setting in settings for word in ("--set", setting)]
    (comparison,) = compared(capsys, verses, "-o", out, "--order", 3, "--minutes", 0.05, *options)
    bits = {row["model"]: row["bits_per_character"] for row in comparison["rows"]}
    network = next(row["model"] for row in comparison["rows"] if row["group"] == "network")
    mixture = next(row["model"] for row in comparison["rows"] if row["group"] == "mixture")
    assert bits[mixture] < max(bits[network], bits["Kneser-Ney 3"])
    groups = {row["group"] for row in comparison["rows"]}
    assert groups == {"baseline", "n-gram", "window", "network", "mixture", "adapting"}
    assert bits["window of 8"] < bits["unigram"]
    assert rows_of(comparison)["window of 8"]["longest_copy"] is not None
    assert ostinato.load(out / "window").config["model"]["context"] == 8
    assert (out / "compare.svg").is_file()
    model = ostinato.load(out)
    assert model.config["kind"] == "mixture"
    assert list(model.config["evaluation"]) == ["held-out"]
    assert list(ostinato.load(out / "adapting").config["evaluation"]) == ["held-out, adapting"]
    assert model.write("风", tokens=20, seed=1)
    assert math.isfinite(model.score("风在春里等你").perplexity)
    assert any(name.endswith("continuous cache") for name in bits)
    nothing = np.full(rows_of(comparison)[network]["parameters"], np.nan)
    monkeypatch.setattr(
        "ostinato.comparing.dynamic.dynamic_scores", lambda model, ids, training_ids: nothing[: len(ids)]
    )
    (again,) = compared(capsys, verses, "--model", out / "network", "--order", 3)
    assert any("diverged" in note for note in again["notes"])
    (again,) = compared(capsys, verses, "--model", out / "network", "--order", 3, "--no-dynamic")
    assert rows_of(again)[network]["perplexity"] == pytest.approx(rows_of(comparison)[network]["perplexity"])
    assert not any("dynamic" in name or "window" in name for name in rows_of(again))
    assert not any("another text" in note for note in again["notes"])
    given = ("--model", out / "window", "--order", 2, "--window", 3, "--minutes", 0.01, "--set", "model.hidden_size=8")
    (again,) = compared(capsys, verses, *given)
    assert [(r["model"], r["group"]) for r in again["rows"] if "window" in r["model"].split("+")[0]] == [
        ("window of 3", "window"),
        ("window of 8", "network"),
    ]

    for number in (signal.SIGINT, signal.SIGTERM):
        monkeypatch.setattr(
            "ostinato.comparing.dynamic.dynamic_scores", lambda *arguments, number=number: signal.raise_signal(number)
        )
        saved = tmp_path / number.name
        options = ["--model", out / "network", "--order", 2, "-o", saved, "--json"]
        assert main(["compare", *map(str, [verses, *options])]) == 128 + number
        printed = capsys.readouterr()
        assert "stopping: what was measured is kept" in printed.err
        assert f"interrupted; what was finished is in {saved}" in printed.err
        (part,) = json.loads(printed.out)["comparisons"]
        assert part["rows"][-1]["model"] == "mixture + both caches"
        assert any("interrupted" in note for note in part["notes"])
        assert ostinato.load(saved).config["kind"] == "mixture"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_network_is_trained(verses, tmp_path, capsys, number):
    out = tmp_path / "c"
    options = ["-o", out, "--minutes", "30", "--order", "2", "--quiet", "--set", "model.hidden_size=16",
               "--set", "training.batch_size=4", "--set", "training.window=8"]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "ostinato", "compare", verses, *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # who runs the tests may ignore it
    )  # fmt: skip
    try:
        while not (out / "window" / "metrics.jsonl").exists() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(number)
        table, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + number, errors
    assert "Kneser-Ney 2" in table
    assert "Note: interrupted: what is not in the table was not measured" in table
    assert "window of 8" not in table
    assert errors == f"ostinato: interrupted; what was finished is in {out}\n"
    assert main(["compare", str(verses), "-o", str(out), "--minutes", "0"]) == 1
    assert f"{out} already holds a run: --overwrite replaces it" in capsys.readouterr().err
    assert ostinato.load(out / "window").config["kind"] == "window"


def test_overwriting_leaves_nothing_of_the_run_before(verses, tmp_path, capsys):
    out, other = tmp_path / "c", tmp_path / "other.txt"
    other.write_text("the other song of the sea\n" * 20, "utf-8")
    options = ["--minutes", 0, "--order", 2, "-o", out]
    both = ["--tokenizer", "character", "--tokenizer", "byte"]
    compared(capsys, verses, *options, *both)
    assert sorted(path.name for path in out.iterdir()) == [
        ".comparison", ".run.json", "byte", "character", "compare.csv", "compare.json", "compare.png", "compare.svg"
    ]  # fmt: skip
    assert main(["compare", *map(str, [tmp_path / "missing.txt", *options, "--overwrite"])]) == 1
    assert ostinato.load(out / "byte").config["text"]["names"] == ["verses.txt"]
    compared(capsys, other, *options, "--overwrite")
    assert sorted(path.name for path in out.iterdir()) == [
        ".comparison", ".run.json", "compare.csv", "compare.json", "compare.png", "compare.svg", "model", "text"
    ]  # fmt: skip
    assert ostinato.load(out).config["text"]["names"] == ["other.txt"]
    assert main(["compare", *map(str, [verses, *options, "--model", out, "--overwrite"])]) == 2
    assert f"--model {out} lies in {out}, which --overwrite would replace" in capsys.readouterr().err
    assert ostinato.load(out).config["text"]["names"] == ["other.txt"]
    compared(capsys, verses, *options, *both, "--overwrite")
    assert sorted(path.name for path in out.iterdir()) == [
        ".comparison", ".run.json", "byte", "character", "compare.csv", "compare.json", "compare.png", "compare.svg"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "networks"),
    [
        ([], [(8, 0.5), (0, 1.5)]),
        (["--window", 0], [(0, 2.0)]),
        (["--set", "model.context=3"], [(3, 2.0)]),
        (["--set", "model.context=3", "--window", 5], [(5, 0.5), (3, 1.5)]),
    ],
)
def test_who_gets_the_minutes(verses, capsys, asked, options, networks):
    compared(capsys, verses, "--order", 2, *options)
    assert asked == networks


@pytest.mark.parametrize(
    "text",
    [
        "a" * 50,
        "b" * 3000,
        "To be or not to be, that is the question; whether.",
        "hello world " * 30 + "你好世界 ξένος",
    ],
)
def test_odd_texts_give_figures(tmp_path, capsys, text):
    path = tmp_path / "t.txt"
    path.write_text(text, "utf-8")
    (comparison,) = compared(capsys, path, "--minutes", 0)
    for row in comparison["rows"]:
        assert row["perplexity"] >= 1
        assert row["bits_per_character"] >= 0


def test_several_tokenizers_and_the_table(verses, capsys):
    assert main(["compare", str(verses), "--minutes", "0", "--tokenizer", "character", "--tokenizer", "byte"]) == 0
    out = capsys.readouterr().out
    assert "(character, vocabulary" in out
    assert "(byte, vocabulary" in out
    assert "Below the line: models that adapt" in out


def test_the_table_as_json_and_csv(verses, tmp_path, capsys):
    out = tmp_path / "c"
    both = ["--tokenizer", "character", "--tokenizer", "byte"]
    printed = compared(capsys, verses, "--minutes", 0, "--order", 2, "-o", out, *both)
    assert json.loads((out / "compare.json").read_text("utf-8"))["comparisons"] == printed
    with (out / "compare.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    rows = [(comparison, row) for comparison in printed for row in comparison["rows"]]
    assert [(line["tokenizer"], line["model"]) for line in lines] == [(c["tokenizer"], r["model"]) for c, r in rows]
    for line, (comparison, row) in zip(lines, rows, strict=True):
        assert int(line["characters"]) == comparison["characters"]
        assert float(line["bits_per_character"]) == row["bits_per_character"]
        assert line["longest_copy"] == ("" if row["longest_copy"] is None else str(row["longest_copy"]))


def test_a_table_that_cannot_be_written(verses, tmp_path, capsys):
    (tmp_path / "compare.csv").mkdir()
    with pytest.raises(TrainingError, match="cannot write the table of the comparison"):
        save_table([], tmp_path)


def test_standard_input(monkeypatch, verses, capsys):
    import io

    class Input:
        buffer = io.BytesIO(verses.read_bytes())

    monkeypatch.setattr("sys.stdin", Input())
    (comparison,) = compared(capsys, "-", "--minutes", 0, "--order", 2)
    assert "Kneser-Ney 2" in rows_of(comparison)


def test_a_text_of_its_own_is_held_out(verses, tmp_path, capsys):
    other = tmp_path / "other.txt"
    other.write_text("风在春里等你\n", "utf-8")
    (comparison,) = compared(capsys, verses, "--heldout", other, "--minutes", 0, "--order", 3)
    assert comparison["characters"] == 7
    assert rows_of(comparison)["Kneser-Ney 3"]["perplexity"] < 30


def test_a_model_of_another_text_is_said_to_be_one(verses, tmp_path, capsys):
    assert main(["train", str(verses), "-o", str(tmp_path / "m"), "--recipe", "kneser-ney", "--json"]) == 0
    capsys.readouterr()
    other = tmp_path / "other.txt"
    other.write_text("完全不同的另一首歌 " * 20, "utf-8")
    (comparison,) = compared(capsys, other, "--model", tmp_path / "m", "--order", 2, "--window", 2)
    assert any("trained on another text" in note for note in comparison["notes"])
    assert any(note.startswith("no window: ") for note in comparison["notes"])


def test_a_model_of_the_same_text_on_another(verses, tmp_path, capsys, asked):
    assert main(["train", str(verses), "-o", str(tmp_path / "m"), "--recipe", "kneser-ney", "--json"]) == 0
    capsys.readouterr()
    other = tmp_path / "other.txt"
    other.write_text("风在春里等你 " * 20, "utf-8")
    (comparison,) = compared(capsys, verses, "--model", tmp_path / "m", "--heldout", other, "--window", 2)
    assert comparison["characters"] == 7 * 20
    assert not any("another text" in note for note in comparison["notes"])
    assert "no window: not now" in comparison["notes"]
    assert asked == [(2, 2.0)]
    rows = rows_of(comparison)
    assert rows["ngram"]["perplexity"] == rows["Kneser-Ney 5"]["perplexity"]
    (comparison,) = compared(capsys, other, "--model", tmp_path / "m", "--heldout", verses, "--order", 2)
    assert any("trained on another text" in note for note in comparison["notes"])


def test_without_matplotlib_only_the_pictures_are_missing(verses, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    settings = ("model.hidden_size=8", "training.window=8", "training.batch_size=4")
    options = [word for setting in settings for word in ("--set", setting)]
    (comparison,) = compared(
        capsys, verses, "-o", tmp_path / "c", "--order", 2, "--minutes", 0.005, "--window", 0, "--no-dynamic", *options
    )
    assert rows_of(comparison)["lstm 8"]["group"] == "network"
    assert list(tmp_path.rglob("*.svg")) == []


def test_a_network_that_cannot_be_trained_is_left_out(tmp_path, capsys):
    path = tmp_path / "t.txt"
    path.write_text("To be or not to be, that is the question; whether.", "utf-8")
    (comparison,) = compared(
        capsys, path, "--minutes", 1, "--set", "training.window=5000", "--set", "training.batch_size=64"
    )
    assert any(note.startswith("no network: ") for note in comparison["notes"])


@pytest.fixture
def without_torch(monkeypatch):
    """As if torch were not installed: what has imported it is imported anew, and put back afterwards."""
    rooms = ("ostinato.training.", "ostinato.runs.")
    before = {name: module for name, module in sys.modules.items() if name.startswith(rooms)}
    for name in before:
        del sys.modules[name]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "torch", None)
        yield
    for name in [name for name in sys.modules if name.startswith(rooms)]:
        del sys.modules[name]
    sys.modules.update(before)
    for name, module in before.items():
        parent, _, child = name.rpartition(".")
        setattr(sys.modules[parent], child, module)


def test_without_torch_there_is_no_network(verses, capsys, without_torch):
    (comparison,) = compared(capsys, verses, "--minutes", 1, "--order", 2)
    install = "training needs torch: pip install 'ostinato[train]' (in a clone: pip install '.[train]')"
    assert f"no network: {install}" in comparison["notes"]
    assert main(["train", str(verses), "-o", str(verses.parent / "m")]) == 1
    assert f"{install}; without torch: --recipe kneser-ney" in capsys.readouterr().err
    assert main(["train", str(verses), "-o", str(verses.parent / "counts"), "--recipe", "kneser-ney"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--order", "11"], "--order must be between 1 and 10, got 11"),
        (["--minutes", "-1"], "--minutes must be 0 or more, got -1"),
        (["--window", "1025"], "--window must be between 0 and 1024, got 1025"),
        (["--window", "4"], "--window 4 needs a network, but --minutes 0 trains none"),
        (["--tokenizer", "letters"], "--tokenizer must be one of character"),
        (["--cache", "0"], "window of a cache must be 1 token or more"),
        (["--tokenizer", "byte", "--model", "m"], "--tokenizer cannot be given with --model"),
    ],
)
def test_wrong_use(verses, capsys, arguments, message):
    assert main(["compare", str(verses), "--minutes", "0", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_text_too_short_to_divide_is_not_told_to_hold_nothing_out(tmp_path, capsys):
    (tmp_path / "one.txt").write_text("hello\n")
    assert main(["compare", str(tmp_path / "one.txt"), "--minutes", "0"]) == 1
    said = capsys.readouterr().err
    assert "give a longer text, or one to measure on with --heldout" in said
    assert "text.heldout=0" not in said


def test_nothing_held_out(verses, capsys):
    assert main(["compare", str(verses), "--minutes", "0", "--set", "text.heldout=0"]) == 1
    assert "no text is held out" in capsys.readouterr().err
