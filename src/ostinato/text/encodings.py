"""Which encoding a file is in: its byte order mark, else UTF-8 strictly, else a guess that is reported as one.

The guess is among GB18030, Big5, UTF-16 without a mark, Shift-JIS and cp1252. A text in the wrong one of them still
often decodes, but into characters that nobody writes; so each is scored by the share of its characters that are
common in the language the encoding is for.
"""

import codecs
import re
import unicodedata
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from ostinato.errors import TextError, UsageError

CHUNK = 1 << 20
_SAMPLE = 1 << 18
_MARKS = [(codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF8, "utf-8-sig"),
          (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")]  # fmt: skip


class Detected(NamedTuple):
    """An encoding's name for `codecs`, and whether it is only a guess."""

    encoding: str
    guessed: bool


def check_encoding(name: str) -> str:
    """The name, if Python can decode text with it; UTF-8 then drops a byte order mark. Raises UsageError if not."""
    try:
        "x".encode(name)  # refuses codecs that are not of text
        known = codecs.lookup(name).name
    except (LookupError, ValueError):
        raise UsageError(f"unknown encoding {name!r}: give one such as utf-8, gb18030, big5, shift_jis") from None
    return "utf-8-sig" if known == "utf-8" else name


def detect(stream: BinaryIO, name: str) -> Detected:
    """The encoding of a stream that can be read from its start again. `name` is for messages.

    Reads all of it. Raises TextError for a binary file, an almost valid UTF-8 text, or no fitting encoding.
    """
    head = stream.read(_SAMPLE)
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return Detected(encoding, False)
    if b"\0" in head:
        if order := _utf16(head):
            return Detected(order, True)
        raise TextError(f"{name} looks like a binary file, not a text")
    stream.seek(0)
    fault = _first_fault(stream, "utf-8", name)
    if fault is None:
        return Detected("utf-8", False)
    sample = _sample(stream, fault)
    if _nearly_utf8(sample):
        raise TextError(f"{name} is UTF-8 except for byte {fault}: repair it, or name its encoding")
    for encoding in _ranking(sample):
        stream.seek(0)
        if _first_fault(stream, encoding, name) is None:
            return Detected(encoding, True)
    raise TextError(f"{name} is in no encoding that could be recognised (byte {fault} is not UTF-8): name its encoding")


def _first_fault(stream: BinaryIO, encoding: str, name: str) -> int | None:
    """Offset of the first byte that does not decode; None if all do. Raises TextError at a zero byte."""
    decoder = codecs.getincrementaldecoder(encoding)()
    end = 0
    while True:
        chunk = stream.read(CHUNK)
        end += len(chunk)
        if b"\0" in chunk:
            raise TextError(f"{name} looks like a binary file, not a text")
        try:
            decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            return fault_offset(end, error)
        if not chunk:
            return None


def fault_offset(end: int, error: UnicodeDecodeError) -> int:
    """Offset of the byte that an incremental decoder stopped at, when `end` bytes of a stream had been read."""
    return end - len(error.object) + error.start


def _sample(stream: BinaryIO, fault: int) -> bytes:
    """Bytes from the start of the line of the fault on, so that no character is cut.

    A line feed is a character of its own in all candidates, and what comes before the fault is most likely ASCII.
    """
    start = max(0, fault - 4096)
    stream.seek(0)
    left = start
    while left:  # no seeking: the member of a zip would read all the same
        left -= len(stream.read(min(left, CHUNK)))
    sample = stream.read(_SAMPLE)
    line = sample.rfind(b"\n", 0, fault - start) + 1
    return sample[line if line or not start else fault - start :]


def _nearly_utf8(sample: bytes) -> bool:
    text = sample.decode("utf-8", "replace")
    wrong = text.count("\ufffd")
    return sum(not character.isascii() for character in text) - wrong >= 10 * wrong


def _utf16(head: bytes) -> str | None:
    """UTF-16 without a mark, by the byte order in which more blanks, line feeds, letters and CJK marks appear."""
    best, most = "", 0
    for encoding in ("utf-16-le", "utf-16-be"):
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(head)
        except UnicodeDecodeError:
            continue
        odd = sum(unicodedata.category(c) in ("Cc", "Cn", "Co") and c not in "\t\n\r\f" for c in text)
        usual = len(re.findall("[ \r\nA-Za-z,.、。，！？的]", text))
        if odd * 100 <= len(text) and usual > most:
            best, most = encoding, usual
    return best or None


def _ranking(sample: bytes) -> list[str]:
    """The candidates in which most of the sample's characters are common ones, best first."""
    scores = {}
    for encoding, score in _SCORES.items():
        try:  # incrementally: the sample may end inside a character
            text = codecs.getincrementaldecoder(encoding)().decode(sample)
        except UnicodeDecodeError:
            continue
        scores[encoding] = score([character for character in text if not character.isascii()], sample)
    likely = [encoding for encoding, score in scores.items() if score >= 0.5]
    return sorted(likely, key=lambda encoding: -scores[encoding])


def _lead_share(encoding: str, *leads: tuple[int, int]) -> Callable[[list[str], bytes], float]:
    """Share of characters whose first byte in `encoding` lies in one of the ranges of its common characters."""

    def score(characters: list[str], sample: bytes) -> float:
        common = 0
        for character in characters:
            code = character.encode(encoding, "ignore")
            common += len(code) == 2 and any(low <= code[0] <= high for low, high in leads)
        return common / max(1, len(characters))

    return score


def _japanese(characters: list[str], sample: bytes) -> float:
    """Level 1 Kanji, Kana and punctuation, if there are Kana: no Japanese text is without."""
    kana = sum("\u3041" <= character <= "\u30fc" for character in characters)
    if kana * 10 < len(characters):
        return 0.0
    return _lead_share("shift_jis", (0x81, 0x83), (0x88, 0x97))(characters, sample)


def _western(characters: list[str], sample: bytes) -> float:
    """Share of bytes beyond ASCII that stand alone: accents and quotation marks among ASCII letters."""
    runs = re.findall(rb"[\x80-\xff]+", sample)
    return sum(len(run) == 1 for run in runs) / max(1, len(characters))


_SCORES: dict[str, Callable[[list[str], bytes], float]] = {
    "gb18030": _lead_share("gb2312", (0xA1, 0xA3), (0xB0, 0xD7)),  # level 1 of GB 2312
    "big5": _lead_share("big5", (0xA1, 0xA3), (0xA4, 0xC6)),  # level 1 of Big5
    "shift_jis": _japanese,
    "cp1252": _western,
}
