import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import UsageError
from ostinato.generation import TextModel, WriteRequest, write
from ostinato.generation.drafts import bytes_before
from ostinato.generation.sampling import Sampler
from ostinato.generation.stopping import Stop
from ostinato.text.tokenizers import build

TEXT = "# 分开\n春天的桥上\n你说雨停了\n我等你回来\n"
TOKENIZERS = [build(kind, [TEXT] * 2, 1) for kind in ("character", "word", "byte")]
CHARACTERS = TOKENIZERS[0]


def write_backward(model, tokenizer, prompt="", heading="", seed=0, sampler=None, **options):
    request = WriteRequest(prompt=prompt, seed=seed, sampler=sampler or Sampler(), **options)
    return write(TextModel(model, tokenizer, heading, backward=True), request)


class Reader:
    """Goes on with TEXT, read from right to left, wherever it stands in it; else with anything."""

    def __init__(self, tokenizer):
        self.vocabulary_size = tokenizer.vocabulary_size
        self.script = [0, *tokenizer.encode(TEXT.rstrip("\n")).tolist()[::-1], 0]

    def initial_state(self, batch):
        return ((),) * batch

    def step(self, ids, state):
        state = tuple((*row, int(i)) for row, i in zip(state, ids, strict=True))
        z = np.zeros((len(ids), self.vocabulary_size))
        for row, read in zip(z, state, strict=True):
            if list(read) == self.script[: len(read)]:
                row[self.script[len(read)]] = 40
        return z, state

    def select(self, state, rows):
        return tuple(state[r] for r in rows)


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda t: t.kind)
def test_a_text_is_written_from_its_end(tokenizer):
    (got,) = write_backward(Reader(tokenizer), tokenizer, heading="# ")
    assert (got.text, got.title, got.reason) == ("春天的桥上\n你说雨停了\n我等你回来", "分开", "end of document")
    (got,) = write_backward(Reader(tokenizer), tokenizer, "回来", stop=Stop(lines=2))
    assert (got.text, got.title, got.reason) == ("你说雨停了\n我等你回来", None, "lines")
    (got,) = write_backward(Reader(tokenizer), tokenizer, "我等你回来", stop=Stop(lines=1))
    assert got.text == "我等你回来"


def test_prompts_that_have_all_their_lines_are_finished():
    (a, b) = write_backward(Reader(CHARACTERS), CHARACTERS, "x\n雨停了", stop=Stop(lines=1), count=2)
    assert a.text == b.text == "雨停了"
    assert a.tokens == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.text(st.characters(exclude_categories=["Cs"]), max_size=5))
def test_any_prompt_ends_a_valid_text(seed, prompt):
    tokenizer = TOKENIZERS[seed % 3]
    rows = write_backward(Reader(tokenizer), tokenizer, prompt + "!", stop=Stop(tokens=25), count=2, seed=seed)
    for row in rows:
        assert row.text.endswith((prompt + "!").lstrip("\n"))
        assert "\ufffd" not in row.text.removesuffix(prompt + "!")
        assert row.tokens <= 25
    assert write_backward(Reader(tokenizer), tokenizer, prompt + "!", stop=Stop(tokens=25), seed=seed) == rows[:1]


def test_bytes_from_the_right_are_those_of_all_characters():
    for character in [
        *map(chr, range(0x80, 0xD800, 7)),
        *map(chr, range(0xE000, 0x110000, 997)),
        "\ud7ff",
        "\U0010ffff",
    ]:
        data = list(character.encode())
        for n in range(len(data)):
            assert any(low <= data[-1 - n] <= high for low, high in bytes_before(data[::-1][:n])), character
    for bad in (b"\xe0\x9f\xbf", b"\xed\xa0\x80", b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xc1\x80"):
        assert not any(low <= bad[0] <= high for low, high in bytes_before(list(bad[:0:-1])))


def test_limits_and_wrong_use():
    model = Reader(CHARACTERS)
    assert write_backward(model, CHARACTERS, "x", stop=Stop(tokens=3))[0].reason == "tokens"
    model.script = [0, *[CHARACTERS.encode("雨")[0]] * 1000]
    assert write_backward(model, CHARACTERS, stop=Stop(lines=1), sampler=Sampler(temperature=0))[0].reason == "limit"
    with pytest.raises(UsageError, match="cannot stop at a text"):
        write_backward(model, CHARACTERS, stop=Stop(texts=("x",)))
    with pytest.raises(UsageError, match="count must be 1 or more, got 0"):
        write_backward(model, CHARACTERS, count=0)


def test_a_title_cannot_be_given():
    with pytest.raises(UsageError, match="would read the title last: leave the title '分开' out"):
        write_backward(Reader(CHARACTERS), CHARACTERS, title="分开", heading="# ")
