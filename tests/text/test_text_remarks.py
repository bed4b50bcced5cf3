"""What is said of a text: copies, decomposed accents, an unknown script, blanks at the ends of lines."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from ostinato.errors import SettingsError, TextError
from ostinato.settings import TextSettings
from ostinato.text.corpus import Corpus, prepare
from ostinato.text.remarks import keep_together
from ostinato.text.split import SplitPlan, plan_split
from ostinato.text.tokenizers import BaseTokenizer, build

DATA = Path(__file__).parents[2] / ".." / "shared" / "data" / "wikitext-2.zip"
FRENCH = "Le garçon a mangé sa crème près de la fenêtre, là où l'été s'achève.\n"


def prepared(folder: Path, text: str, given: BaseTokenizer | None = None, **settings: object) -> Corpus:
    (folder / "a.txt").write_text(text, "utf-8")
    return prepare([folder / "a.txt"], TextSettings(**settings), folder / "corpus", tokenizer=given)  # type: ignore[arg-type]


def song(number: int) -> str:
    return f"song number {number}\n" + f"la la {number} la\n" * 9


def test_copies_of_a_song_stay_on_one_side(tmp_path: Path) -> None:
    songs = [song(n % 20) for n in range(40)]  # every song twice
    corpus = prepared(tmp_path, "\n".join(songs), documents="^song")
    sides = {name: set(corpus.texts(name)) for name in ("train", "heldout")}
    assert not sides["train"] & sides["heldout"]
    assert sides["heldout"]
    assert corpus.notes == ("20 of 40 documents are copies of others; all copies of one are on one side of the split",)
    assert prepared(tmp_path, "\n".join(songs), documents="^song").fingerprint == corpus.fingerprint  # reused


def test_a_text_given_twice_is_said_to_be_on_both_sides(tmp_path: Path) -> None:
    """Nothing else is left to hold out: the figures would be those of a text learnt by heart."""
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(song(1), "utf-8")
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    (note,) = prepare(paths, TextSettings(), tmp_path / "corpus").notes
    assert note.startswith("1 of 2 documents is a copy of another; what is held out is learnt as well")
    (note,) = prepare(paths, TextSettings(heldout=0), tmp_path / "all").notes
    assert note == "1 of 2 documents is a copy of another"


def test_texts_without_copies_and_short_lines_are_divided_as_before(tmp_path: Path) -> None:
    plan = plan_split(10, 1000, 0.3)
    assert keep_together(plan, np.arange(1, 11)) is plan
    assert keep_together(plan, np.zeros(10, np.int64)) is plan
    assert keep_together(plan, np.ones(10, np.int64)) is plan  # all alike: one side would be empty
    moved = keep_together(SplitPlan("documents", 0.5, np.array([True, False, False, True])), np.array([5, 5, 0, 0]))
    assert moved.mask.tolist() == [True, True, False, True]
    assert prepared(tmp_path, "la la la\n" * 50 + "na\n" * 50, documents="lines").notes == ()


def test_a_run_from_before_keeps_its_division_and_its_blanks(tmp_path: Path) -> None:
    """What 0.1.0 wrote is named by its fingerprint: a resume finds it again, copies and blanks as they were."""
    import hashlib
    import json

    songs = [song(n % 5) for n in range(10)]
    corpus = prepared(tmp_path, "\n".join(songs), documents="^song")
    digest = hashlib.sha256()
    length = 0
    for text in songs:
        length = len(text.strip("\n"))
        digest.update(text.strip("\n").encode() + b"%d\0" % length)
    settings = dict(vars(corpus.settings))
    del settings["field"], settings["heldout_files"], settings["test_files"]  # which 0.1.0 did not have
    old = hashlib.sha256(json.dumps([1, digest.hexdigest(), settings, None], sort_keys=True).encode()).hexdigest()
    assert corpus.fingerprint != old
    again = prepare([tmp_path / "a.txt"], TextSettings(documents="^song"), tmp_path / "old", expected=old)
    assert again.fingerprint == old
    with pytest.raises(TextError, match="cannot resume with another text"):
        prepare([tmp_path / "a.txt"], TextSettings(documents="^song"), tmp_path / "x", expected="0")


@pytest.mark.parametrize(
    ("form", "kind"), [("NFD", "while keyboards type composed ones"), ("both", "others are composed")]
)
def test_decomposed_accents_are_noted(tmp_path: Path, form: str, kind: str) -> None:
    text = unicodedata.normalize("NFD", FRENCH) + (FRENCH if form == "both" else "")
    (note,) = prepared(tmp_path, text).notes
    assert note.startswith("10 accents stand apart from their letters (NFD), ")
    assert kind in note
    assert prepared(tmp_path, FRENCH).notes == ()


def test_a_text_unlike_the_models_is_noted(tmp_path: Path) -> None:
    french = build("character", [FRENCH * 3])
    options = {"heldout": 0.0}
    assert prepared(tmp_path, FRENCH, french, **options).notes == ()
    decomposed = prepared(tmp_path, unicodedata.normalize("NFD", FRENCH), french, **options).notes
    assert (
        "accents are decomposed (NFD) here, and NFC in the text that the model learnt: convert the text to NFC"
        in decomposed
    )
    (note,) = prepared(tmp_path, "雨下了一整夜，我们不说话\n", french, **options).notes
    assert note.startswith(
        "100% of the characters (such as 雨下了一整) did not occur in the text that the model learnt"
    )
    assert prepared(tmp_path, "雨下了\n", build("byte", []), **options).notes == ()


def test_blanks_at_the_ends_of_lines_are_no_tokens_for_published_figures(tmp_path: Path) -> None:
    text = " = a b = \n \n a b c \n c b a \n"
    corpus = prepared(tmp_path, text, tokenizer="whitespace", documents="lines", heldout=0.0)
    assert corpus.train.tokens == 4 + 3 + 3 + 3  # and an end of document each
    assert list(corpus.texts("train")) == ["= a b =", "a b c", "c b a"]
    assert "blanks at the ends of the lines are left out" in corpus.notes[0]
    padded = build("whitespace", [text])
    assert padded.encode(" a b c ")[-1] == padded.encode(" ")[0]
    old = prepared(tmp_path, text, padded, tokenizer="whitespace", documents="lines", heldout=0.0)
    assert old.train.tokens == corpus.train.tokens + 3  # an older model reads on as it learnt to
    assert list(old.texts("train"))[1] == " a b c "


@pytest.mark.skipif(not DATA.exists(), reason="needs shared/data/wikitext-2.zip")
def test_wikitext_has_the_published_number_of_tokens(tmp_path: Path) -> None:
    paths = [f"{DATA}/wikitext-2/valid.txt"]
    lines = prepare(paths, TextSettings(tokenizer="whitespace", documents="lines", heldout=0.0), tmp_path / "a")
    assert lines.train.tokens == 217_646 - 1_299  # blank lines are no documents; the published count has them
    whole = prepare(paths, TextSettings(tokenizer="whitespace", documents="files", heldout=0.0), tmp_path / "b")
    assert whole.train.tokens == 217_646 + 1  # and the end of the document


def test_a_pattern_that_never_ends_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ostinato.text.documents.SECONDS", 0.1)
    with pytest.raises(SettingsError, match=r"searches a line for more than 0.1 seconds: simplify it"):
        prepared(tmp_path, "la\n" + "a" * 60 + "b\n", documents="^(a+)+$")
    assert prepared(tmp_path, "1.2. x\nla\n2.1. y\nla la la la la\n", documents=r"^(\d+\.)+ ").train.documents == 1
