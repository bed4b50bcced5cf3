"""Detection of encodings: exact where it is marked, right on short samples, refused rather than wrong."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import TextError, UsageError
from ostinato.text.encodings import check_encoding, detect

SIMPLIFIED = "雨下了一整夜，我们不说话\n巷口有盏灯，跟着它走\n"
TRADITIONAL = "雨下了一整夜，我們不說話\n巷口有盞燈，跟著它走\n"
JAPANESE = "雨のあとの坂道を、ぼくらは自転車で下りていく。\nカメラを持って、海まで歩いた。\n"
WESTERN = "Le garçon a mangé sa crème près de la fenêtre, là où l’été s’achève.\nDie Straße führt über den Hügel.\n"
TEXTS = [("gb18030", SIMPLIFIED), ("gb18030", f"2021-03-04,{SIMPLIFIED[:2]},OK\n"), ("big5", TRADITIONAL),
         ("shift_jis", JAPANESE), ("cp1252", WESTERN), ("cp1252", "café\n")]  # fmt: skip


def found(data: bytes) -> tuple[str, bool]:
    return tuple(detect(io.BytesIO(data), "x.txt"))  # type: ignore[return-value]


@pytest.mark.parametrize("text", ["", "plain", SIMPLIFIED, WESTERN, "𠮷" * 300_000])
def test_utf8_is_certain(text: str) -> None:
    assert found(text.encode()) == ("utf-8", False)


@pytest.mark.parametrize(
    ("encoding", "codec"),
    [("utf-8-sig", "utf-8-sig"), ("utf-16", "utf-16"), ("utf-32", "utf-32")],
)
def test_a_mark_is_certain(encoding: str, codec: str) -> None:
    data = WESTERN.encode(encoding)
    assert found(data) == (codec, False)
    assert data.decode(found(data)[0]) == WESTERN


@pytest.mark.parametrize(("encoding", "text"), TEXTS)
def test_legacy_encodings_are_guessed(encoding: str, text: str) -> None:
    for sample in (text, text.splitlines(keepends=True)[0], text * 50):
        assert found(sample.encode(encoding)) == (encoding, True)


@pytest.mark.parametrize("order", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", [SIMPLIFIED, JAPANESE, WESTERN, "one\n", "一\n"])
def test_utf16_without_a_mark_is_guessed(order: str, text: str) -> None:
    assert found(text.encode(order)) == (order, True)


def test_the_sample_is_taken_where_the_text_stops_being_ascii() -> None:
    head = b"Copyright notice in English\n" * 50_000
    assert found(head + SIMPLIFIED.encode("gb18030")) == ("gb18030", True)
    assert found(b"x" * 2_000_000 + JAPANESE.encode("shift_jis")) == ("shift_jis", True)


def test_a_guess_fits_the_whole_text() -> None:
    text = TRADITIONAL * 20_000
    with pytest.raises(TextError, match=r"x.txt is in no encoding that could be recognised \(byte 0 is not UTF-8\)"):
        found(text.encode("big5") + b"\xff\xff\n")


def test_nearly_utf8_is_an_error_not_a_guess() -> None:
    data = bytearray((SIMPLIFIED * 9).encode())
    data[100] = 0xFF
    with pytest.raises(TextError, match=r"x.txt is UTF-8 except for byte 98: repair it, or name its encoding"):
        found(bytes(data))


@pytest.mark.parametrize("data", [
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06", b"\x7fELF\x02\x01\x01\0\0\0\0", b"\0" * 100,
    b"text " * 60_000 + b"\0" + b"text",
])  # fmt: skip
def test_binary_files_are_refused(data: bytes) -> None:
    with pytest.raises(TextError, match=r"x.txt looks like a binary file, not a text"):
        found(data)


@pytest.mark.parametrize("data", [bytes(range(128, 256)) * 4, "Выхожу один я на дорогу".encode("koi8-r")])
def test_what_is_no_candidate_is_refused(data: bytes) -> None:
    with pytest.raises(TextError, match="name its encoding"):
        found(data)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_decided_or_refused(data: bytes) -> None:
    try:
        encoding, guessed = found(data)
    except TextError:
        return
    assert guessed or encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32")
    if encoding == "utf-8":
        data.decode()


def test_names_of_encodings() -> None:
    assert check_encoding("utf8") == "utf-8-sig"
    assert check_encoding("GBK") == "GBK"
    for name in ("klingon", "hex", "rot13", "a\0b"):
        with pytest.raises(UsageError, match="unknown encoding"):
            check_encoding(name)
