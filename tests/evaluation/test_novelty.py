import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import TextError
from ostinato.evaluation.novelty import TrainingText, measure, open_training_text, suffix_array

ids_lists = st.lists(st.integers(0, 3), max_size=80)


def array(ids):
    return np.array(ids, dtype=np.uint16)


def text_of(ids):
    return TrainingText(array(ids), suffix_array(array(ids)))


class Letters:
    """0 the end, 1 .. 26 letters, 27 a newline."""

    kind = "character"
    vocabulary_size = 28

    def encode(self, text):
        return array([27 if c == "\n" else ord(c) - 96 for c in text])

    def decode(self, ids):
        return "".join("" if i == 0 else "\n" if i == 27 else chr(96 + i) for i in np.asarray(ids).tolist())


@given(ids_lists)
def test_suffixes_are_sorted(ids):
    assert suffix_array(array(ids)).tolist() == sorted(range(len(ids)), key=lambda i: ids[i:])


@settings(deadline=None)
@given(ids_lists, ids_lists)
def test_longest_copies_are_those_of_a_plain_search(training, written):
    def copied(start, length):
        span = written[start : start + length]
        return (
            len(span) == length
            and 0 not in span
            and any(training[i : i + length] == span for i in range(len(training)))
        )

    lengths, places = text_of(training).longest_copies(array(written))
    for start, (length, place) in enumerate(zip(lengths.tolist(), places.tolist(), strict=True)):
        assert not length or copied(start, length)
        assert not copied(start, length + 1)
        assert training[place : place + length] == written[start : start + length]


@given(ids_lists, st.lists(st.integers(0, 3), min_size=1, max_size=4))
def test_continuations_are_those_of_a_plain_search(training, span):
    n = len(span)
    expected = {training[i + n] for i in range(len(training) - n) if training[i : i + n] == span} - {0}
    if 0 in span:
        expected = set()
    assert text_of(training).continuations(span).tolist() == sorted(expected)


def test_long_copies_are_found_whole():
    random = np.random.default_rng(0)
    training = random.integers(1, 50, 5000).astype(np.uint16)
    written = np.concatenate([training[1000:1400], random.integers(1, 50, 20).astype(np.uint16)])
    lengths, places = TrainingText(training, suffix_array(training)).longest_copies(written)
    assert lengths[0] >= 400
    assert places[0] == 1000


def test_a_report_names_the_copy_and_where_it_stands():
    tokenizer = Letters()
    songs = ["one\nabcdef", "two\nxyzxyz"]
    training = np.concatenate([np.append(tokenizer.encode(song), array([0])) for song in songs])
    report = measure(TrainingText(training, suffix_array(training)), tokenizer.encode("qqzxyq"), tokenizer, (1, 3, 9))
    assert (report.longest.length, report.longest.start, report.longest.document) == (3, 2, 1)
    assert (report.longest.title, report.longest.offset, report.longest.text) == ("two", 6, "zxy")
    assert report.shares == {1: 3 / 6, 3: 1 / 4}
    assert "document 2 (two) after 6 tokens" in str(report)
    assert report.to_json()["longest"]["text"] == "zxy"


def test_nothing_copied():
    tokenizer = Letters()
    training = tokenizer.encode("abc")
    report = measure(TrainingText(training, suffix_array(training)), tokenizer.encode("xyz"), tokenizer)
    assert report.longest is None
    assert report.shares == {2: 0, 3: 0}
    assert "none of its 3 tokens" in str(report)


def test_ends_of_documents_are_neither_copied_nor_counted():
    training = text_of([1, 2, 0, 1, 2, 0])
    report = measure(training, array([1, 2, 0, 1, 2, 0]), Letters(), (2, 3))
    assert report.tokens == 4
    assert report.longest.length == 2
    assert report.shares == {2: 1.0}


def test_no_text():
    with pytest.raises(TextError, match="0 tokens"):
        measure(text_of([1, 0]), array([]), Letters())


def test_the_index_is_kept_and_made_anew_for_another_text(tmp_path):
    first = open_training_text(array([3, 1, 2, 0]), tmp_path)
    kept = (tmp_path / "suffixes.u32").stat().st_mtime_ns
    again = open_training_text(array([3, 1, 2, 0]), tmp_path)
    assert (tmp_path / "suffixes.u32").stat().st_mtime_ns == kept
    np.testing.assert_array_equal(again.suffixes, first.suffixes)
    assert len(open_training_text(array([1, 0]), tmp_path).suffixes) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["suffixes.u32"]


def test_an_index_made_while_another_run_replaces_the_text_is_not_taken_for_that_of_the_new_one(tmp_path, monkeypatch):
    (tmp_path / "train.ids").write_bytes(b"old")

    def replaced_meanwhile(ids):
        found = suffix_array(ids)
        (tmp_path / "train.ids").write_bytes(b"new")
        os.utime(tmp_path / "train.ids", ns=(2, 2))
        return found

    os.utime(tmp_path / "train.ids", ns=(1, 1))
    monkeypatch.setattr("ostinato.evaluation.novelty.suffix_array", replaced_meanwhile)
    open_training_text(array([3, 1, 2, 0]), tmp_path)
    monkeypatch.undo()
    new = open_training_text(array([1, 2, 3, 0]), tmp_path)
    np.testing.assert_array_equal(new.suffixes, suffix_array(array([1, 2, 3, 0])))
    assert isinstance(open_training_text(array([1, 2, 3, 0]), tmp_path).suffixes, np.memmap)


def test_an_index_that_cannot_be_kept_is_made_each_time(tmp_path):
    assert open_training_text(array([1, 0]), tmp_path / "missing").suffixes.tolist() == [1, 0]
