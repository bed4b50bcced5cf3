"""A stream of text cut into documents, without ever holding a whole one.

Kinds: `files` (each source one document, as it stands; of lines of JSON, each record), `lines` (each line that is not
blank, without its newline), `paragraphs` (parted by blank lines), or a regular expression that is looked for in every
line: where it is found, a document begins (what comes before the first is one too). Blank lines at either end of
paragraphs and of documents cut by an expression, and the newline of their last line, are left out. `auto` is `^# ` for
bundled lyrics, else `files`.
"""

import re
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ostinato.errors import SettingsError
from ostinato.settings import TextSettings
from ostinato.text.sources import PIECE, Source

KINDS = ("files", "lines", "paragraphs")
LYRICS = "^# "
SECONDS = 2.0
"""For which a pattern may search one line."""


class Piece(NamedTuple):
    """A part of a document, of at most about PIECE characters, and whether the document ends with it."""

    text: str
    last: bool


def resolve_documents(rule: str, sources: Iterable[Source]) -> str:
    """What `auto` stands for; another rule is returned as it is. Raises SettingsError for an invalid expression."""
    if rule == "auto":
        return LYRICS if any(source.bundled for source in sources) else "files"
    if rule not in KINDS:
        _compiled(rule)
    return rule


def title_finder(rule: str) -> Callable[[str], bool]:
    """Whether a line is a title, which begins a document: none is for `files`, `lines` and `paragraphs`."""
    if rule in KINDS:
        return lambda line: False
    found = _compiled(rule).search
    if "(" in rule and re.search(r"[*+]|\{\d*,", rule):  # a repeat within a repeat can take for ever
        return lambda line: _within_time(found, line, rule)
    return lambda line: found(line) is not None


def _within_time(search: Callable[[str], object], line: str, rule: str) -> bool:
    """Whether the pattern is found. Raises SettingsError where it searches one line for longer than SECONDS; the clock
    runs in the main thread of systems that have one."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        return search(line) is not None

    def end(number: int, frame: object) -> None:
        raise SettingsError(f"the pattern {rule!r} searches a line for more than {SECONDS:g} seconds: simplify it; "
                            "a repeat within a repeat, such as (a+)+, can take for ever")  # fmt: skip

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        return search(line) is not None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def cut_documents(sources: Iterable[Source], settings: TextSettings) -> Iterator[Piece]:
    """The documents of the sources, in order, as pieces. `settings.documents` is not `auto` any more.

    `limit` keeps the first characters of the sources' whole text; `newlines = "blank"` acts within the documents, after
    they are cut. Documents without any character are left out.
    """
    left = settings.limit or None
    for source in sources:
        pieces = source.pieces()
        if left is not None:
            budget = _Budget(left)
            pieces = budget.spend(pieces)
        by_record = source.records and settings.documents == "files"
        for piece in _records(pieces) if by_record else _cut(pieces, settings.documents):
            yield piece if settings.newlines == "keep" else Piece(piece.text.replace("\n", " "), piece.last)
        if left is not None and (left := budget.left) == 0:
            return


class BlankTrimmer:
    """Documents without the blanks at their ends; `trimmed` says whether any had some."""

    def __init__(self) -> None:
        self.trimmed = False

    def __call__(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """The same documents, trimmed."""
        begins = True
        for text, last in pieces:
            kept = text.lstrip(" ") if begins else text
            kept = kept.rstrip(" ") if last else kept
            self.trimmed = self.trimmed or len(kept) < len(text)
            yield Piece(kept, last)
            begins = last


class _Budget:
    """Lets a number of characters through."""

    def __init__(self, left: int) -> None:
        self.left = left

    def spend(self, pieces: Iterable[str]) -> Iterator[str]:
        for piece in pieces:
            yield piece[: self.left]
            self.left -= min(self.left, len(piece))
            if not self.left:
                return


def _cut(pieces: Iterable[str], rule: str) -> Iterator[Piece]:
    if rule == "files":
        return _whole(pieces)
    if rule == "lines":
        return _by_lines(pieces, lambda line, after_blank: True)
    if rule == "paragraphs":
        return _by_lines(pieces, lambda line, after_blank: after_blank)
    is_title = title_finder(rule)
    return _by_lines(pieces, lambda line, after_blank: is_title(line))


def _records(pieces: Iterable[str]) -> Iterator[Piece]:
    for piece in pieces:
        if text := piece.removesuffix("\n\n"):
            yield Piece(text, True)


def _whole(pieces: Iterable[str]) -> Iterator[Piece]:
    held = None
    for piece in pieces:
        if held is not None:
            yield Piece(held, False)
        held = piece
    if held is not None:
        yield Piece(held, True)


def _by_lines(pieces: Iterable[str], begins: Callable[[str, bool], bool]) -> Iterator[Piece]:
    """Documents that begin at lines. `begins` is asked for each line that is not blank, and whether one came before.

    White space is held back until a line with text follows in the same document, so that none ends with it.
    """
    parts: list[str] = []
    size = 0
    held = ""
    after_blank = line_start = True
    for line, complete in _lines(pieces):
        if line_start and not line.strip():
            after_blank = True
            if parts:
                held += line + "\n" * complete
            line_start = complete
            continue
        if line_start and parts and begins(line, after_blank):
            yield Piece("".join(parts), True)
            parts, size, held = [], 0, ""
        parts.append(held)
        size += len(held) + len(line)
        if size > PIECE and len(parts) > 1:
            yield Piece("".join(parts), False)
            parts, size = [], len(line)
        parts.append(line)
        held = "\n" * complete
        line_start, after_blank = complete, False
    if parts:
        yield Piece("".join(parts), True)


def _lines(pieces: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Lines without their newline, and whether they are complete: a line longer than a piece comes in several parts."""
    for piece in pieces:
        *lines, rest = piece.split("\n")
        for line in lines:
            yield line, True
        if rest:
            yield rest, False


def _compiled(rule: str) -> re.Pattern[str]:
    try:
        return re.compile(rule)
    except re.error as error:
        raise SettingsError(
            f"documents must be {', '.join(KINDS)}, auto or a regular expression, got {rule!r}: {error}"
        ) from None
