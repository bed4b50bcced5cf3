import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import BundleError
from ostinato.text.openings import Opening, Openings, learn_opening, read_opening
from ostinato.text.tokenizers import build

LINES = [f"{first} the long grey road went on" for first in ("Over", "Under", "Along", "Beside", "Past")]
WRAPPED = "\n".join(
    ["So he went out. Then it rained and", "rained, until the sea came. But", "no one saw it. At last"] * 30
)


def learnt(documents, kind="character", *, backward=False):
    tokenizer = build(kind, documents, 1)
    ids = tokenizer.encode_documents(documents)
    if backward:
        ids = np.roll(ids[::-1], -1)
    opening = learn_opening(ids, tokenizer, backward=backward)
    return opening, [tokenizer.token(i) for i in opening.after], tokenizer


def text_of(lines, times, between="\n"):
    return between.join(LINES[n % len(LINES)] for n in range(lines * times)) + between


@pytest.mark.parametrize("kind", ["character", "word", "byte", "whitespace"])
def test_the_largest_unit_of_which_there_are_enough(kind):
    newline = "<0A>" if kind in ("byte", "whitespace") else "\n"
    assert learnt([LINES[n % 5] for n in range(60)], kind)[0].after == ()
    if kind != "whitespace":  # there a newline may be a token of its own kind
        assert learnt([text_of(60, 1, "\n\n")], kind)[1] == [newline] * 2
        assert learnt([text_of(60, 1)], kind)[1] == [newline]
    first = learnt([text_of(60, 1)], kind)[0].first
    assert "Ove" in first
    assert not any(one.startswith("he") for one in first)


def test_few_beginnings_are_better_than_none():
    assert learnt([text_of(6, 1)])[1] == ["\n"]
    assert learnt(["no end and no beginning " * 3])[1] == [" "]
    assert learnt(["abc"])[0] == Opening()
    assert learnt([])[0] == Opening()


@pytest.mark.parametrize(("kind", "after", "trim"), [("character", [".", " "], False), ("word", ["."], True)])
def test_lines_that_end_anywhere_are_no_beginnings(kind, after, trim):
    opening, tokens, _ = learnt([WRAPPED], kind)
    assert (tokens, opening.trim) == (after, trim)
    assert {one[0] for one in opening.first} <= set("TBAS")


def test_chinese_sentences():
    opening, tokens, _ = learnt(["山高水长。月出东山！春天来了。" * 20])
    assert tokens == ["。"]
    assert opening.first == ("山", "春", "月")


def test_from_right_to_left_lines_end():
    opening, tokens, _ = learnt([text_of(60, 1)], backward=True)
    assert tokens == ["\n"]
    assert opening.first == ("n",)


def test_rare_first_characters_are_left_out():
    text = text_of(200, 1) + "e\n"
    assert not any(one.startswith("e") for one in learnt([text + "eee e eee\n"])[0].first)


@pytest.mark.parametrize("kind", ["character", "word", "byte"])
def test_only_what_begins_so_may_be_drawn(kind):
    opening, _, tokenizer = learnt([text_of(60, 1)], kind)
    openings = Openings(opening, tokenizer)
    rng = np.random.default_rng(1)
    for _ in range(20):
        begun, ids = "", []
        while begun is not None:
            allowed = np.flatnonzero(~openings.forbidden(begun))
            ids.append(int(rng.choice(allowed)))
            begun = openings.after(begun, ids[-1])
        assert tokenizer.decode(ids)[:3] in {line[:3] for line in LINES}


def test_it_is_kept_in_json():
    opening = learnt([WRAPPED])[0]
    assert read_opening({"opening": opening.to_json()}, 1000) == opening
    assert read_opening({}, 10) == Opening()


@pytest.mark.parametrize(
    "changed",
    [{"after": [-1]}, {"after": [10]}, {"after": "a"}, {"after": [True]}, {"after": [1] * 9}, {"first": 3},
     {"first": "long"}, {"first": "a\n\nb"}, {"trim": 1}, {"after": [1.0]}],
)  # fmt: skip
def test_a_damaged_one_is_refused(changed):
    with pytest.raises(BundleError, match=r"text\.opening cannot be"):
        read_opening({"opening": Opening((1,), ("a",)).to_json() | changed}, 10)
    for table in ([], "x", {"after": []}):
        with pytest.raises(BundleError):
            read_opening({"opening": table}, 10)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text("ab .\nA。月", max_size=60), max_size=6),
    st.sampled_from(["character", "word", "byte"]),
    st.booleans(),
)
def test_any_text_has_an_opening(documents, kind, backward):
    tokenizer = build(kind, [*documents, "x"], 1)
    ids = tokenizer.encode_documents(documents)
    opening = learn_opening(ids, tokenizer, backward=backward)
    assert read_opening({"opening": opening.to_json()}, tokenizer.vocabulary_size) == opening
    if opening.first:
        assert Openings(opening, tokenizer, backward=backward).forbidden("") is not None
