"""`train --task` and `predict` as a user meets them."""

import io
import json
import sys

import pytest

from ostinato.cli.main import main

SMALL = ["--quiet", "--set", "model.hidden_size=8", "--set", "model.embedding_size=6", "--steps", "6"]


@pytest.fixture
def train(tmp_path, capsys):
    """Trains a small model on a text in a file of that name; returns its folder."""

    def run(task, name, text, *options):
        (tmp_path / name).write_text(text, "utf-8")
        out = tmp_path / f"{task}-model"
        code = main(["train", "--task", task, str(tmp_path / name), "-o", str(out), *SMALL, *options])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        assert "use it: ostinato predict" in captured.err
        return out

    return run


def failing(capsys, *arguments):
    code = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert captured.out == ""
    return code, line


TAGGED = "".join(f"{word}\t{word.upper()}\n" for word in ("ab", "ba", "aab", "bab", "abb"))
LABELLED = "text\tlabel\n" + "".join(f"{'ab' * n}\t{'long' if n > 2 else 'short'}\n" for n in range(1, 7))
PAIRS = "".join(f"{word}\t{word[::-1]}\n" for word in ("ab", "ba", "aab", "bab", "abb"))
SERIES = "month,sales\n" + "".join(f"{n},{10 + n % 4}\n" for n in range(60))


def test_tags(train, tmp_path, capsys, monkeypatch):
    out = train("tag", "words.tsv", TAGGED)
    assert main(["predict", str(out), str(tmp_path / "words.tsv")]) == 0
    captured = capsys.readouterr()
    assert [len(line) for line in captured.out.splitlines()] == [2, 2, 3, 3, 3]
    assert "accuracy" in captured.err
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"abba\n")))
    assert main(["predict", str(out)]) == 0
    assert len(capsys.readouterr().out.strip()) == 4


def test_long_tags_are_parted_by_blanks(train, tmp_path, capsys):
    rows = [{"tokens": ["a", "b"], "tags": ["noun", "verb"]}, {"tokens": ["b"], "tags": ["verb"]}]
    out = train("tag", "words.jsonl", "".join(json.dumps(row) + "\n" for row in rows * 3))
    assert main(["predict", str(out), str(tmp_path / "words.jsonl")]) == 0
    assert set(capsys.readouterr().out.split()) <= {"noun", "verb"}


def test_classes_as_json(train, tmp_path, capsys):
    out = train("classify", "texts.tsv", LABELLED)
    assert main(["predict", str(out), str(tmp_path / "texts.tsv"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["task"], len(found["predictions"]), list(found["scores"])) == ("classify", 6, ["accuracy"])


def test_translations_and_their_beam(train, tmp_path, capsys):
    out = train("translate", "pairs.tsv", PAIRS)
    for beam in ("1", "3"):
        assert main(["predict", str(out), str(tmp_path / "pairs.tsv"), "--beam", beam]) == 0
        assert len(capsys.readouterr().out.splitlines()) == 5
    assert failing(capsys, "predict", out, tmp_path / "pairs.tsv", "--beam", "0") == (
        2, "ostinato: --beam: task.beam must be between 1 and 256, got 0",
    )  # fmt: skip


def test_next_lines(train, verses_text, tmp_path, capsys):
    out = train("next-line", "songs.txt", verses_text, "--set", "text.documents=^# ")
    (tmp_path / "line.txt").write_text("风在春里等你\n", "utf-8")
    assert main(["predict", str(out), str(tmp_path / "line.txt")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_forecasts(train, tmp_path, capsys):
    out = train("forecast", "sales.csv", SERIES, "--set", "task.history=8", "--set", "task.horizon=3")
    assert main(["predict", str(out), str(tmp_path / "sales.csv")]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert [8 < float(value) < 16 for value in line.split(" ")] == [True] * 3
    assert main(["predict", str(out), str(tmp_path / "sales.csv"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["predictions"][0]) == 3


def test_info_knows_and_other_commands_say_what_to_use(train, model, tmp_path, capsys):
    out = train("classify", "texts.tsv", LABELLED)
    assert main(["info", str(out)]) == 0
    assert "task: classify, 2 classes: long, short" in capsys.readouterr().out
    code, line = failing(capsys, "write", out)
    assert (code, "is a classifier, not a language model: use it with `ostinato predict`" in line) == (1, True)
    code, line = failing(capsys, "predict", model)
    assert (code, "is a language model (mixture), which cannot predict" in line) == (1, True)


def test_a_run_goes_on_without_repeating_its_options(train, tmp_path, capsys):
    out = train("classify", "texts.tsv", LABELLED.replace("label", "size"), "--set", "task.label=size")
    assert main(["train", str(tmp_path / "texts.tsv"), "-o", str(out), "--resume", "--steps", "9", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 9


@pytest.mark.parametrize(
    ("task", "name", "text", "options", "message"),
    [
        ("classify", "a.csv", "text,label\nx,1\ny,2,3\n", [], "line 3 has 3 columns, the header has 2"),
        ("classify", "a.csv", "text,mood\nx,1\n", [], "has no column 'label'"),
        ("classify", "a.csv", "text,label\nx,1\ny,1\n", [], "has only the class '1'"),
        ("forecast", "a.csv", "t,v\n1,nan\n", [], "is 'nan', not a number"),
        ("forecast", "a.csv", SERIES, ["--set", "task.history=50"], "the series is too short"),
        ("translate", "a.tsv", "a\t \n", [], "has an empty side"),
    ],
)
def test_bad_data_is_one_clear_line(task, name, text, options, message, tmp_path, capsys):
    (tmp_path / name).write_text(text, "utf-8")
    code, line = failing(capsys, "train", "--task", task, tmp_path / name, "-o", tmp_path / "m", *SMALL, *options)
    assert code == 1
    assert message in line


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"labels": None}, "task.labels cannot be None"),
        ({"features": -1}, "task.features must be 0 to 65536, got -1"),
        ({"pooling": "most"}, "holds no [task] settings that can be read (recorded: task.pooling must be one of"),
    ],
)
def test_a_damaged_description(train, tmp_path, capsys, table, message):
    from ostinato.bundle import read_bundle, write_bundle

    bundle = read_bundle(train("classify", "texts.tsv", LABELLED))
    task = {k: v for k, v in {**bundle.config["task"], **table}.items() if v is not None}
    config = {**bundle.config, "task": task}
    write_bundle(tmp_path / "bad", config=config, tokenizer=bundle.tokenizer, tensors=dict(bundle.tensors), card="")
    code, line = failing(capsys, "predict", tmp_path / "bad", tmp_path / "texts.tsv")
    assert code == 1
    assert str(tmp_path / "bad" / "config.json") in line
    assert message in line
    assert line.count("config.json") == 1
