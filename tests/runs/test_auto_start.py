"""When a run starts from a bundled base by itself: language, size, recipe, and what is said."""

import io
import json
import os
import threading
from pathlib import Path

import pytest

import ostinato
from ostinato.bases import base_folder
from ostinato.bundle import write_folder
from ostinato.cli.main import main
from ostinato.runs.auto_start import LARGEST, SMALLEST, base_for, choose_start
from ostinato.settings import apply_overrides, load_recipe, with_budget

ENGLISH = "And in the end the night is all that I have of you\nThe river and the road were ours\n\n" * 40
CHINESE = "夜里的风吹过你的窗\n我在桥上等一个人\n\n" * 80
TINY = ["--quiet", "--json", "--steps", "2", "--set", "training.batch_size=1", "--set", "training.window=8"]
GERMAN = "Und in der Nacht ist alles was ich von dir habe\nDer Fluss und die Straße waren unser\n" * 40
FRENCH = "La nuit est tout ce que j'ai de toi\nEt la route est longue sous la pluie\n" * 40
JAPANESE = "夜の風が君の窓を過ぎる\n橋の上で一人を待つ\n" * 80


@pytest.fixture
def text(tmp_path):
    def write(content):
        path = tmp_path / "songs.txt"
        path.write_text(content, "utf-8")
        return str(path)

    return write


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (ENGLISH, "base-en"),
        (ENGLISH.upper(), "base-en"),
        (CHINESE, "base-zh"),
        ("".join(f"# 歌 {n}\n{CHINESE[:200]}" for n in range(9)), "base-zh"),
        (GERMAN, None),
        (FRENCH, None),
        (JAPANESE, None),
        ("Ночь и река и дорога\n" * 90, None),
        (ENGLISH[:1500] + CHINESE[:1500], None),
        ("0123456789 " * 200, None),
        ("ab " * 900, None),
        (" \n" * 900, None),
    ],
)
def test_the_language_decides(content, name):
    assert base_for(content, len(content)) == name


@pytest.mark.parametrize(("content", "name"), [(ENGLISH, "base-en"), (CHINESE, "base-zh")])
def test_the_size_decides(content, name):
    assert base_for(content, SMALLEST - 1) is None
    assert base_for(content, SMALLEST) == name
    assert base_for(content, LARGEST[name]) == name
    assert base_for(content, LARGEST[name] + 1) is None


def test_a_large_text_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "large.txt"
    path.write_text(ENGLISH)
    with path.open("ab") as file:
        file.truncate(100 << 20)
    monkeypatch.setattr("ostinato.runs.auto_start.read_texts", None)
    assert choose_start([str(path)], load_recipe("default")) == (None, "")


def test_a_limit_counts(text):
    path = text(ENGLISH)
    assert choose_start([path], apply_overrides(load_recipe("default"), ["text.limit=900"])) == (None, "")
    start, line = choose_start([path], apply_overrides(load_recipe("default"), ["text.limit=2000"]))
    assert start == base_folder("base-en")
    assert line.startswith("2,000 characters of English: starting from base-en")
    assert "\n" not in line


@pytest.mark.parametrize(
    "override",
    ["model.cell=gru", "model.hidden_size=8", "model.layers=2", "model.tied=false", "model.context=4",
     "text.tokenizer=word", "text.direction=backward", "text.newlines=blank", "text.min_count=3",
     "training.optimizer=sgd", "ngram.smoothing=kneser-ney", "task.name=tag"],
)  # fmt: skip
def test_what_names_a_network_of_its_own_stays_fresh(text, override):
    assert choose_start([text(ENGLISH)], apply_overrides(load_recipe("default"), [override])) == (None, "")


@pytest.mark.parametrize("name", ["words", "scratch-rnn", "concise-rnn", "kneser-ney", "context-mixing"])
def test_other_recipes_stay_fresh(text, name):
    assert choose_start([text(ENGLISH)], load_recipe(name)) == (None, "")


def test_settings_of_the_training_do_not_count(text):
    recipe = with_budget(load_recipe("default"), minutes=1, epochs=None, steps=None, seed=4)
    recipe = apply_overrides(recipe, ["training.batch_size=4", "text.documents=lines", "text.heldout=0.2"])
    assert choose_start([text(ENGLISH)], recipe)[0] == base_folder("base-en")


def test_train_starts_from_a_base_and_says_so(text, tmp_path, capsys):
    out = tmp_path / "m"
    path = text(ENGLISH)
    arguments = ["train", path, "-o", str(out), *TINY]
    assert main([a for a in arguments if a != "--quiet"]) == 0
    printed = capsys.readouterr()
    assert (
        printed.err.count(
            "starting from base-en, which already knows the language (--from none: start from random weights)"
        )
        == 1
    )
    assert "started from base-en (verse-en.txt, prose-en.txt)" in ostinato.load(out).card
    assert json.loads(printed.out)["evaluation"]["held-out"]["bits_per_character"] < 4
    assert main(["train", path, "-o", str(out), "--resume", "--steps", "4", "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 4
    assert main(["train", path, "-o", str(out), "--resume", "--from", "auto", "--steps", "5", "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 5


@pytest.mark.parametrize("start", ["auto", "base-en"])
def test_standard_input_is_read_once_for_all(tmp_path, monkeypatch, start):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(ENGLISH.encode())))
    assert main(["train", "-", "-o", str(tmp_path / "m"), "--from", start, *TINY]) == 0
    assert ostinato.load(tmp_path / "m").config["start"]["name"] == "base-en"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name here")
def test_a_pipe_is_read_once_for_all(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    writer = threading.Thread(target=(tmp_path / "pipe.txt").write_text, args=(ENGLISH,))
    writer.start()
    assert main(["train", str(tmp_path / "pipe.txt"), "-o", str(tmp_path / "m"), *TINY]) == 0
    writer.join()
    assert ostinato.load(tmp_path / "m").config["start"]["name"] == "base-en"


@pytest.mark.parametrize(("content", "rate"), [(ENGLISH, 1e-3), (GERMAN, 6 / 640), (CHINESE, 6 / 640)])
@pytest.mark.parametrize("heldout", ["0.1", "0"])
def test_a_start_that_knows_no_such_text_learns_like_a_fresh_network(text, tmp_path, capsys, content, rate, heldout):
    arguments = ["train", text(content), "-o", str(tmp_path / "m"), "--from", "base-en", "--steps", "1"]
    arguments += ["--set", "training.batch_size=1", "--set", "training.window=8", "--set", f"text.heldout={heldout}"]
    assert main(arguments) == 0
    said = "base-en does not know this kind of text: training uses the learning rate of a "
    said += "new network (--from none: start from random weights)"
    assert (said in capsys.readouterr().err) == (rate > 1e-3)
    assert load_recipe(str(tmp_path / "m" / "recipe.toml")).training.learning_rate == rate


def test_a_rate_that_is_given_stays(text, tmp_path, capsys):
    rate = ["--set", "training.learning_rate=0.002"]
    assert main(["train", text(CHINESE), "-o", str(tmp_path / "m"), "--from", "base-en", *rate, *TINY]) == 0
    assert load_recipe(str(tmp_path / "m" / "recipe.toml")).training.learning_rate == 0.002


def test_from_none_starts_afresh(text, tmp_path):
    assert main(["train", text(ENGLISH), "-o", str(tmp_path / "m"), "--from", "none", *TINY]) == 0
    assert "start" not in ostinato.load(tmp_path / "m").config


def test_from_auto_is_the_default_and_from_a_name_is_a_base(text, tmp_path):
    path = text(CHINESE)
    assert main(["train", path, "-o", str(tmp_path / "a"), "--from", "auto", *TINY]) == 0
    assert ostinato.load(tmp_path / "a").config["start"]["name"] == "base-zh"
    assert main(["train", path, "-o", str(tmp_path / "b"), "--from", "base-en", *TINY]) == 0
    assert ostinato.load(tmp_path / "b").config["start"]["name"] == "base-en"


def test_python_does_the_same(tmp_path):
    settings = {"training": {"batch_size": 1, "window": 8}}
    started = ostinato.train(text=ENGLISH, steps=2, settings=settings, progress=False)
    assert started.config["start"]["name"] == "base-en"
    fresh = ostinato.train(text=ENGLISH, steps=2, settings=settings, progress=False, start=None)
    assert "start" not in fresh.config


@pytest.mark.parametrize("start", ["auto", "none"])
def test_a_vocabulary_needs_a_named_start(text, tmp_path, capsys, start):
    arguments = ["train", text(ENGLISH), "-o", str(tmp_path / "m"), "--from", start, "--vocabulary", "new"]
    assert main(arguments) == 2
    assert "name one with --from" in capsys.readouterr().err


def test_a_name_of_nothing(text, tmp_path, capsys):
    assert main(["train", text(ENGLISH), "-o", str(tmp_path / "m"), "--from", "base-fr"]) != 0
    assert "no model at base-fr" in capsys.readouterr().err
    assert not Path(tmp_path / "m" / "model").exists()


@pytest.mark.parametrize("rate", [0, -1, 2, "fast", True, [1]])
def test_a_base_with_a_hostile_rate(text, tmp_path, capsys, rate):
    files = {f.name: f.read_bytes() for f in base_folder("base-en").iterdir() if f.name != "manifest.json"}
    config = json.loads(files["config.json"])
    config["base"]["start_rate"] = rate
    write_folder(tmp_path / "b", files | {"config.json": json.dumps(config).encode()})
    assert main(["train", text(ENGLISH), "-o", str(tmp_path / "m"), "--from", str(tmp_path / "b"), *TINY]) == 1
    assert "base.start_rate must be above 0 and at most 1" in capsys.readouterr().err
