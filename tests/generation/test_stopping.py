import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import UsageError
from ostinato.generation.stopping import Stop, Transcript
from ostinato.protocols import END_OF_DOCUMENT
from ostinato.text.tokenizers import build

BYTES = build("byte", [])
CHARACTERS = build("character", ["ab\nc雨"] * 2)


def run(text, stop, given="", tokenizer=CHARACTERS, end=True):
    """Feed `text`; returns what was shown, the transcript's text, and the reason."""
    transcript = Transcript(tokenizer, stop, given)
    shown = []
    for token_id in [*tokenizer.encode(text).tolist(), *[END_OF_DOCUMENT] * end]:
        if transcript.reason is not None:
            break
        shown.append(transcript.add(token_id))
    assert transcript.text == given + "".join(shown)
    return shown, transcript.text, transcript.reason


def test_a_stop_string_is_found_across_tokens_and_never_shown():
    assert run("cabab雨", Stop(texts=("abab",))) == (["c", "", "", "", ""], "c", "stop string")
    shown, text, reason = run("abaabc", Stop(texts=("abc",)))
    assert (text, reason) == ("aba", "stop string")
    assert shown == ["", "", "ab", "a", "", ""]


@given(st.text("ab\n雨", max_size=30), st.text("ab\n雨", min_size=1, max_size=4), st.sampled_from([BYTES, CHARACTERS]))
def test_stop_strings_cut_like_str_find(text, stop, tokenizer):
    _, got, reason = run(text, Stop(texts=(stop,)), tokenizer=tokenizer)
    assert got == (text[: text.find(stop)] if stop in text else text).rstrip("\n")
    assert reason == ("stop string" if stop in text else "end of document")


@given(st.text("ab\n 雨", max_size=40), st.integers(1, 4), st.text("a\n", max_size=5))
def test_lines_with_words_are_counted_with_the_prompt_s(text, lines, given_text):
    _, got, reason = run(text, Stop(lines=lines), given=given_text, end=False)
    full = [line for line in (given_text + text).split("\n")[:-1] if line.strip()]
    if reason == "lines":
        assert sum(bool(line.strip()) for line in got.split("\n")) == max(
            lines, sum(bool(line.strip()) for line in given_text.split("\n"))
        )
        assert (given_text + text).startswith(got)
    else:
        assert reason is None
        assert len(full) < lines


@given(st.text("ab\n", max_size=20), st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=3))
def test_the_stop_string_found_first_counts(text, stops):
    ends = [text.find(stop) for stop in stops if stop in text]
    _, got, _ = run(text, Stop(texts=tuple(stops)))
    # of two that overlap, the one complete first stops the writing: the cut is at it or before
    complete = min((text.find(stop) + len(stop) for stop in stops if stop in text), default=len(text))
    expected = min(
        (e for e, s in ((text.find(s), s) for s in stops if s in text) if e + len(s) <= complete), default=len(text)
    )
    assert (got == text[:expected].rstrip("\n")) if ends else (got == text.rstrip("\n"))


def test_a_prompt_with_all_its_lines_is_finished():
    assert Transcript(CHARACTERS, Stop(lines=1), "a\n").reason == "lines"
    assert Transcript(CHARACTERS, Stop(lines=1), "a").reason is None


def test_newlines_at_the_end_are_held_back():
    assert run("a\n\nb\n\n", Stop())[:2] == (["a", "", "", "\n\nb", "", "", ""], "a\n\nb")


def test_half_a_character_is_never_shown():
    shown, text, reason = run("a雨雨", Stop(tokens=6), tokenizer=BYTES)
    assert (shown, text, reason) == (["a", "", "", "雨", "", ""], "a雨", "tokens")


def test_what_comes_first_counts():
    assert run("ab\nc", Stop(texts=("c",), lines=1))[2] == "lines"
    assert run("ab\nc", Stop(texts=("b",), lines=1))[1:] == ("a", "stop string")
    assert run("ab\nc", Stop(tokens=2, lines=3))[1:] == ("ab", "tokens")


def test_a_word_that_holds_a_newline_is_cut():
    tokenizer = build("whitespace", ["a b\n"])
    transcript = Transcript(tokenizer, Stop(lines=1))
    for token_id in tokenizer.encode("a b\na").tolist():
        if transcript.reason is None:
            transcript.add(token_id)
    assert (transcript.text, transcript.reason) == ("a b", "lines")


def test_limits():
    assert Stop(tokens=5).limit == 5
    assert Stop(lines=10_000).limit == 2_000_000
    assert Stop().limit == 4096
    assert np.isfinite(Stop(lines=1, tokens=3).limit)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": 0}, "tokens must be 1 or more, got 0"),
        ({"lines": 0}, "lines must be 1 or more, got 0"),
        ({"texts": ("a", "")}, "the stop string is empty"),
    ],
)
def test_stops_that_cannot_be(options, message):
    with pytest.raises(UsageError, match=message):
        Stop(**options)


@given(
    st.lists(st.integers(1, CHARACTERS.vocabulary_size - 1), max_size=30),
    st.booleans(),
    st.sampled_from([{}, {"lines": 2}, {"tokens": 9}, {"texts": ("b", "ab\n")}, {"lines": 1, "fill": False}]),
    st.integers(1, 7),
)
def test_tokens_in_a_row_are_taken_as_one_by_one(ids, end, options, size):
    ids = [*ids, END_OF_DOCUMENT] if end else ids
    single, block = (Transcript(CHARACTERS, Stop(**options)) for _ in range(2))
    shown = ""
    taken = 0
    for token_id in ids:
        if single.reason is None:
            shown += single.add(token_id)
            taken += 1
    together, count = "", 0
    for start in range(0, len(ids), size):
        if block.reason is None:
            text, some = block.add_all(ids[start : start + size])
            together, count = together + text, count + some
    assert (together, count, block.reason, block.drawn) == (shown, taken, single.reason, single.drawn)
    assert block.text == single.text
