"""The tokenizers' contract: nothing fails, nothing is lost, and the ids are laid out as promised."""

import itertools
import json
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import BundleError, SettingsError, TextError, UsageError
from ostinato.protocols import Tokenizer
from ostinato.text.tokenizers import BaseTokenizer, build, counting, default_min_count, from_json

KINDS = ["character", "word", "byte", "whitespace"]
SAMPLES = {
    "empty": [""],
    "tiny": ["a b\n"],
    "english": ["The cat sat, didn't it?\nThe cat didn't sit.\n", "the the cat\n"],
    "padded": [" \n = The cat = \n \n The cat sat . \n The cat sat . \n"],
    "chinese": ["我们在雨里走，我们在雨里唱\n雨下了一整夜，我们不说话\n"],
    "other": ["สวัสดีชาวโลก ひらがなカタカナ हिन्दी हिन्दी 한국어 𠮷𠮷 e\u0301 ﷽ 👨‍👩‍👧\n" * 2],
}
TOKENIZERS = {
    f"{kind}-{name}": build(kind, pieces, least)
    for (kind, (name, pieces)), least in zip(
        itertools.product(KINDS, SAMPLES.items()), itertools.cycle([1, 2, 1, None, 2, None]), strict=False
    )
}
# all of Unicode, and texts that look like what the vocabularies hold
FRAGMENTS = ["the", "The", " ", "  ", "\n", " \n", "cat", " cat", "didn't", "'", "我们", "雨", "。", "=", ".", "\r\n",
             "\t", "\u3000", "हिन्दी", "한국어", "e\u0301", "ひ", "\0", "\ufeff", "\u2028", "\x1c", "\x85"]  # fmt: skip
TEXTS = st.text(st.characters(codec="utf-8")) | st.lists(
    st.sampled_from(FRAGMENTS) | st.characters(codec="utf-8"), max_size=30
).map("".join)


@pytest.fixture(params=TOKENIZERS)
def tokenizer(request: pytest.FixtureRequest) -> BaseTokenizer:
    return TOKENIZERS[request.param]


@settings(max_examples=300, deadline=None)
@given(text=TEXTS)
def test_nothing_is_lost(text: str) -> None:
    for tokenizer in TOKENIZERS.values():
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        assert ids.dtype == tokenizer.dtype
        assert ids.shape == (len(ids),)
        assert (ids > 0).all()
        assert (ids < tokenizer.vocabulary_size).all()


@settings(max_examples=100, deadline=None)
@given(first=TEXTS, second=TEXTS)
def test_encoding_piece_by_piece_is_encoding_the_whole(first: str, second: str) -> None:
    first += "\n"
    for tokenizer in TOKENIZERS.values():
        parts = np.concatenate([tokenizer.encode(first), tokenizer.encode(second)])
        np.testing.assert_array_equal(tokenizer.encode(first + second), parts)


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(TEXTS, max_size=4))
def test_documents_are_encoded_with_an_end_each(texts: list[str]) -> None:
    for tokenizer in TOKENIZERS.values():
        ids = tokenizer.encode_documents(texts)
        expected = [number for text in texts for number in (*tokenizer.encode(text).tolist(), 0)]
        assert ids.tolist() == expected
        assert ids.dtype == tokenizer.dtype


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30, deadline=None)
@given(text=TEXTS)
def test_a_tokenizer_of_any_text_loses_nothing_of_it(kind: str, text: str) -> None:
    tokenizer = build(kind, [text], 1)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert from_json(json.loads(json.dumps(tokenizer.to_json()))) == tokenizer


@settings(max_examples=200, deadline=None)
@given(ids=st.lists(st.integers(0, 256), max_size=12))
def test_any_bytes_decode(ids: list[int]) -> None:
    expected = bytes(number - 1 for number in ids if number).decode("utf-8", "replace")
    for tokenizer in TOKENIZERS.values():
        assert tokenizer.decode(np.array(ids, np.uint16)) == expected


def test_layout_of_ids(tokenizer: BaseTokenizer) -> None:
    size = tokenizer.vocabulary_size
    assert isinstance(tokenizer, Tokenizer)
    assert size == 257 + len(tokenizer.characters) + len(tokenizer.words)
    assert tokenizer.token(0) == "<end>"
    assert [tokenizer.token(number) for number in (1, 0xE4 + 1, 256)] == ["<00>", "<E4>", "<FF>"]
    names = [tokenizer.token(number) for number in range(257, size)]
    assert names == [*tokenizer.characters, *tokenizer.words]
    assert tokenizer.decode([0, 0]) == ""


def test_vocabulary_is_ordered_by_count_then_code_point() -> None:
    tokenizer = build("character", ["cab", "bca", "c€", "d"], 1)
    assert tokenizer.characters == "cabd€"
    assert build("character", ["cab", "bca", "c€", "d"]).characters == "cab"
    assert tokenizer.encode("c€x").tolist() == [257, 261, ord("x") + 1]


def test_rare_characters_are_bytes_in_place() -> None:
    tokenizer = build("character", ["ab" * 3], 2)
    spelled = [[byte + 1 for byte in text.encode()] for text in ("z", "é", "我", "𠮷")]
    a, b = tokenizer.encode("ab").tolist()
    assert tokenizer.encode("zaéb我𠮷").tolist() == [*spelled[0], a, *spelled[1], b, *spelled[2], *spelled[3]]


def test_bytes_are_the_utf8_form() -> None:
    tokenizer = build("byte", iter([]))
    assert tokenizer.vocabulary_size == 257
    assert (tokenizer.encode("aé") - 1).tobytes() == bytes([0x61, 0, 0xC3, 0, 0xA9, 0])


def test_words_of_several_scripts() -> None:
    text = "Don't stop, l’été 2024!\n我们说话 once\nहिन्दी한국어ひら\n"
    tokenizer = build("word", [text], 1)
    names = [tokenizer.token(number) for number in tokenizer.encode(text)]
    assert names == ["Don't", " stop", ",", " l’été", " 2024", "!", "\n", "我们", "说话", " once", "\n",
                     "हिन्दी한국어", "ひ", "ら", "\n"]  # fmt: skip


def test_rare_words_are_spelled_and_rare_characters_too() -> None:
    tokenizer = build("word", ["the cat\nthe cat\nthe hat\n"])
    names = [tokenizer.token(number) for number in tokenizer.encode("the hat cat ćat\ncat")]
    assert names == ["the", " ", "h", "a", "t", " cat", " ", "<C4>", "<87>", "a", "t", "\n", "c", "a", "t"]
    assert [tokenizer.token(number) for number in tokenizer.encode("cat the")][-2:] == [" ", "the"]


def test_whitespace_words_imply_their_blanks() -> None:
    tokenizer = build("whitespace", ["the cat sat\nthe <unk> sat\n"])
    assert not tokenizer.to_json()["padded"]
    names = [tokenizer.token(number) for number in tokenizer.encode("the <unk> sat\n  the\tcat dog")]
    assert names == ["the", "<unk>", "sat", "\n", " ", " ", "the", "<09>", "cat", " ", "<64>",
                     "<6F>", "<67>"]  # fmt: skip


def test_padded_lines_are_found_and_cost_no_tokens() -> None:
    text = " \n = The cat = \n \n The cat sat . \n"
    tokenizer = build("whitespace", [text])
    assert tokenizer.to_json()["padded"]
    assert len(tokenizer.encode(text)) == len(text.split()) + text.count("\n")


WIKITEXT = Path(__file__).parents[3] / "shared/data/wikitext-2.zip"


@pytest.mark.skipif(not WIKITEXT.exists(), reason=f"{WIKITEXT.name} is not there")
def test_whitespace_counts_are_the_published_ones() -> None:
    with zipfile.ZipFile(WIKITEXT) as archive:
        train, valid, test = (archive.read(f"wikitext-2/{part}.txt").decode() for part in ("train", "valid", "test"))
    tokenizer = build("whitespace", [train])
    ids = [tokenizer.encode(text) for text in (train, valid, test)]
    assert [len(part) for part in ids] == [2_088_628, 217_646, 245_569]
    assert len(np.unique(ids[0])) == len(tokenizer.words) == 33_278
    assert [tokenizer.decode(part) for part in ids] == [train, valid, test]


@pytest.mark.parametrize("kind", KINDS)
def test_lone_surrogates_are_refused(kind: str) -> None:
    with pytest.raises(TextError, match=r"lone surrogate U\+D800 at character 1"):
        TOKENIZERS[f"{kind}-english"].encode("a\ud800")
    if kind != "byte":
        with pytest.raises(TextError, match="lone surrogate"):
            build(kind, ["a\ud800"])


def test_character_lengths_add_up() -> None:
    for name, tokenizer in TOKENIZERS.items():
        text = "The cat €𠮷 sat\n我们在\n"
        if not (name.startswith("whitespace") and "padded" not in name):  # implied blanks belong to no token
            assert tokenizer.character_lengths()[tokenizer.encode(text)].sum() == len(text)


def test_equality_is_that_of_the_description() -> None:
    assert build("character", ["aab"], 1) == build("character", ["aab"], 1)
    assert hash(build("character", ["aab"], 1)) == hash(build("character", ["aab"], 1))
    assert build("character", ["aab"], 1) != build("character", ["aab"], 2)
    assert build("word", ["a"], 1) != build("whitespace", ["a"], 1)
    assert build("byte", []) != "byte"
    assert repr(build("byte", [])) == "<byte tokenizer of 257 tokens>"


def test_large_vocabularies_take_four_bytes() -> None:
    tokenizer = build("whitespace", [" ".join(map(str, range(70_000)))])
    assert tokenizer.dtype == np.uint32
    assert tokenizer.decode(tokenizer.encode("0 69999 1")) == "0 69999 1"
    assert build("whitespace", ["a b"]).dtype == np.uint16


def test_counting_words_keeps_within_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MAX_DISTINCT_WORDS", 10)
    counter = counting.WordCounter()
    counter.add(["often"] * 5)
    for number in range(100):
        counter.add([f"once{number}", "often"])
    assert counter.vocabulary(2) == ["often"]
    assert len(counter.vocabulary(1)) <= 10


def test_overlong_words_stay_out() -> None:
    word = "x" * 101
    tokenizer = build("whitespace", [f"{word} {word} {word[:100]}"])
    assert tokenizer.words == (word[:100],)
    assert tokenizer.decode(tokenizer.encode(word)) == word


def test_words_agree_with_a_plain_count() -> None:
    text = "b a b\nc a b\n"
    counts = Counter(text.split())
    assert list(build("whitespace", [text]).words) == sorted(counts, key=lambda word: (-counts[word], word))


def test_defaults_and_wrong_settings() -> None:
    assert [default_min_count(kind) for kind in KINDS] == [2, 2, 2, 1]
    with pytest.raises(SettingsError, match="min_count must be 1 or more, got 0"):
        build("word", ["a"], 0)
    with pytest.raises(SettingsError, match="must be one of character, word, byte, whitespace, got 'phrase'"):
        build("phrase", ["a"])


@pytest.mark.parametrize("ids", [[999_999], [-1], [0.5], [[1, 2]]])
def test_wrong_ids_are_refused(tokenizer: BaseTokenizer, ids: list[int]) -> None:
    with pytest.raises(UsageError, match="token ids must"):
        tokenizer.decode(ids)
    with pytest.raises(UsageError, match="token ids must lie"):
        tokenizer.token(tokenizer.vocabulary_size)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"kind": "phrase"},
        {"kind": "character", "characters": 7},
        {"kind": "character", "characters": "aa"},
        {"kind": "character", "characters": "\ud800"},
        {"kind": "word", "words": "the"},
        {"kind": "word", "words": ["the", ""]},
        {"kind": "word", "words": ["the", "the"]},
        {"kind": "whitespace", "padded": 1},
    ],
)
def test_damaged_descriptions_are_refused(data: dict[str, object]) -> None:
    with pytest.raises(BundleError, match="tokenizer"):
        from_json(data)
