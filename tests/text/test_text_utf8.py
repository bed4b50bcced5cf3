"""The UTF-8 automaton against Python's own decoder, and text that grows token by token."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.text import TextStream, Utf8State, build

TOKENIZER = build("word", ["the cat\nthe cat\n"], 1)


def is_start_of_utf8(data: bytes) -> bool:
    """Whether some continuation of `data` is valid UTF-8, by Python's decoder."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return True


def test_bytes_allowed_are_those_that_utf8_allows_but_control_characters() -> None:
    starts = [b"", b"a", b"\xc3", b"\xe4", b"\xe4\xb8", b"\xe0", b"\xed", b"\xf0", b"\xf1", b"\xf4", b"\xf0\x9f",
              b"\xf0\x9f\x8e", "中".encode()]  # fmt: skip
    for start in starts:
        state = Utf8State(TOKENIZER)
        for byte in start:
            state.push(byte + 1)
        allowed = state.allowed()
        assert allowed.shape == (TOKENIZER.vocabulary_size,)
        control = [byte for byte in (*range(0x20), 0x7F) if byte not in b"\t\n"]
        assert allowed[1:257].tolist() == [
            is_start_of_utf8(start + bytes([byte])) and byte not in control for byte in range(256)
        ]
        whole = is_start_of_utf8(start + b"a")
        assert state.complete == whole
        assert allowed[0] == whole
        assert (allowed[257:] == whole).all()


@settings(max_examples=50)
@given(st.integers(0, 2**32))
def test_what_is_drawn_under_the_mask_decodes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    state, ids = Utf8State(TOKENIZER), []
    while len(ids) < 40 or not state.complete:
        ids.append(int(rng.choice(np.flatnonzero(state.allowed()))))
        state.push(ids[-1])
    assert "\ufffd" not in TOKENIZER.decode(np.array(ids))


def test_states_are_values() -> None:
    state = Utf8State(TOKENIZER)
    state.push(0xE4 + 1)
    other = state.copy()
    other.push(0xB8 + 1)
    other.push(0xAD + 1)
    assert other.complete
    assert not state.complete
    state.push(257)  # broken, and begun afresh
    assert state.complete


STREAMED = [build(kind, ["the cat\nthe cat €\n", " the cat \n" * padded], 1)
            for kind in ("character", "word", "byte", "whitespace") for padded in (0, 5)]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 400), max_size=30))
def test_a_stream_gives_what_decoding_gives(numbers: list[int]) -> None:
    for tokenizer in STREAMED:
        ids = [number % tokenizer.vocabulary_size for number in numbers]
        stream = TextStream(tokenizer)
        pieces = [stream.push(number) for number in ids]
        assert "".join([*pieces, stream.flush()]) == tokenizer.decode(np.array(ids, np.uint32))


@given(st.text(st.characters(codec="utf-8")))
def test_a_stream_holds_back_unfinished_characters_only(text: str) -> None:
    for tokenizer in STREAMED:
        stream = TextStream(tokenizer)
        assert "".join(stream.push(int(number)) for number in tokenizer.encode(text)) == text
        assert stream.flush() == ""
