"""Which encoding a file is in: its byte order mark, else UTF-8 strictly, else a guess that is reported as one.

`read_user_text` reads the short texts of a user: recipes, forms, commands.

The guess is chardet's (decision 125 compares it with others), among the encodings that people's texts still come in.
Where several candidates fit about as well and read different texts, none is taken: the error shows a line of each.
"""

import codecs
import io
import os
import re
import sys
import unicodedata
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from ostinato.errors import TextError, UsageError

LARGEST_USER_TEXT = 16 << 20
"""Bytes of a recipe or a form."""

CHUNK = 1 << 20
_SAMPLE = 1 << 18
_MARKS = [(codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF8, "utf-8-sig"),
          (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")]  # fmt: skip
_CODECS = {
    "gb18030": ("gb18030",), "big5hkscs": ("big5", "big5hkscs"), "cp932": ("shift_jis", "cp932"),
    "euc_jis_2004": ("euc_jp", "euc_jis_2004"), "cp949": ("cp949",), "euc_kr": ("cp949",), "cp1252": ("cp1252",),
    "cp1250": ("cp1250",), "iso8859-2": ("iso8859-2",), "iso8859-15": ("cp1252", "iso8859-15"), "cp1254": ("cp1254",),
    "cp1257": ("cp1257",), "cp1258": ("cp1258",), "cp1251": ("cp1251",), "koi8-r": ("koi8-r",), "koi8-u": ("koi8-u",),
    "cp866": ("cp866",), "cp1253": ("cp1253",), "cp1255": ("cp1255",), "cp1256": ("cp1256",), "cp874": ("cp874",),
    "mac-roman": ("mac-roman",), "cp850": ("cp850",), "mac-cyrillic": ("mac-cyrillic",), "iso8859-5": ("iso8859-5",),
    "mac-latin2": ("mac-latin2",), "cp852": ("cp852",),
}  # fmt: skip
"""What a guess may be, and the codecs to read it with: the first that decodes the whole file, the most usual first."""
_LATIN = ("cp1252", "cp1250", "iso8859-2", "iso8859-15", "cp1254", "cp1257", "cp1258", "mac-roman", "cp850",
          "mac-latin2", "cp852")  # fmt: skip
_SHIFT, _PLUS = re.compile(rb"\x1b[$(&]|~\{[!-}]{2}"), re.compile(rb"\+[A-Za-z0-9+/]{3}")
"""What shifts to another character set in ISO-2022 and HZ, and in UTF-7."""
_SEVEN_BITS = ("iso2022_jp_2", "iso2022_jp_ext", "iso2022_kr", "hz")
_SCRIPTS = ("cp1252", "gb2312", "big5", "cp932", "euc_kr", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256",
            "cp1257", "cp1258", "cp874")  # fmt: skip
"""Encodings that together cover the scripts: of any text of one script, one of them has nearly all letters."""
_CLOSE, _SURE, _HOPELESS = 0.9, 0.1, 0.013
"""A candidate of `_CLOSE` times the best confidence is as good, unless that is `_SURE`; below `_HOPELESS`, none is."""
_WEIGHTS: dict[str | tuple[str, str | None], float] = {
    "mac-cyrillic": 0.92, "mac-latin2": 0.95, "cp850": 0.92, "cp852": 0.92, "cp1258": 0.5,
    "cp1252": 1.15, ("cp1252", "is"): 0.95,
}  # fmt: skip
"""How much more or less than chardet counts we expect an encoding. Icelandic and Turkish share their letters' bytes."""

_WORD_OR_NUMBER = re.compile(
    rb"[A-Za-z]?[a-z]+(?:[A-Z][a-z]+)*[0-9]*[a-z]?|[A-Z]+[0-9]*|[A-Z]+[a-z]{2,}|[A-Za-z]?[0-9A-F]+|0x[0-9A-Fa-f]+"
    rb"|[0-9]+[a-z]{1,3}|[a-z][0-9][a-z]"
)
"""What follows a plus sign in plain texts: `evidence`, `writeRow`, `IBM`, `mp4`, `U64`, `i2c`."""
_LOOKED_AT = 20_000
"""Characters of a reading that are examined one by one."""
_RARE = {"cp1252": "ŠšŽžŸƒ", "iso8859-15": "ŠšŽžŸ", "cp1254": "ŠšŸƒ", "cp1251": "ЂЃЉЊЌЋЏ",
         "mac-cyrillic": "јЈЋћЌќ"}  # fmt: skip
"""Letters of an encoding that its languages hardly use; read as a Mac's, the bytes are those of ä, ö, ü, é."""
_WITHIN = "’‘ʼ‐‑–—…™®°²³ªº"
"""What may stand in a word, or right after one."""
_ALONE = "§¶†‡‰"
"""Signs that never stand next to a letter."""


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

    Reads all of it. Raises TextError for a binary file, an almost valid UTF-8 text, and where no encoding fits or
    several do.
    """
    head = stream.read(_SAMPLE)
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return Detected(encoding, False)
    if b"\0" in head:
        if _mostly_ascii(head):
            raise TextError(f"{name} has zero bytes between its letters (the first is byte {head.index(0)}): "
                            "remove them, for example with tr -d '\\0'")  # fmt: skip
        if order := _utf16(head):
            return Detected(order, True)
        raise _binary(name)
    stream.seek(0)
    scan = _Scan("utf-8", name)
    fault = scan.first_fault(stream)
    if fault is None:
        return _seven_bits(stream, scan)
    sample = _sample(stream, fault)
    if _nearly_utf8(sample):
        raise TextError(f"{name} is UTF-8 except for byte {fault}: repair it, or name its encoding")
    return Detected(_guess(stream, sample, fault, name), True)


def decode(data: bytes, name: str) -> str:
    """The text of `data`, in whatever encoding, without a byte order mark and with `\\n` as its newline. `name` is for
    messages. Raises TextError as `detect` does."""
    encoding = detect(io.BytesIO(data), name).encoding
    try:
        text = data.decode(encoding)
    except UnicodeError as error:  # a mark promised what does not follow
        raise TextError(f"{name} is not {encoding}: {error}") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_user_text(path: str | os.PathLike[str]) -> str:
    """A short text of a user (a recipe, a form), whole, read as `decode` does; `-` is standard input.

    Raises OSError, TextError.
    """
    if os.fspath(path) != "-":
        with open(path, "rb") as file:
            content = file.read(LARGEST_USER_TEXT + 1)
        if len(content) > LARGEST_USER_TEXT:
            raise TextError(f"{os.fspath(path)} has more than the {LARGEST_USER_TEXT:,} bytes that are read here")
        return decode(content, os.fspath(path))
    stream = getattr(sys.stdin, "buffer", None)
    return sys.stdin.read() if stream is None else decode(stream.read(), "standard input")


def _binary(name: str) -> TextError:
    return TextError(f"{name} looks like a binary file, not a text")


class _Scan:
    """One pass over a whole stream. `shift`, `plus`: where an ASCII text first has what shifts to another character
    set."""

    def __init__(self, encoding: str, name: str) -> None:
        self._decoder, self._name = codecs.getincrementaldecoder(encoding)(), name
        self.shift: int | None = None
        self.plus: int | None = None

    def first_fault(self, stream: BinaryIO) -> int | None:
        """Offset of the first byte that does not decode; None if all do. Raises TextError at a zero byte."""
        end = 0
        ascii_only = True
        while True:
            chunk = stream.read(CHUNK)
            if b"\0" in chunk:
                raise _binary(self._name)
            ascii_only = ascii_only and chunk.isascii()
            if ascii_only and self.shift is None and (shift := _SHIFT.search(chunk)):
                self.shift = end + shift.start()
            if ascii_only and self.plus is None and (plus := _PLUS.search(chunk)):
                self.plus = end + plus.start()
            end += len(chunk)
            try:
                self._decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                return fault_offset(end, error)
            except UnicodeError:  # a codec that does not say where
                return max(0, end - len(chunk))
            if not chunk:
                if not ascii_only:
                    self.shift = self.plus = None
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


def _mostly_ascii(head: bytes) -> bool:
    """Whether a text with zero bytes is ASCII apart from them; every other byte of UTF-16 would be zero, or none is."""
    zeros = head.count(0)
    printable = len(re.findall(rb"[\t\n\r -~]", head))
    return zeros * 5 < len(head) and (zeros + printable) * 50 >= len(head) * 49


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


def _seven_bits(stream: BinaryIO, scan: _Scan) -> Detected:
    """UTF-7, ISO-2022 or HZ, if the ASCII text from its first shift on is one of them throughout, else UTF-8."""
    for encoding, shift in (("utf-7", scan.plus), *((one, scan.shift) for one in _SEVEN_BITS)):
        if shift is None:
            continue
        sample = _sample(stream, shift)
        text = _decoded(sample, encoding)
        if text is None or text.isascii():
            continue
        if (encoding == "hz" and not _is_usual_chinese(text)) or (encoding == "utf-7" and not _is_utf7(text, sample)):
            continue
        stream.seek(0)
        if _Scan(encoding, "").first_fault(stream) is None:
            return Detected(encoding, True)
    return Detected("utf-8", False)


def _is_utf7(text: str, sample: bytes) -> bool:
    """Whether what the shifts of UTF-7 stand for is of one script. Plain texts have `facts+evidence`, `C+foo-bar` and
    `2+r10`: a shift must be no word, name or number, and there must be three, or one that is closed, long or of one
    Latin letter."""
    shifts = re.findall(rb"\+([A-Za-z0-9+/]{3,})(-?)", sample)
    odd = [(shift, end) for shift, end in shifts if not _WORD_OR_NUMBER.fullmatch(shift)]
    telling = any(end or len(shift) >= 8 or (len(shift) == 3 and shift[:1] == b"A") for shift, end in odd)
    if not telling and (not odd or len(shifts) < 3):
        return False
    beyond = "".join(character for character in text if not character.isascii())
    return any(20 * len(beyond.encode(script, "ignore").decode(script)) >= 19 * len(beyond) for script in _SCRIPTS)


def _is_usual_chinese(text: str) -> bool:
    """Whether nearly all characters beyond ASCII are of level 1 of GB 2312. HZ's `~{` stands in programs as well."""
    codes = [character.encode("gb2312", "ignore")[:1] for character in text if not character.isascii()]
    common = sum(b"\xb0" <= code <= b"\xd7" or code in (b"\xa1", b"\xa3") for code in codes)
    return 20 * common >= 19 * len(codes)


class _Candidate(NamedTuple):
    guess: str
    confidence: float
    text: str


def _guess(stream: BinaryIO, sample: bytes, fault: int, name: str) -> str:
    """The codec that the best candidate's file is read with. Raises TextError where none fits, or several."""
    candidates = _candidates(sample)
    best = candidates[0].confidence if candidates else 0.0
    for candidate in candidates:
        if candidate.confidence < _HOPELESS:
            break
        if candidate.confidence < min(_SURE, _CLOSE * best) or _rivals(candidate, candidates):
            break
        for codec in _CODECS[candidate.guess]:
            stream.seek(0)
            if _Scan(codec, name).first_fault(stream) is None:
                return codec
    shown = "; ".join(f"{c.guess} would read {_excerpt(c.text)!r}" for c in _distinct(candidates)[:4])
    if not shown:
        raise TextError(f"{name} is in no encoding that could be recognised (byte {fault} is not UTF-8): "
                        "name its encoding (--encoding E)")  # fmt: skip
    raise TextError(f"{name} is in no encoding that could be recognised (byte {fault} is not UTF-8): {shown}; "
                    f"name its encoding, for example --encoding {candidates[0].guess}")  # fmt: skip


def _candidates(sample: bytes) -> list[_Candidate]:
    """The encodings that the sample may be in, the likeliest first: chardet's figures, and what we expect of texts."""
    import chardet

    ranked = chardet.detect_all(
        sample, ignore_threshold=True, compat_names=False, include_encodings=[*_CODECS], no_match_encoding="cp1252"
    )
    first = chardet.detect(sample, compat_names=False, include_encodings=[*_CODECS], no_match_encoding="cp1252")
    scores = {str(one["encoding"]): (float(one["confidence"] or 0.0), one["language"]) for one in ranked}
    latin = _is_latin(sample)
    found = []
    for guess in _CODECS:
        if (latin and guess not in _LATIN) or (text := _decoded(sample, guess)) is None:
            continue
        confidence, language = scores.get(guess, (0.0, None))
        confidence *= _WEIGHTS.get((guess, language), _WEIGHTS.get(guess, 1.0)) * (1 - _oddity(text, guess))
        if latin and not re.search("[^\x00-\x7f“”‘’–—…]", text):  # of which chardet knows nothing
            confidence *= 1.5
        if not latin:
            confidence *= (0.5 if guess in _LATIN else 1.0) * (1.2 if guess == first["encoding"] else 1.0)
        if guess == "gb18030" and _is_short_chinese(text, sample):
            confidence = max(3 * confidence, _SURE)
        found.append(_Candidate(guess, confidence, text))
    found.sort(key=lambda one: -one.confidence)
    if not latin and (not found or found[0].confidence < _SURE / 2):
        kana = _decoded(sample, "cp932")
        if kana is not None and _is_half_width(kana):
            return [_Candidate("cp932", 1.0, kana), *(one for one in found if one.guess != "cp932")]
    if any(one.guess == "cp1252" and one.text == found[0].text for one in found):  # the usual name of what reads alike
        found.insert(0, found[0]._replace(guess="cp1252"))
    return found


def _decoded(sample: bytes, encoding: str) -> str | None:
    """The sample's text; None if it has what no text has. Its end may cut a character."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeError:
        return None
    odd = re.search("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x9f\ue000-\uf8ff\ufffd]|[─-▟]{2}[^─-▟\n]", text)
    return None if odd else text


def _oddity(text: str, guess: str) -> float:
    """The share (0 to 0.95) of the non-ASCII characters that stand where no text has them, as when a Mac's letters are
    read as those of Windows: a capital or a sign within a word (`fŸr`, `don‚t`)."""
    text = text[:_LOOKED_AT]
    rare = _RARE.get(guess, "")
    beyond = odd = 0
    for found in re.finditer("[^\x00-\x7f]", text):
        at = found.start()
        before, c, after = text[at - 1 : at], text[at], text[at + 1 : at + 2]
        beyond += 1
        if c in rare or (c == "»" and before in "\n" and after == " "):
            odd += 1
        elif c.isupper() or c.islower():
            odd += (c.isupper() and before.islower()) or (c.islower() and after.isupper())
        elif c in _ALONE or unicodedata.category(c) == "Sm":
            odd += before.isalpha() or after.islower()
        elif (before.isupper() or before.islower()) and c not in _WITHIN:
            odd += after.isupper() or after.islower() or unicodedata.category(c)[0] == "S"
    return min(0.95, 4 * odd / max(beyond, 1))


def _is_short_chinese(text: str, sample: bytes) -> bool:
    """Whether a few characters, too few for chardet, are all usual ones, and not all with the codes of Hangul."""
    few = len({character for character in text if not character.isascii()}) <= 32
    return few and _is_usual_chinese(text) and re.search(rb"[\xc9-\xd7]", sample) is not None


def _is_latin(sample: bytes) -> bool:
    """Whether nearly all bytes beyond ASCII stand alone, quotation marks and dashes apart, among ASCII letters."""
    plain = re.sub(rb"[\x85\x91-\x97\xa0\xab\xbb]", b"'", sample)  # the marks of cp1250 to cp1258
    runs = [len(run) for run in re.findall(rb"[\x80-\xff]+", plain)]
    letters = len(re.findall(rb"[A-Za-z]", sample))
    return letters >= 1.5 * sum(runs) and 4 * sum(length == 1 for length in runs) >= 3 * len(runs)


def _is_half_width(text: str) -> bool:
    """Whether a text is Japanese in half-width kana, with marks of voice only after what can be voiced."""
    half = len(re.findall("[ｦ-ﾟ]", text))
    marks = len(re.findall("[ﾞﾟ]", text))
    voiced = len(re.findall("[ｳｶ-ﾄﾊ-ﾎ]ﾞ|[ﾊ-ﾎ]ﾟ", text))
    kana = len(re.findall("[ぁ-ヿ、-」｡-ﾟ]", text))
    other = sum(not character.isascii() for character in text)
    return half >= 4 and 3 * half >= other and 5 * kana >= 4 * other and marks == voiced and (marks > 0 or kana > half)


def _rivals(candidate: _Candidate, candidates: list[_Candidate]) -> bool:
    """Whether another candidate fits as well where none fits surely, and reads another text."""
    close = [one for one in candidates if one.confidence >= _CLOSE * candidate.confidence]
    return candidate.confidence < _SURE and any(one.text != candidate.text for one in close)


def _distinct(candidates: list[_Candidate]) -> list[_Candidate]:
    """The first candidate for each reading of the text."""
    found: dict[str, _Candidate] = {}
    for one in candidates:
        found.setdefault(one.text, one)
    return list(found.values())


def _excerpt(text: str) -> str:
    """The first line with more than ASCII in it, shortened."""
    lines: Iterator[str] = (line.strip() for line in text.split("\n") if not line.isascii())
    line = next(lines, "")
    at = next((n for n, character in enumerate(line) if not character.isascii()), 0)
    return line[max(0, at - 20) :][:40]
