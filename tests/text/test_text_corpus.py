"""Preparing a corpus: exact ids, deterministic splits, reuse, and failures that leave no half corpus."""

import errno
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import SettingsError, TextError
from ostinato.settings import TextSettings
from ostinato.text import build, corpus, documents, open_corpus, prepare, sources, split, writing
from ostinato.text.documents import Piece
from ostinato.text.split import plan_split

SONGS = "".join(f"# Song {n}\nla la {'na' * n}\n我们在雨里唱\n\n" for n in range(1, 41))


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    path = tmp_path / "songs.txt"
    path.write_text(SONGS)
    return path


@pytest.mark.parametrize("tokenizer", ["character", "word", "byte", "whitespace"])
def test_ids_are_those_of_the_documents(songs: Path, tmp_path: Path, tokenizer: str) -> None:
    prepared = prepare([songs], TextSettings(tokenizer=tokenizer, documents="^# "), tmp_path / "out")
    texts = [f"# {song.strip()}" for song in SONGS.split("# ")[1:]]
    assert prepared.split == {"kind": "documents", "share": 0.1, "seed": split.SEED, "documents": 40,
                              "heldout_documents": 4}  # fmt: skip
    kept, held = list(prepared.texts("train")), list(prepared.texts("heldout"))
    assert sorted(kept + held) == sorted(texts)
    assert (len(kept), len(held)) == (36, 4) == (prepared.train.documents, prepared.heldout.documents)
    assert prepared.train.characters == sum(map(len, kept))
    assert prepared.heldout.characters == sum(map(len, held))
    assert prepared.tokenizer == build(tokenizer, kept)
    for part, expected in ((prepared.train, kept), (prepared.heldout, held)):
        ids = np.concatenate([np.append(prepared.tokenizer.encode(text), 0) for text in expected])
        np.testing.assert_array_equal(part.ids, ids)
        assert part.tokens == len(ids)
        assert isinstance(part.ids, np.memmap)
        assert not part.ids.flags.writeable
    assert prepared.settings.min_count == (1 if tokenizer == "whitespace" else 2)
    assert prepared.names == ("songs.txt",)


def test_files_on_disk(songs: Path, tmp_path: Path) -> None:
    prepared = prepare([songs], TextSettings(), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["corpus.json", "heldout.ids", "train.ids"]
    assert (tmp_path / "out/train.ids").read_bytes() == prepared.train.ids.astype("<u2").tobytes()
    data = json.loads((tmp_path / "out/corpus.json").read_text())
    assert data["format"] == 1
    assert data["settings"]["documents"] == "files"
    (tmp_path / "out/.part.1.train").write_bytes(b"left by a run that was killed")
    assert prepare([songs], TextSettings(limit=50), tmp_path / "out").train.documents == 1
    prepare([songs], TextSettings(), tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 3
    reopened = open_corpus(tmp_path / "out")
    np.testing.assert_array_equal(reopened.train.ids, prepared.train.ids)
    assert reopened.fingerprint == prepared.fingerprint
    assert reopened.tokenizer == prepared.tokenizer
    assert reopened.settings == prepared.settings


def test_a_single_document_gives_its_tail(songs: Path, tmp_path: Path) -> None:
    prepared = prepare([songs], TextSettings(heldout=0.25), tmp_path / "out")
    cut = int(0.75 * len(SONGS))
    assert list(prepared.texts("train")) == [SONGS[:cut]]
    assert list(prepared.texts("heldout")) == [SONGS[cut:]]
    assert prepared.split == {"kind": "tail", "share": 0.25, "cut": cut}
    assert set(prepared.tokenizer.characters) <= set(SONGS[:cut])


def test_nothing_held_out(songs: Path, tmp_path: Path) -> None:
    prepared = prepare([songs], TextSettings(heldout=0.0), tmp_path / "out")
    assert prepared.heldout.tokens == prepared.heldout.documents == 0
    assert list(prepared.texts()) == []
    assert list(prepared.texts("train")) == [SONGS]
    assert prepared.split == {"kind": "none", "share": 0.0}


def test_first_ten_thousand_characters_with_blanks(tmp_path: Path) -> None:
    settings = TextSettings(documents="files", limit=10_000, newlines="blank", heldout=0.0, min_count=1)
    prepared = prepare(["lyrics-zh"], settings, tmp_path)
    text = next(prepared.texts("train"))
    assert len(text) == 10_000
    assert "\n" not in text
    assert prepared.train.tokens == 10_001


@pytest.mark.parametrize("kind", ["files", "^# "])
def test_small_pieces_change_nothing(songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    for direction in ("forward", "backward"):
        settings = TextSettings(tokenizer="word", documents=kind, direction=direction)
        whole = prepare([songs], settings, tmp_path / f"whole-{direction}")
        with monkeypatch.context() as patch:
            for module, name, value in ((sources, "PIECE", 128), (documents, "PIECE", 128), (sources, "CHUNK", 50),
                                        (writing, "_BATCH", 40), (writing, "_BLOCK", 7)):  # fmt: skip
                patch.setattr(module, name, value)
            small = prepare([songs], settings, tmp_path / f"small-{direction}")
        for part in ("train", "heldout"):
            np.testing.assert_array_equal(getattr(small, part).ids, getattr(whole, part).ids)
            assert getattr(small, part).characters == getattr(whole, part).characters
        assert small.fingerprint == whole.fingerprint


def test_backward_reverses_the_tokens_of_each_document(songs: Path, tmp_path: Path) -> None:
    ahead = prepare([songs], TextSettings(documents="^# "), tmp_path / "a")
    back = prepare([songs], TextSettings(documents="^# ", direction="backward"), tmp_path / "b")
    texts = np.split(ahead.train.ids, np.flatnonzero(ahead.train.ids == 0)[:-1] + 1)
    np.testing.assert_array_equal(back.train.ids, np.concatenate([np.append(ids[:-1][::-1], 0) for ids in texts]))
    assert list(back.texts("heldout")) == list(ahead.texts("heldout"))


def test_a_given_tokenizer_is_used(songs: Path, tmp_path: Path) -> None:
    tokenizer = build("word", ["something else"], 1)
    prepared = prepare([songs], TextSettings(), tmp_path / "out", tokenizer=tokenizer)
    assert prepared.tokenizer == tokenizer
    assert prepared.settings.tokenizer == "word"
    assert list(prepared.texts("train")) == [SONGS[: int(0.9 * len(SONGS))]]


def test_reuse(songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, settings = tmp_path / "out", TextSettings()
    first = prepare([songs], settings, out)
    with monkeypatch.context() as patch:
        patch.setattr(corpus, "build", None)  # building again would fail
        assert prepare([songs], settings, out).fingerprint == first.fingerprint
    changed = [
        prepare([songs], TextSettings(min_count=3), out),
        prepare([songs], TextSettings(documents="lines"), out),
        prepare([songs], settings, out, tokenizer=build("byte", [])),
        prepare([songs, "lyrics-en"], TextSettings(documents="files"), out),
    ]
    songs.write_text(SONGS + "x")
    changed.append(prepare([songs], settings, out))
    assert len({first.fingerprint, *(one.fingerprint for one in changed)}) == 6
    moved = songs.rename(tmp_path / "moved.txt")
    again = prepare([moved], settings, out)
    assert again.fingerprint == changed[-1].fingerprint
    assert again.names == ("moved.txt",)


def test_the_encoding_is_noted_not_part_of_the_text(songs: Path, tmp_path: Path) -> None:
    first = prepare([songs], TextSettings(), tmp_path / "out")
    songs.write_text(SONGS, encoding="gb18030")
    guessed = prepare([songs], TextSettings(), tmp_path / "out")
    assert guessed.fingerprint == first.fingerprint
    assert guessed.notes == (f"{songs}: no encoding is marked, read as gb18030",)
    assert prepare([songs], TextSettings(), tmp_path / "out", encoding="gb18030").notes == ()


@given(st.integers(2, 200), st.floats(0.01, 0.5))
def test_whole_documents_are_drawn(count: int, share: float) -> None:
    plan = plan_split(count, 10 * count, share)
    held = max(1, round(share * count))
    assert plan.mask.shape == (count,)
    assert plan.mask.sum() == held < count
    assert (plan.mask == plan_split(count, 7, share).mask).all()


def test_equal_draws_are_broken_by_order(monkeypatch: pytest.MonkeyPatch) -> None:
    class Same:
        def __init__(self, seed: int) -> None: ...

        def random_raw(self, size: int) -> np.ndarray:
            return np.full(size, 5 << 48, np.uint64)

    monkeypatch.setattr(np.random, "PCG64", Same)
    assert plan_split(10, 100, 0.3).mask.tolist() == [True] * 3 + [False] * 7


def test_the_draw_is_the_same_everywhere() -> None:
    assert np.flatnonzero(plan_split(30, 99, 0.1).mask).tolist() == [4, 25, 26]


def test_a_cut_at_the_end_of_a_piece() -> None:
    plan = plan_split(1, 20, 0.5)
    pieces = [Piece("x" * 10, False), Piece("y" * 10, True)]
    assert list(plan.divide(pieces)) == [(0, Piece("x" * 10, True)), (1, Piece("y" * 10, True))]


def test_too_short_and_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x" * 19)
    with pytest.raises(TextError, match=r"the text has 19 characters, too few to hold a part out \(20\)"):
        prepare([path], TextSettings(), tmp_path / "out")
    assert prepare([path], TextSettings(heldout=0.0), tmp_path / "out").train.tokens == 20
    path.write_text(" \n\n")
    with pytest.raises(TextError, match="the text is empty"):
        prepare([path], TextSettings(documents="lines"), tmp_path / "out")
    with pytest.raises(SettingsError, match="documents must be"):
        prepare([path], TextSettings(documents="["), tmp_path / "out")


def test_a_full_disk_leaves_no_corpus(songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    prepare([songs], TextSettings(), out)

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for target, name in ((writing.IdsWriter, "_write"), (corpus.os, "fsync")):
        with monkeypatch.context() as patch:
            patch.setattr(target, name, full)
            with pytest.raises(TextError, match=r"the corpus cannot be written to .*out: No space left on device"):
                prepare([songs], TextSettings(documents="lines"), out)
        with pytest.raises(TextError, match="out holds no prepared corpus"):
            open_corpus(out)
        assert {path.name for path in out.iterdir()} <= {"train.ids", "heldout.ids"}
    assert prepare([songs], TextSettings(), out).train.documents == 1


def test_a_directory_that_cannot_be_made(songs: Path) -> None:
    with pytest.raises(TextError, match="the corpus cannot be written to"):
        prepare([songs], TextSettings(), songs / "out")


@pytest.mark.parametrize("grow", [True, False])
def test_a_text_that_changes_meanwhile(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grow: bool
) -> None:
    original = corpus.plan_split

    def change(*args: float) -> split.SplitPlan:
        songs.write_text(SONGS * 2 if grow else SONGS[:-100])
        return original(*args)

    monkeypatch.setattr(corpus, "plan_split", change)
    for kind in ("files", "lines"):
        songs.write_text(SONGS)
        with pytest.raises(TextError, match=r"songs.txt changed while it was read"):
            prepare([songs], TextSettings(documents=kind), tmp_path / "out")


def test_damaged_corpora(songs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(TextError, match="out holds no prepared corpus"):
        open_corpus(out)
    prepare([songs], TextSettings(), out)
    good = (out / "corpus.json").read_text()
    for text, message in [
        (good[:-9], "damaged"),
        ("[]", "damaged"),
        (good.replace('"format": 1', '"format": 2'), "of format 2, not 1"),
        (good.replace('"kind": "character"', '"kind": "?"'), "damaged"),
        (good.replace('"limit"', '"limits"'), "damaged"),
    ]:
        (out / "corpus.json").write_text(text)
        with pytest.raises(TextError, match=message):
            open_corpus(out)
    (out / "corpus.json").write_text(good)
    with (out / "train.ids").open("ab") as file:
        file.write(b"\0\0")
    with pytest.raises(TextError, match="damaged"):
        open_corpus(out)
    assert prepare([songs], TextSettings(), out).train.tokens == int(0.9 * len(SONGS)) + 1
    (out / "corpus.json").unlink()
    (out / "corpus.json").mkdir()
    with pytest.raises(TextError, match="cannot be read: it is a folder"):
        open_corpus(out)


TINYSHAKESPEARE = Path(__file__).parents[3] / "shared/data/tinyshakespeare.txt"


@pytest.mark.skipif(not TINYSHAKESPEARE.exists(), reason=f"{TINYSHAKESPEARE.name} is not there")
def test_tinyshakespeare_has_its_usual_split(tmp_path: Path) -> None:
    prepared = prepare([TINYSHAKESPEARE], TextSettings(min_count=1), tmp_path)
    assert (prepared.train.characters, prepared.heldout.characters) == (1_003_854, 111_540)
    assert len(prepared.tokenizer.characters) == 65
    assert (prepared.train.ids[-1], prepared.heldout.ids[-1]) == (0, 0)


def test_of_a_very_long_text_no_more_is_held_out_than_can_be_read_again_and_again() -> None:
    from ostinato.text.split import MOST, plan_split

    tail = plan_split(1, 50 * MOST, 0.1)
    assert tail.cut == pytest.approx(49 * MOST, abs=1)
    documents = plan_split(1000, 50 * MOST, 0.1)
    assert documents.mask.sum() == 20
    assert (tail.share, documents.share) == (0.1, 0.1)  # what was asked for


def test_damaged_ids_are_made_anew(tmp_path):
    """A power cut may leave zeros in a file of the right size."""
    (tmp_path / "t.txt").write_text("one song\n\nanother song\n" * 50, "utf-8")
    corpus = prepare([tmp_path / "t.txt"], TextSettings(), tmp_path / "text")
    whole = corpus.train.ids.tolist()
    path = tmp_path / "text" / "train.ids"
    path.write_bytes(bytes(path.stat().st_size))
    again = prepare([tmp_path / "t.txt"], TextSettings(), tmp_path / "text", expected=corpus.fingerprint)
    assert again.train.ids.tolist() == whole
