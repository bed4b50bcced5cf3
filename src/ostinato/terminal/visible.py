"""Text that a terminal only shows: nothing in it moves the cursor, changes colours or reorders a line."""

import codecs
import re

READABLE = "ostinato-readable"
"""Name of the error handler for streams whose encoding lacks a character: nothing raises, nothing is lost."""

_ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""C0 without tab and newline, DEL, C1; line separators, bidirectional overrides and isolates; surrogates."""

_OURS = {"█": "#", "░": "-", "·": "-", "…": "...", "×": "x", "µ": "u", "–": "-", "—": "-", "⏎": "", "⏹": ""}
"""What our own messages are drawn with, for encodings without it."""

_LONGEST_WORD = 400
_LONGEST_MESSAGE = 2000


def visible(text: str) -> str:
    r"""`text` with every character that acts on a terminal as an escape: a raw ESC becomes the four letters `\x1b`.

    Tabs and newlines stay. A byte of a file name that is not UTF-8 (a lone surrogate in Python) becomes `\xff`.
    """
    return _ACTING.sub(lambda match: _escape(match[0]), text)


def visible_json(text: str) -> str:
    r"""JSON with every character that acts on a terminal as `\u009b`, which is the same JSON."""
    return _ACTING.sub(lambda match: f"\\u{ord(match[0]):04x}", text.replace("\n", " "))


def readable(text: str, encoding: str) -> str:
    """`text` in the characters that `encoding` has, the others as escapes."""
    return text.encode(encoding, READABLE).decode(encoding, "replace")


def shorten(text: str, limit: int) -> str:
    """`text` with its middle left out where it has more than `limit` characters."""
    if len(text) <= limit:
        return text
    tail = max(1, limit // 3)
    return f"{text[: limit - tail - 3]}...{text[-tail:]}"


def one_line(message: str) -> str:
    """A message as one line of bounded length: blanks and newlines become one blank, long words lose their middle."""
    head, tail = message[: 4 * _LONGEST_MESSAGE], message[4 * _LONGEST_MESSAGE :][-_LONGEST_MESSAGE:]
    words = (shorten(word, _LONGEST_WORD) for word in f"{head}{tail}".split())
    return shorten(" ".join(words), _LONGEST_MESSAGE)


def quoted(argument: object) -> str:
    """An argument as a POSIX shell takes it: with quotes where it needs them."""
    import shlex

    return shlex.quote(str(argument))


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _readable(error: UnicodeError) -> tuple[str | bytes, int]:
    """Codec error handler: bytes of file names go out as they came, other missing characters as escapes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if 0xDC80 <= ord(character) <= 0xDCFF:
        return bytes([ord(character) - 0xDC00]), error.start + 1
    return _OURS.get(character) or _escape(character), error.start + 1


codecs.register_error(READABLE, _readable)
