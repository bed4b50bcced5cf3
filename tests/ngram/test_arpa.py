import io
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import BundleError, TextError, UsageError
from ostinato.ngram.arpa import escape, token_names, unescape, write_arpa
from ostinato.ngram.arpa_lines import numbers
from ostinato.ngram.arpa_reader import read_arpa
from ostinato.ngram.fit import fit_ngram, from_arrays
from ostinato.ngram.links import tokens

NAMES = ["</s>", "the", "cat", " ", "\n", "back\\slash", "<s>", "</s>"]
V = len(NAMES)
texts = st.lists(st.integers(0, V - 1), min_size=1, max_size=80).map(lambda ids: np.array(ids, dtype=np.uint16))

SMALL = """\\data\\
ngram 1=4
ngram 2=2

\\1-grams:
-0.5\t</s>
-99\t<s>\t-0.25
-0.3\ta\t-0.125
-0.75\tb

\\2-grams:
-0.1\t<s> a
-0.2\ta </s>

\\end\\
"""


def written(model, names=NAMES):
    file = io.StringIO()
    write_arpa(model, names, file)
    return file.getvalue()


def test_paths_as_well_as_files(tmp_path):
    model, names = reading(tmp_path, SMALL)
    for path in (tmp_path / "path.arpa", str(tmp_path / "text.arpa")):
        write_arpa(model, names, path)
        assert Path(path).read_text("utf-8") == written(model, names)
        assert written(*read_arpa(path)) == written(model, names)


def reading(tmp_path, text, names=None):
    path = tmp_path / "model.arpa"
    path.write_text(text, encoding="utf-8")
    return read_arpa(path, names)


@given(st.text())
def test_escaping_is_one_word_and_comes_back(name):
    word = escape(name)
    assert unescape(word) == name
    assert word.split() == [word]
    assert word not in ("<s>", "</s>")


@given(st.text(st.characters(exclude_categories=["Z", "C"], exclude_characters="\\"), min_size=1))
def test_ordinary_words_stay_as_they_are(name):
    assert escape(name) == name or name in ("<s>", "</s>")


@given(
    st.lists(
        st.floats(-400, 400) | st.integers(-9, 9).map(lambda e: 10.0**e) | st.floats(-11, 0) | st.just(-0.0), min_size=1
    )
    | st.lists(
        st.tuples(st.integers(0, 99_999_999), st.integers(-12, -5)).map(lambda n: -n[0] * 10.0 ** n[1]), min_size=1
    )
)  # of the second kind many lie in the middle between two numbers of seven digits
def test_numbers_are_python_s(values):
    rows, begins, lengths = numbers(np.array(values), b"\t")
    written = [bytes(row[b : b + n]) for row, b, n in zip(rows, begins, lengths, strict=True)]
    assert written == [b"\t%.7g" % value for value in values]


def one_by_one(model, words):
    """The words, log10 p and log10 of the backoff weight of each n-gram, found by writing with the model."""
    for n in range(model.order):
        for node in range(model.sizes[n]):
            ids = np.array(tokens(model, n, np.array([node])))[:, 0]
            state = model.initial_state(1)
            log = np.log(np.maximum(model.unigram(), 1e-99))[None]
            for token in ids[:-1]:
                log, state = model.step(np.array([token]), state)
            text = " ".join(words[i] for i in ids)
            line = [text.replace("</s> ", "<s> "), max(-99, log[0, ids[-1]] / math.log(10))]
            if n + 1 < model.order and ids[-1]:
                line.append(math.log10(max(1e-99, model.levels[n + 1].weight[node])))
            yield line


@given(texts, st.integers(1, 4), st.sampled_from([(), (0, 1)]), st.sampled_from(["kneser-ney", "maximum-likelihood"]))
def test_lines_are_what_they_are_one_by_one(training, order, thresholds, smoothing):
    thresholds = thresholds[:order] if smoothing == "kneser-ney" else ()
    model = fit_ngram(training, V, order=order, prune_counts=thresholds, smoothing=smoothing)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ostinato.ngram.arpa._CHUNK", 7)
        lines = [line.split("\t") for line in written(model).split("\n") if "\t" in line]
    lines = [[text, *map(float, (score, *weight))] for score, text, *weight in lines if text != "<s>"]
    expected = list(one_by_one(model, ["</s>", *map(escape, NAMES[1:])]))
    assert [line[0] for line in lines] == [line[0] for line in expected]
    assert [line[1:] for line in lines] == [pytest.approx(line[1:], rel=1e-6, abs=1e-12) for line in expected]


@given(texts, texts, st.integers(1, 4), st.sampled_from([(), (0, 1)]))
def test_a_model_comes_back(tmp_path_factory, training, test, order, thresholds):
    model = fit_ngram(training, V, order=order, prune_counts=thresholds[:order])
    again, names = reading(tmp_path_factory.mktemp("arpa"), written(model), NAMES)
    assert names == NAMES
    np.testing.assert_allclose(again.score(test), model.score(test), atol=1e-5)
    saved = from_arrays(again.settings, again.arrays)
    np.testing.assert_array_equal(saved.score(test), again.score(test))


def test_saved_probabilities_must_be_float64():
    model = fit_ngram(np.array([1, 2, 0], dtype=np.uint16), V, order=2)
    model = from_arrays(
        {"smoothing": "arpa", "order": 1, "vocabulary_size": V},
        {"share.1": model.unigram(), "weight.1": np.zeros(1)},
    )
    assert np.exp(model.score(np.arange(V, dtype=np.uint16))).sum() == pytest.approx(1)
    with pytest.raises(BundleError, match="not float64"):
        from_arrays(model.settings, {"share.1": model.unigram().astype(np.float32), "weight.1": np.zeros(1)})


def test_names_are_the_file_s_own_words(tmp_path):
    model = fit_ngram(np.array([2, 1, 0, 2, 3, 4, 5, 6, 7, 0], dtype=np.uint16), V, order=3)
    again, names = reading(tmp_path, written(model))
    assert names == NAMES
    assert again.order == 3


def test_probabilities_are_the_file_s(tmp_path):
    model, names = reading(tmp_path, SMALL)
    assert names == ["</s>", "a", "b"]
    a_end = model.score(np.array([1, 0], dtype=np.uint16)) / math.log(10)
    np.testing.assert_allclose(a_end, [-0.1, -0.2], atol=1e-12)
    b_a_b = model.score(np.array([2, 1, 2], dtype=np.uint16)) / math.log(10)
    np.testing.assert_allclose(b_a_b, [-0.75 - 0.25, -0.3, -0.75 - 0.125], atol=1e-12)


def test_the_end_of_a_listed_ngram_need_not_be_listed(tmp_path):
    text = SMALL.replace("ngram 2=2", "ngram 2=2\nngram 3=1").replace("<s> a", "a b\t-0.5")
    model, names = reading(tmp_path, text.replace("\\end", "\\3-grams:\n-0.05\ta b a\n\n\\end"))
    ids = np.array([1, 2, 1], dtype=np.uint16)
    np.testing.assert_allclose(model.score(ids) / math.log(10), [-0.3 - 0.25, -0.1, -0.05], atol=1e-12)
    assert "-0.05\ta b a\n" in written(model, names)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\\data\\", "data", "the file ends too early"),
        ("\\end\\\n", "", "the file ends too early"),
        ("ngram 1=4", "ngram 2=4", "orders must be listed from 1"),
        ("ngram 1=4\nngram 2=2\n", "", "expected the numbers of n-grams"),
        ("\\2-grams:", "\\3-grams:", "expected \\\\2-grams:, got"),
        ("-0.5\t</s>", "x\t</s>", "line 6: expected a number, got 'x'"),
        ("-0.5\t</s>", "nan\t</s>", "expected a logarithm"),
        ("-0.5\t</s>", "-0.5 </s>", "expected a score, a tab and 1 words"),
        ("<s> a", "<s> a b", "expected a score, a tab and 2 words"),
        ("a </s>", "a <s>", "<s> can only begin"),
        ("a </s>", "c </s>", "the word 'c' is not in the vocabulary"),
        ("a </s>", "<s> a", "listed twice"),
        ("\\end", "\\3-grams:\n-0.1\tb a b\n\\end", "the 3-grams continue 'b a', which is not listed"),
    ],
)
def test_damaged_files_are_refused(tmp_path, old, new, message):
    text = SMALL.replace(old, new)
    if "3-grams:\n" in new:
        text = text.replace("ngram 2=2", "ngram 2=2\nngram 3=1")
    with pytest.raises(TextError, match=message):
        reading(tmp_path, text)


def same(one, other):
    assert one[1] == other[1]
    assert one[0].arrays.keys() == other[0].arrays.keys()
    for name, array in one[0].arrays.items():
        np.testing.assert_array_equal(array, other[0].arrays[name], strict=True)


@pytest.mark.parametrize("block", [1, 3, 1000])
def test_blocks_are_read_as_their_lines(tmp_path, monkeypatch, block):
    rng = np.random.default_rng(3)
    names = [
        "</s>",
        "a",
        "b" * 15,
        "c" * 16,
        "c" * 17,
        "d" * 40,
        "e\u00a0",
        "f\x0b",
        "桥",
        "月光光月光光",
        "b" * 14 + "x",
    ]
    model = fit_ngram(rng.integers(0, len(names), 400).astype(np.uint16), len(names), order=4)
    text = written(model, names).replace("e\\xa0", "e\u00a0").replace("f\\x0b", "f\x0b")
    monkeypatch.setattr("ostinato.ngram.arpa_reader._BLOCK", block)
    read = reading(tmp_path, text)
    assert reading(tmp_path, written(model, names), names)[1] == names
    same(read, reading(tmp_path, text.replace("\n", "\n \n")))
    same(read, reading(tmp_path, text.replace("\n", "\r\n")))
    same(read, reading(tmp_path, text.replace("\n", "\r")))
    monkeypatch.setattr("ostinato.ngram.arpa_reader.plain_lines", lambda *_: None)
    same(read, reading(tmp_path, text))


@pytest.mark.parametrize("block", [1, 4, 1000])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("-0.3\ta b c", "expected a score, a tab and 2 words"),
        ("-0.3\ta  b", "expected a score, a tab and 2 words"),
        ("-0.3 a b", "expected a score, a tab and 2 words"),
        ("-0.3\ta b\t-1\t-1", "expected a score, a tab and 2 words"),
        ("\ta b", "expected a number, got ''"),
        ("-0.3\ta b\t", "expected a number, got ''"),
        ("-0.3\ta b\tx", "expected a number, got 'x'"),
        ("301\ta b", "expected a logarithm, got '301'"),
        ("-inf\ta b", "expected a logarithm, got '-inf'"),
        ("-0.3\ta b\tnan", "expected a logarithm, got 'nan'"),
        ("-0.3\ta <s>", "<s> can only begin an n-gram"),
        ("-0.3\t</s> a", "<s> can only begin an n-gram and </s> only end it"),
        ("-0.3\ta a\x00", "the word 'a\\\\x00' is not in the vocabulary"),
        ("-0.3\ta aaaaaaaaaaaaaaaaaaaaaaa", "the word 'aaaaaaaaaaaaaaaaaaaaaaa' is not in the vocabulary"),
    ],
)
def test_a_bad_line_among_good_ones_is_named(tmp_path, monkeypatch, block, bad, message):
    monkeypatch.setattr("ostinato.ngram.arpa_reader._BLOCK", block)
    pairs = [f"-0.1\t{a} {b}" for a in ("<s>", "a", "b") for b in ("</s>", "a", "b")]
    text = SMALL.replace("ngram 2=2", "ngram 2=10").replace(
        "-0.1\t<s> a\n-0.2\ta </s>", "\n".join([*pairs[:5], bad, *pairs[5:]])
    )
    assert text.split("\n")[16] == bad
    with pytest.raises(TextError, match=f"line 17: {message}"):
        reading(tmp_path, text)


def test_sizes_that_no_file_has_cost_no_memory(tmp_path):
    with pytest.raises(TextError, match="expected a score"):
        reading(tmp_path, SMALL.replace("ngram 2=2", "ngram 2=999999999999999999"))
    with pytest.raises(TextError, match="expected the numbers of n-grams"):
        reading(tmp_path, SMALL.replace("ngram 2=2", f"ngram 2={'9' * 5000}"))
    with pytest.raises(TextError, match="expected the numbers of n-grams"):
        reading(tmp_path, SMALL.replace("ngram 1=4", f"ngram {'9' * 5000}=4"))


def test_levels_may_be_empty(tmp_path):
    text = SMALL.replace("ngram 2=2", "ngram 2=0\nngram 3=0")
    text = text.replace("-0.1\t<s> a\n-0.2\ta </s>\n", "\n\\3-grams:\n")
    model, names = reading(tmp_path, text)
    assert (model.order, model.sizes, names) == (3, (3, 0, 0), ["</s>", "a", "b"])
    assert reading(tmp_path, written(model, names))[0].sizes == (3, 0, 0)


def test_unknown_words_are_refused_and_other_encodings_read(tmp_path):
    with pytest.raises(TextError, match="line 9: the word 'b' is not in the vocabulary"):
        reading(tmp_path, SMALL, ["</s>", "a"])
    for data in (SMALL.encode("utf-16"), SMALL.replace("\n", "\r\n").encode("utf-8-sig")):
        (tmp_path / "other.arpa").write_bytes(data)
        assert written(*read_arpa(tmp_path / "other.arpa")) == written(*reading(tmp_path, SMALL))
    with pytest.raises(TextError, match="cannot read"):
        read_arpa(tmp_path / "missing.arpa")


def test_add_k_has_no_arpa_form():
    model = fit_ngram(np.array([1, 2, 0], dtype=np.uint16), V, order=2, smoothing="add-k")
    with pytest.raises(UsageError, match="add-k smoothing has no backoff weights"):
        written(model)


class Tokenizer:
    kind = "word"
    vocabulary_size = 5

    def token(self, token_id):
        return ["<end>", "</s>", "<E4>", "<E4>", "a"][token_id]


def test_token_names_are_distinct():
    names = token_names(Tokenizer())
    assert names == ["</s>", "</s>", "<E4>\\", "<E4>", "a"]


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf\xff"])
def test_a_mark_that_the_rest_does_not_keep(tmp_path, mark):
    path = tmp_path / "m.arpa"
    path.write_bytes(mark + SMALL.encode() + b"\n" * (len(SMALL) % 2 == 0))
    with pytest.raises(TextError):
        read_arpa(path)


def test_a_code_that_is_no_character_stays():
    assert unescape("\\u110000x") == "\\u110000x"
    assert unescape("\\u00006f") == "o"
