"""Texts that come with more than their words: lyrics and subtitles with time codes, records of JSON, web pages.

Each function takes the decoded text in pieces that end after a newline and yields what is to be read of it.
"""

import json
import re
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser

from ostinato.errors import TextError
from ostinato.files import parse_value

_TIMES = re.compile(r"[\[<]\d{1,3}:\d{1,2}(?:[.:]\d{1,3})?[\]>] ?")
_LRC_TAG = re.compile(r"\[[A-Za-z#][A-Za-z0-9_]*:.*\]\s*$")
_SUBTITLE_TIME = re.compile(r"\s*(?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3}\s*-->")
_SUBTITLE_MARK = re.compile(r"</?[A-Za-z][^<>]{0,60}>|\{\\[^{}]{0,60}\}")
LONGEST_LINE = 1 << 26
"""Characters of a record."""

SHOWN = 60
"""Characters of a value in a message."""


def without_times(pieces: Iterable[str]) -> Iterator[str]:
    """The lines of a `.lrc` file without `[02:10.14]`, `<02:10.14>` and tags such as `[ar:...]`."""
    for piece in pieces:
        lines = (_TIMES.sub("", line) for line in piece.split("\n") if not _LRC_TAG.match(line))
        yield "\n".join(lines)


def subtitles(pieces: Iterable[str]) -> Iterator[str]:
    """The lines of a `.srt` or `.vtt` file without numbers, times, marks such as `<i>`, and the blank lines between."""
    held: str | None = None  # a number may be the next subtitle's, or what someone says
    for piece in pieces:
        kept: list[str] = []
        for line in piece.split("\n"):
            if _SUBTITLE_TIME.match(line):
                held = None
                continue
            if held is not None:
                kept.append(held)
                held = None
            text = _SUBTITLE_MARK.sub("", line).strip()
            if text.isdigit():
                held = text
            elif text and not text.startswith("WEBVTT"):
                kept.append(text)
        if kept:
            yield "\n".join(kept) + "\n"
    if held is not None:
        yield held + "\n"


def whole_lines(pieces: Iterable[str]) -> Iterator[str]:
    """The lines without their newlines, however long: a piece may end inside one."""
    held: list[str] = []
    for piece in pieces:
        *lines, rest = piece.split("\n")
        for line in lines:
            yield "".join([*held, line])
            held = []
        if rest:
            held.append(rest)
    if held:
        yield "".join(held)


def json_value(line: str, where: str) -> object:
    """The value of a line of JSON, read as strictly as `files.parse_json` reads a document.

    Raises TextError for what is not JSON, too long or too deep, names a field twice, holds a number that is not finite,
    or has a lone surrogate.
    """
    if len(line) > LONGEST_LINE:
        raise TextError(f"{where} has {len(line):,} characters, more than the {LONGEST_LINE:,} that a record may have")
    try:
        value: object = parse_value(line)
    except json.JSONDecodeError as error:
        raise TextError(f"{where} is not JSON: {error}") from None
    except ValueError as error:
        raise TextError(f"{where} cannot be read: {error}") from None
    if "\\u" in line and (found := _surrogate(value)):
        raise TextError(f"{where} has a lone surrogate U+{ord(found):04X}, which is not a character: remove it")
    return value


def _surrogate(value: object) -> str:
    """The first lone surrogate in any text of a JSON value, or ""."""
    text = json.dumps(value, ensure_ascii=False)
    found = re.search("[\ud800-\udfff]", text)
    return found.group() if found else ""


def json_texts(pieces: Iterable[str], field: str, name: str) -> Iterator[str]:
    """The texts in `field` of each line's object, each followed by a blank line. Raises TextError, with the line."""
    for number, line in enumerate(whole_lines(pieces), 1):
        if not line.strip():
            continue
        where = f"{name} line {number}"
        value = json_value(line, where)
        if not isinstance(value, dict):
            raise TextError(f"{where} must be a JSON object, got {short(value)}")
        if not isinstance(value.get(field), str):
            what = f"{field!r} is {short(value[field])}, not a text" if field in value else f"has no field {field!r}"
            raise TextError(f"{where}: {what}; its fields are {short(list(value))}: name one with text.field")
        if text := value[field].replace("\r\n", "\n").replace("\r", "\n").strip("\n"):
            yield text + "\n\n"


def short(value: object) -> str:
    """A value as JSON, shortened for a message; lone surrogates and control characters are written as escapes."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    text = text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


class _Page(HTMLParser):
    """Collects what a reader sees: paragraphs parted by a blank line, other blocks by a newline."""

    _SILENT = frozenset({"script", "style", "head", "template", "noscript", "svg", "math", "rt", "rp"})
    _BLOCKS = frozenset({"div", "li", "tr", "dt", "dd", "section", "article", "header", "footer", "main", "aside",
                         "pre", "table", "ul", "ol", "dl", "body", "html", "hr", "nav", "figcaption"})  # fmt: skip
    _APART = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._silent: list[str] = []
        self._pre = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "body":
            self._silent.clear()  # a head that was not closed
        if tag in self._SILENT:
            self._silent.append(tag)
        self._pre += tag == "pre"
        self._break(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._break(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._silent:
            while self._silent.pop() != tag:
                pass
        self._pre -= tag == "pre" and self._pre > 0
        if tag != "br":
            self._break(tag)

    def _break(self, tag: str) -> None:
        if tag == "br":
            self.parts.append("\r")
        elif tag in self._APART:
            self.parts.append("\f")
        elif tag in self._BLOCKS:
            self.parts.append("\v")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            data = re.sub("[\f\v\r]", " ", data)
            self.parts.append(data.replace("\n", "\r") if self._pre else re.sub("[ \t\n]+", " ", data))


def page_text(markup: str) -> str:
    """The text of an HTML page: no scripts, styles or heads; paragraphs are parted by a blank line."""
    page = _Page()
    page.feed(markup)
    page.close()
    text = re.sub(" *([\f\v\r]) *", r"\1", "".join(page.parts))
    text = re.sub("[\f\v]*\f[\f\v]*", "\n\n", text)
    text = re.sub("\v+", "\n", re.sub("\v*\r\v*", "\r", text)).replace("\r", "\n")
    return re.sub("\n{3,}", "\n\n", re.sub(" {2,}", " ", text)).strip() + "\n"


def page(pieces: Iterable[str]) -> Iterator[str]:
    """The text of an HTML page, which is held whole."""
    text = page_text("".join(pieces))
    if text.strip():
        yield text
