"""What is said where something was given in the wrong place: what it is, and what to do; and nothing is left behind."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ostinato.cli.main import main

OLD = Path(__file__).parents[1] / "old"
A_FILE = "it is a file, and a model is a folder; give a folder that `ostinato train -o` made"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with models, a text and an empty folder."""
    for name in ("lstm", "kneser-ney", "mixture", "translate"):
        shutil.copytree(OLD / name, tmp_path / name)
    (tmp_path / "one.txt").write_text("one line\ntwo lines\n")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("write one.txt", f"no model at one.txt: {A_FILE}"),
        ("score one.txt lstm", A_FILE),
        ("predict one.txt", A_FILE),
        ("suggest one.txt", A_FILE),
        ("export one.txt --to onnx", A_FILE),
        ("compare one.txt --model one.txt", A_FILE),
        ("train lstm -o new", "lstm is the output of a run, not a text to learn from: name the texts themselves"),
        ("train one.txt -o new --threads 0", "threads must be at least 1, got 0"),
        ("base one.txt -o new --threads -1", "threads must be at least 1, got -1"),
        ("write empty", "no model at empty: it holds no config.json"),
        (
            "train one.txt --recipe none.toml",
            "no recipe 'none.toml': file not found; give a TOML file or one of",
        ),
        ("train one.txt --recipe empty", "no recipe 'empty': Is a directory; give a TOML file or one of"),
        ("score kneser-ney one.txt --precision int8", "a model of kind ngram has no int8 weights"),
        ("export lstm --to ostinato -o x", "that ostinato exported: it has no ostinato.json"),
        ("train one.txt", "the text has 19 characters, too few to hold a part out"),
        ("train one.txt -o new/model", "the text has 19 characters, too few to hold a part out"),
        ("train none.txt", "none.txt does not exist"),
        ("train one.txt --heldout none.txt", "none.txt does not exist"),
        ("compare one.txt -o new/table", "too few to hold a part out"),
    ],
)
def test_the_cure_fits(place, arguments, message, capsys):
    before = sorted(path.name for path in place.iterdir())
    assert main(arguments.split()) in (1, 2)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    lines = [line for line in printed.err.splitlines() if not line.endswith(" ...")]  # what took its time
    assert len(lines) == 1
    assert lines[0].startswith("ostinato: ")
    assert "Errno" not in printed.err
    assert sorted(path.name for path in place.iterdir()) == before


def test_a_text_that_is_not_there_is_missed_before_torch_is_loaded(tmp_path):
    command = "import sys; from ostinato.cli.main import main; print(main(sys.argv[1:]), 'torch' in sys.modules)"
    for texts in (["none.txt"], ["lyrics-zh", "--test", "none.txt"], ["none.txt", "--seeds", "2"]):
        run = subprocess.run(
            [sys.executable, "-c", command, "train", *texts], cwd=tmp_path, capture_output=True, text=True
        )
        assert (run.stdout, run.stderr) == ("1 False\n", "ostinato: none.txt does not exist\n")


def test_a_folder_that_was_there_stays(place, capsys):
    assert main(["train", "one.txt", "-o", "empty"]) == 1
    assert list((place / "empty").iterdir()) == []


def test_a_prompt_in_a_script_that_the_model_does_not_know(model, capsys):
    assert main(["write", str(model), "дождь идёт", "--tokens", "3"]) == 0
    assert "did not occur in the text that the model learnt" in capsys.readouterr().err
    assert main(["write", str(model), "风", "--tokens", "3", "--seed", "1"]) == 0
    assert capsys.readouterr().err == ""


def test_predictions_stay_beside_their_inputs(place, monkeypatch, capsys):
    monkeypatch.setattr("ostinato.models.task_models.TaskModel.line", lambda self, prediction: "one\ntwo\r")
    (place / "in.txt").write_text("a\n\nb\n")
    assert main(["predict", "translate", "in.txt"]) == 0
    assert capsys.readouterr().out == "one\\ntwo\\r\n\none\\ntwo\\r\n"


@pytest.mark.parametrize("command", ["train {}", "compare {}", "info {}", "score lstm {}", "predict translate {}"])
@pytest.mark.parametrize("kind", ["file", "folder", "inside"])
def test_what_may_not_be_read_is_one_line(place, command, kind, monkeypatch, capsys):
    """As root reads everything, the system is made to refuse."""
    (place / "texts").mkdir()
    for name in ("a.txt", "b.txt"):
        (place / "texts" / name).write_text("words\tand\n" * 20)
    (place / "texts" / "sub").mkdir()
    refused = {"file": "one.txt", "folder": "texts", "inside": "sub"}[kind]
    import io
    import os

    def guarded(original):
        def call(path, *args, **options):
            if isinstance(path, str | os.PathLike) and os.path.basename(os.fspath(path)) == refused:
                raise PermissionError(13, "Permission denied", os.fspath(path))
            return original(path, *args, **options)

        return call

    for owner, name in ((io, "open"), (os, "scandir"), (os, "open")):
        monkeypatch.setattr(owner, name, guarded(getattr(owner, name)))
    given = "one.txt" if kind == "file" else "texts"
    assert main(command.format(given).split()) == 1
    printed = capsys.readouterr()
    assert len([line for line in printed.err.splitlines() if not line.endswith(" ...")]) == 1, printed.err
    assert f"{refused} cannot be read: Permission denied" in printed.err
