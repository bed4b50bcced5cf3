import io
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import BundleError, TextError, UsageError
from ostinato.ngram.arpa import escape, token_names, unescape, write_arpa
from ostinato.ngram.arpa_reader import read_arpa
from ostinato.ngram.fit import fit_ngram, from_arrays

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


def test_unknown_words_and_other_encodings_are_refused(tmp_path):
    with pytest.raises(TextError, match="line 9: the word 'b' is not in the vocabulary"):
        reading(tmp_path, SMALL, ["</s>", "a"])
    (tmp_path / "utf16.arpa").write_bytes(SMALL.encode("utf-16"))
    with pytest.raises(TextError, match="is not UTF-8"):
        read_arpa(tmp_path / "utf16.arpa")
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
