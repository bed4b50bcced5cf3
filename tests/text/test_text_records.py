"""Records: every form in, and a clear line for what is wrong."""

import json

import numpy as np
import pytest

from ostinato.errors import TextError
from ostinato.settings import TextSettings
from ostinato.text.records import read_labelled, read_next_lines, read_pairs, read_series, read_tagged

TS = """# a comment
@problemName steps
@timeStamps false
@dimensions 2
@classLabel true up down
@data
1.0,2.0,3.0:0.5,0.25,0:up
4,5:6,7:down
"""


@pytest.fixture
def file(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.write_text(text if isinstance(text, str) else "".join(json.dumps(row) + "\n" for row in text), "utf-8")
        return [str(path)]

    return write


def test_tags(file):
    lines = read_tagged(file("a.tsv", "hello\tohlol\n\nab\txy\n"))
    assert (lines.inputs[0], lines.targets) == (list("hello"), [list("ohlol"), list("xy")])
    objects = read_tagged(file("a.jsonl", [{"tokens": ["New", "York"], "tags": ["B-place", "I-place"]}]))
    assert (objects.inputs, objects.targets) == ([["New", "York"]], [["B-place", "I-place"]])
    plain = read_tagged(file("b.txt", "hello\n"), answers=False)
    assert (plain.inputs, plain.targets) == ([list("hello")], [])
    assert read_tagged(file("b.jsonl", [{"tokens": ["a"]}]), answers=False).inputs == [["a"]]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.tsv", "hello\tohlo\n", "line 1 has 5 tokens and 4 tags: give one tag per token"),
        ("a.tsv", "hello\n", "line 1 has 1 column: write text TAB tags"),
        ("a.tsv", "\t\n\tx\n", "line 2 is empty: give a text and its tags"),
        ("a.jsonl", [{"tokens": "ab", "tags": ["x"]}], 'must be {"tokens": \\[texts\\]'),
        ("a.jsonl", [["a"]], "must be a JSON object"),
        ("a.jsonl", "{", "line 1 is not JSON"),
        ("a.tsv", "\n\n", "holds no records"),
    ],
)
def test_wrong_tags(file, name, text, message):
    with pytest.raises(TextError, match=message):
        read_tagged(file(name, text))


def test_classes_of_texts(file):
    csv = read_labelled(file("a.csv", 'label,text\ngood,"oh, well"\nbad,no\n'))
    assert (csv.inputs, csv.targets) == (["oh, well", "no"], ["good", "bad"])
    tsv = read_labelled(file("a.tsv", "text\tmood\nx\t1\ny\t2\n"), label="mood")
    assert (tsv.inputs, tsv.targets) == (["x", "y"], ["1", "2"])
    jsonl = read_labelled(file("a.jsonl", [{"text": "x", "label": 1}, {"text": "y", "label": "b"}]))
    assert jsonl.targets == ["1", "b"]
    assert read_labelled(file("a.txt", "one\ntwo\n"), answers=False).inputs == ["one", "two"]
    assert read_labelled(file("b.tsv", "text\nx\n"), answers=False).targets == []


def test_classes_of_series(file):
    ts = read_labelled(file("a.ts", TS))
    assert ts.targets == ["up", "down"]
    np.testing.assert_array_equal(ts.inputs[0], np.array([[1, 0.5], [2, 0.25], [3, 0]], np.float32))
    assert [case.shape for case in ts.inputs] == [(3, 2), (2, 2)]
    bare = TS.replace("@classLabel true up down", "@classLabel false").replace(":up", "").replace(":down", "")
    unlabelled = read_labelled(file("b.ts", bare), answers=False)
    assert (unlabelled.inputs[1].shape, unlabelled.targets) == ((2, 2), [])
    rows = [{"features": [[1, 2], [3, 4]], "label": "a"}, {"features": [[5, 6]], "label": "b"}]
    assert [case.shape for case in read_labelled(file("a.jsonl", rows)).inputs] == [(2, 2), (1, 2)]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "text,label\nx,1\ny,2,3\n", "line 3 has 3 columns, the header has 2"),
        ("a.csv", "text,mood\nx,1\n", "has no column 'label': its header has text, mood"),
        ("a.csv", "label,words\nx,1\n", "has no column 'text'"),
        ("a.csv", "text,label\nx,1\ny,1\n", "has only the class '1': there must be two or more"),
        ("a.csv", "text,label\nx,\ny,1\n", "line 2 has an empty label"),
        ("a.csv", "text,label\n", "holds no records"),
        ("a.jsonl", [{"text": "x"}], "has no 'label': its fields are text"),
        ("a.jsonl", [{"label": "x"}], 'must have either "text" or "features"'),
        ("a.jsonl", [{"label": "x", "text": 3}], '"text" must be a text, got 3'),
        ("a.jsonl", [{"label": "x", "features": [[1], [2, 3]]}], "each a list of as many numbers"),
        ("a.jsonl", [{"label": "x", "features": [[1, None]]}], "is not finite"),
        ("a.jsonl", [{"label": "x", "features": [[1, 1e99]]}], "is not finite"),
        ("a.jsonl", [{"label": "x", "features": [[1]]}, {"label": "y", "text": "a"}], "must be alike: .* 1 features"),
        ("a.ts", TS.replace("@data", "data"), "has no line @data"),
        ("a.ts", TS.replace("@timeStamps false", "@timeStamps true"), "has timestamps"),
        ("a.ts", TS.replace("@classLabel true up down", "@classLabel false"), "has no classes"),
        ("a.ts", TS.replace("0.25,", "?,"), "line 7 has a value that is not a number"),
        ("a.ts", TS.replace("0.25,", "NaN,"), "line 7 has a value that is not a number"),
        ("a.ts", TS.replace("0.25,", "1e99,"), "line 7 has a value that is not a number, or too large"),
        ("a.ts", TS.replace("0.25,", ""), "line 7 has dimensions of 3, 2 steps"),
    ],
)
def test_wrong_classes(file, name, text, message):
    with pytest.raises(TextError, match=message):
        read_labelled(file(name, text))


@pytest.mark.parametrize(
    ("text", "line"), [('text,label\nx,1\n"yyyyyyyyyyyyyyyyyyyy,2\n', 3), ("t" * 20 + ",label\nx,1\n", 1)]
)
def test_a_field_that_is_too_long(file, text, line, monkeypatch):
    import csv

    monkeypatch.setattr("ostinato.text.records._LONGEST_FIELD", 10)
    limit = csv.field_size_limit()
    message = f"a.csv line {line} cannot be read as a table: field larger than .*; shorten it, or close its quotes"
    with pytest.raises(TextError, match=message):
        read_labelled(file("a.csv", text))
    csv.field_size_limit(limit)


@pytest.mark.parametrize("rest", ['"b\n3,c\n4,d\n', '"b\n3,"c"\n', '"b" c\n'])
def test_quotes_that_are_not_closed_lose_nothing(file, rest):
    message = "a.csv line 3 cannot be read as a table: .*; close its quotes, and write a quote within quotes twice"
    with pytest.raises(TextError, match=message):
        read_labelled(file("a.csv", f"label,text\n1,a\n2,{rest}"))


def test_pairs(file):
    found = read_pairs(file("a.txt", "Hi.\t嗨。\nRun.\t跑\nHi.\t你好。\n"))
    assert (found.inputs[2], found.targets[2], found.groups) == ("Hi.", "你好。", [0, 1, 0])
    assert read_pairs(file("a.jsonl", [{"source": "a", "target": "b"}])).targets == ["b"]
    assert read_pairs(file("b.txt", "a\nb\n"), answers=False).inputs == ["a", "b"]
    assert read_pairs(file("b.jsonl", [{"source": "a"}]), answers=False).targets == []


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.tsv", "a\tb\nc\t \n", "line 2 has an empty side"),
        ("a.tsv", "\tb\n", "line 1 has an empty side"),
        ("a.tsv", "a\tb\tc\n", "line 1 has 3 columns: write source TAB target"),
        ("a.tsv", "a\n", "line 1 has 1 column"),
        ("a.jsonl", [{"source": "a"}], 'must be {"source": text, "target": text}'),
    ],
)
def test_wrong_pairs(file, name, text, message):
    with pytest.raises(TextError, match=message):
        read_pairs(file(name, text))


def test_next_lines(file):
    path = file("songs.txt", "# 一\n风\n雨\n\n晴\n# 二\n山\n海\n")
    found = read_next_lines(path, TextSettings(documents="^# "))
    assert (found.inputs, found.targets, found.groups) == (["风", "雨", "山"], ["雨", "晴", "海"], [0, 0, 1])
    assert read_next_lines(path, TextSettings(), answers=False).inputs[:2] == ["# 一", "风"]
    with pytest.raises(TextError, match="has no document with two lines"):
        read_next_lines(file("one.txt", "one\n\n"), TextSettings(documents="files"))


def test_titles_are_where_the_pattern_is_found(file):
    path = file("songs.txt", "第一首\n风\n第二天\n\n第12首\n山\n 第三首\n海\n")
    found = read_next_lines(path, TextSettings(documents="^第.+首$"))
    pairs = list(zip(found.inputs, found.targets, found.groups, strict=True))
    assert pairs == [("风", "第二天", 0), ("山", "第三首", 1), ("第三首", "海", 1)]
    found = read_next_lines(path, TextSettings(documents="首"))
    assert (found.inputs, found.targets) == (["风"], ["第二天"])


def test_series(file):
    path = file("a.csv", '"year","sun spots","other"\n1700,5,1\n1701,11,2\n')
    np.testing.assert_array_equal(read_series(path, column="sun spots").inputs[0], [5, 11])
    np.testing.assert_array_equal(read_series(path).inputs[0], [1, 2])


@pytest.mark.parametrize("gap", ["", "nan", "?", "inf"])
def test_a_gap_in_a_series(file, gap):
    with pytest.raises(TextError, match=rf"line 3: value is '{gap.replace('?', '.')}', not a number: fill the gap"):
        read_series(file("a.csv", f"t,value\n1,5\n2,{gap}\n"))


def test_wrong_series(file):
    with pytest.raises(TextError, match="has no column 'x': its header has t, value"):
        read_series(file("a.csv", "t,value\n1,5\n"), column="x")
    with pytest.raises(TextError, match="line 2 has 1 column, the header has 2"):
        read_series(file("a.csv", "t,value\n1\n"))
    with pytest.raises(TextError, match="one file, got 2"):
        read_series(file("a.csv", "t\n1\n") * 2)


def test_numbers_and_labels_of_tables(file):
    found = read_series(file("a.csv", "1,10\n2,20\n3,30\n"))
    assert found.inputs[0].tolist() == [10, 20, 30]
    assert "a.csv has no header: its first row is read as values" in found.notes[0]
    assert read_series(file("b.csv", "1949\n1\n2.5e1\n"), column="1949").inputs[0].tolist() == [1, 25]
    for value in ("1_000", "0x10", "１２", "inf", "1e999"):
        with pytest.raises(TextError, match="not a number"):
            read_series(file("c.csv", f"n\n1\n{value}\n"))
    assert read_series(file("c.csv", "n\n\x1d.5\n")).inputs[0].tolist() == [0.5]  # these two found by fuzzing
    with pytest.raises(TextError, match=r"c.csv begins with a blank line: its first line must be the header"):
        read_series(file("c.csv", "\n1\n"))
    with pytest.raises(TextError) as caught:
        read_series(file("c.csv", "n\n" + "x" * 8_900_000 + "\n"))
    assert len(str(caught.value)) < 300
    with pytest.raises(TextError) as caught:
        read_series(file("c.csv", ",".join("h" * 900 for _ in range(9_000)) + "\n"), column="n")
    assert len(str(caught.value)) < 2_000
    assert read_labelled(file("d.csv", "text,label\nx, good\ny,bad \nz,good\n")).targets == ["good", "bad", "good"]


def test_a_tabbed_header_of_ts(file):
    ts = TS.replace("@classLabel true", "@classLabel\ttrue").replace("@data", "@data\t")
    assert read_labelled(file("a.ts", ts)).targets == ["up", "down"]


def test_blank_lines_keep_their_place(file):
    assert read_labelled(file("a.txt", "one\n\ntwo\n \n"), answers=False).filled == [True, False, True, False]
    assert read_pairs(file("a.txt", "\na\n"), answers=False).filled == [False, True]
    assert read_next_lines(file("a.txt", "a\n\nb"), TextSettings(), answers=False).filled == [True, False, True]


def test_lone_surrogates_are_named_with_their_line(file):
    with pytest.raises(
        TextError, match=r"a.jsonl line 2 has a lone surrogate U\+D83D, which is not a character: remove it"
    ):
        read_labelled(file("a.jsonl", '{"text": "x \\ud83d\\ude00", "label": 1}\n{"text": "\\ud83d", "label": 2}\n'))
