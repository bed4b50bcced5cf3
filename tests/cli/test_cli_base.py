"""`ostinato base`: a run, and the base of it."""

import json
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

import ostinato
from ostinato.api.base import publish_base
from ostinato.api.base_texts import BaseText
from ostinato.bundle import read_bundle
from ostinato.cli.main import main
from ostinato.errors import BusyError, UsageError
from ostinato.runs.folder import run_folder
from ostinato.settings import TextSettings
from ostinato.text import prepare

TINY = ["--set", "model.hidden_size=16", "--set", "model.embedding_size=8", "--set", "training.batch_size=2",
        "--set", "training.window=16", "--quiet"]  # fmt: skip
VERSES = "".join(f"The {n} river and the road were ours and night was long\n\n" for n in range(60))
PROSE = "".join(f"Chapter {n} tells of a ship that came home in the morning\n\n" for n in range(60))


@pytest.fixture
def texts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in (("verse.txt", VERSES), ("prose.txt", PROSE), ("other.txt", "Something else entirely\n\n" * 20)):
        (tmp_path / name).write_text(text)
    return ["verse.txt", "prose.txt"]


def test_a_base_says_what_it_was_made_of_and_can_be_started_from(texts, tmp_path, capsys):
    arguments = ["base", *texts, "-o", "base-xx", "--terms", "public domain", "--terms", "CC0", "--unseen", "other.txt",
                 "--set", "text.heldout=0.2", *TINY]  # fmt: skip
    assert main([*arguments, "--steps", "6"]) == 0
    card = capsys.readouterr().out
    assert card.startswith("# base-xx: a base model to start from")
    assert "| verse.txt | public domain | " in card
    assert "| prose.txt | CC0 | " in card
    assert "| other.txt | " in card
    base = ostinato.load("base-xx")
    assert base.config["storage"] == "int8"
    sources = base.config["base"]["sources"]
    assert sum(s["heldout"]["characters"] for s in sources) == base.config["text"]["heldout"]["characters"]
    assert "river" in base.known_words
    assert sorted(p.name for p in tmp_path.glob("base*")) == ["base-xx", "base-xx-run"]
    assert main([*arguments, "--resume", "--steps", "8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["training"]["steps_done"] == 8
    assert main(["train", "other.txt", "-o", "m", "--from", "base-xx", "--steps", "2", "--quiet", "--json"]) == 0
    assert ostinato.load("m").config["start"]["name"] == "base-xx"


def test_what_train_holds_out_of_a_corpus_and_what_is_spared_stay_unseen(texts, capsys):
    """Neither the songs that `train` holds out nor the first of the others are in what the base read."""
    arguments = ["base", "verse.txt", "lyrics-en", "-o", "b", "--times", "1", "--times", "2",
                 "--training-part", "lyrics-en", "--spare", "3000", "--steps", "2", *TINY]  # fmt: skip
    assert main(arguments) == 0
    card = capsys.readouterr().out
    assert "| lyrics-en (the part that `train` learns without its first 3,000 characters, 2 times per pass) |" in card
    assert "| lyrics-en, what `train` holds out | " in card
    own = prepare(["lyrics-en"], TextSettings(), "own")
    learnt = (Path("b-texts") / "2" / "lyrics-en.txt").read_text("utf-8")
    songs = list(own.texts("train"))
    spared = [song for song in songs if song not in learnt]
    assert spared == songs[: len(spared)]
    assert sum(map(len, spared[:-1])) < 3000 <= sum(map(len, spared))
    assert all(learnt.count(song) == 2 for song in songs[len(spared) :])
    assert not any(song in learnt for song in own.texts("heldout"))
    held, first = ostinato.load("b").config["base"]["unseen"]
    assert held["measured"]["characters"] == own.heldout.characters
    assert first["measured"]["characters"] == sum(map(len, spared))
    assert main([*arguments, "--resume", "--steps", "3"]) == 0


def test_a_share_of_a_text_is_spread_over_it(texts, capsys):
    assert main(["base", *texts, "-o", "b", "--times", "0.3", "--times", "1", "--steps", "2", *TINY]) == 0
    kept = (Path("b-texts") / "1" / "verse.txt").read_text("utf-8").split("\n\n")
    assert len(kept) == 18
    assert kept[0].startswith("The 3 river")
    assert "| verse.txt (30%) |" in capsys.readouterr().out


def test_a_base_goes_on_from_another(texts, capsys):
    """What the first one learnt is not called held out, as that one has read it."""
    first = ["base", "verse.txt", "-o", "one", "--set", "text.heldout=0.2", "--steps", "2", *TINY]
    second = ["base", *texts, "-o", "two", "--set", "text.heldout=0.2", "--steps", "2", "--from", "one", *TINY]
    assert main(first) == 0
    assert "| verse.txt | not stated | not measured |" not in capsys.readouterr().out
    assert main(second) == 0
    card = capsys.readouterr().out
    assert "- started from one, which learnt verse.txt" in card
    assert "| verse.txt | not stated | not measured |" in card
    assert "| prose.txt | not stated | not measured |" not in card
    assert main([*second, "--resume", "--steps", "3"]) == 0


def test_a_base_is_a_network_whatever_the_recipe_mixes(texts):
    given = ["--recipe", "default", "--set", "text.heldout=0.2", "--set", "model.mixture=linear"]
    assert main(["base", *texts, "-o", "b", "--steps", "2", *TINY, *given]) == 0
    assert read_bundle("b").kind == "recurrent"


def test_no_base_is_made_of_another_model(texts):
    assert main(["train", texts[0], "-o", "counts", "--recipe", "kneser-ney", "--quiet"]) == 0
    with pytest.raises(UsageError, match=r"counts is no network alone, .* model\.mixture=none"):
        publish_base(Path("counts"), Path("b"), [BaseText(texts[0])])


def test_an_old_base_is_replaced_only_when_asked(texts, capsys):
    arguments = ["base", *texts, "-o", "b", "--steps", "2", *TINY]
    assert main(arguments) == 0
    assert main(arguments) == 2
    assert "b is there already: --overwrite replaces it" in capsys.readouterr().err
    assert main([*arguments, "--overwrite", "--storage", "float16", "--start-rate", "0.02"]) == 0
    assert ostinato.load("b").config["storage"] == "float16"
    assert "not stated" in ostinato.load("b").card
    assert main(["train", "other.txt", "-o", "m", "--from", "b", "--steps", "2", "--quiet", "--json"]) == 0
    assert ostinato.load("m").config["training"]["learning_rate"] == 0.02


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--terms", "CC0"], "2 texts and 1 --terms: give one --terms per text"),
        (["--times", "1"], "2 texts and 1 --times: give one --times per text"),
        (["--times", "1", "--times", "0"], "--times must be above 0 and at most 100, got 0"),
        (["--times", "1", "--times", "nan"], "--times must be above 0 and at most 100, got nan"),
        (["--times", "1", "--times", "0.001"], "nothing of prose.txt is left to learn: raise --times"),
        (["--training-part", "other.txt"], "--training-part other.txt is not one of the texts"),
        (["--spare", "100"], "--spare goes with --training-part"),
        (["--training-part", "verse.txt", "--spare", "-1"], "--spare must be at least 0, got -1"),
        (["--training-part", "verse.txt", "--spare", "99999"], "nothing of verse.txt is left to learn"),
        (["--from", "nowhere"], "no model at nowhere"),
        (["--unseen", "verse.txt"], "verse.txt is learnt, so it is not unseen"),
        (["--unseen", "none.txt"], "none.txt"),
        (["--unseen", "-"], "name files, not -"),
        (["--recipe", "kneser-ney"], "a base is a recurrent language model"),
        (["--set", "model.context=4"], "a base is a recurrent language model"),
        (["--resume"], "b-run"),
        (["--start-rate", "0"], "--start-rate must be above 0 and at most 1, got 0"),
    ],
)
def test_what_is_refused_before_training(texts, tmp_path, capsys, more, message):
    assert main(["base", *texts, "-o", "b", "--steps", "2", *TINY, *more]) != 0
    assert message in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_a_base_that_could_not_be_saved_is_not_trained(texts, tmp_path, capsys):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.txt").write_text("mine")
    assert main(["base", *texts, "-o", "b", "--steps", "2", "--overwrite", *TINY]) == 1
    assert "cannot save b: it holds thesis.txt, which is not part of a saved model" in capsys.readouterr().err
    assert [path.name for path in tmp_path.glob("b*")] == ["b"]
    assert (tmp_path / "b" / "thesis.txt").read_text() == "mine"


def test_what_cannot_be_resumed_writes_no_texts(texts, tmp_path, capsys):
    assert main(["base", *texts, "-o", "b", "--times", "2", "--times", "1", "--steps", "2", *TINY, "--resume"]) != 0
    assert "b-run" in capsys.readouterr().err
    assert not list(tmp_path.glob("b*"))


@pytest.mark.parametrize(("more", "instead"), [([], ""), (["--overwrite"], " instead of --overwrite")])
def test_an_interrupted_base_says_how_to_continue(texts, tmp_path, monkeypatch, capsys, more, instead):
    monkeypatch.setattr("ostinato.runs.run.train", lambda *args, **options: SimpleNamespace(signal=2))
    assert main(["base", *texts, "-o", "b", "--steps", "2", *TINY, *more]) == 130
    said = capsys.readouterr().err
    assert f"interrupted; run the same command with --resume{instead} to continue (b-run)\n" in said
    assert not (tmp_path / "b").exists()


def _elsewhere(work):
    """What `work` gives in another thread, which holds no lock of this one's."""
    given = []
    thread = threading.Thread(target=lambda: given.append(work()))
    thread.start()
    thread.join()
    return given[0]


def test_another_base_of_that_name_changes_no_text_under_a_run(texts, tmp_path, capsys):
    """What is read of the texts is written under the run's lock."""
    arguments = ["base", *texts, "-o", "b", "--times", "2", "--times", "1", "--steps", "2", *TINY]
    assert main(arguments) == 0
    capsys.readouterr()
    read = tmp_path / "b-texts" / "1" / "verse.txt"
    before = read.read_text()
    with run_folder(tmp_path / "b-run", resume=True):
        arguments[arguments.index("2")] = "3"
        assert _elsewhere(lambda: main([*arguments, "--overwrite"])) == 1
    assert "is writing in b-run: wait until it has ended" in capsys.readouterr().err
    assert read.read_text() == before


def test_the_run_is_held_until_its_base_is_saved(texts, tmp_path, monkeypatch):
    """Else another run could replace the model while the base is measured and saved."""
    said = []

    def try_to_train():
        try:
            with run_folder(tmp_path / "b-run", overwrite=True):
                said.append("it went on")
        except BusyError as error:
            said.append(str(error))

    def publish(*args, **options):
        _elsewhere(try_to_train)
        return publish_base(*args, **options)

    monkeypatch.setattr("ostinato.api.base.publish_base", publish)
    assert main(["base", *texts, "-o", "b", "--steps", "2", *TINY]) == 0
    (line,) = said
    assert "is writing in" in line
    assert ostinato.load("b").config["base"]["sources"]
