"""When a text is finished, and which part of it is certain enough to be shown while it is written."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ostinato.errors import UsageError
from ostinato.protocols import END_OF_DOCUMENT, Tokenizer
from ostinato.text.utf8 import TextStream

Reason = Literal["end of document", "lines", "tokens", "stop string", "limit", "form"]

TOKENS_A_LINE = 200
"""Hard bound on the tokens drawn for each line that was asked for."""
TOKENS_A_DOCUMENT = 4096
"""Hard bound on the tokens drawn where neither lines nor tokens were asked for."""


def check_whole(name: str, value: int) -> None:
    """Raises UsageError for what is no whole number of 1 or more."""
    if not isinstance(value, int | np.integer):
        raise UsageError(f"{name} must be a whole number, got {value!r}")
    if isinstance(value, bool) or value < 1:
        raise UsageError(f"{name} must be 1 or more, got {value}")


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Where a text ends: after `tokens` drawn tokens or `lines` lines, before any of `texts`, or with its document.

    Lines are counted over the whole text, the prompt's included; blank lines do not count. While lines are missing
    the end of the document is not drawn, unless `fill` is False. Raises UsageError for a value out of range.
    """

    tokens: int | None = None
    lines: int | None = None
    texts: tuple[str, ...] = ()
    fill: bool = True

    def __post_init__(self) -> None:
        for name, value in (("tokens", self.tokens), ("lines", self.lines)):
            if value is not None:
                check_whole(name, value)
        if "" in self.texts:
            raise UsageError("the stop string is empty: give at least one character")

    @property
    def limit(self) -> int:
        """The most tokens that are ever drawn."""
        if self.tokens is not None:
            return self.tokens
        return TOKENS_A_DOCUMENT if self.lines is None else TOKENS_A_LINE * self.lines


class Transcript:
    """One text as it is written: what may be shown, what is held back, and why it ended.

    Held back are newlines at the end, which a finished text does not have, the bytes of a character until it is whole,
    and what may turn out to begin a stop string. `given` is the prompt; it is never cut.
    """

    def __init__(
        self, tokenizer: Tokenizer, stop: Stop, given: str = "", *, line_documents: bool = False, trim: bool = False
    ) -> None:
        """line_documents: each line is a document, so that the end of one ends a line while lines are missing. trim:
        the blanks at its beginning are left out."""
        self._stream = TextStream(tokenizer)
        self._stop = stop
        self._end_is_newline = line_documents and stop.lines is not None and stop.fill
        self._trim = trim
        self._parts = [given]
        self._held = ""
        self._lines = sum(1 for line in given.split("\n")[:-1] if line.strip())
        self._line_open = bool(given.split("\n")[-1].strip())
        self.drawn = 0
        self.reason: Reason | None = "lines" if self._lines_done() else None

    @property
    def text(self) -> str:
        """The prompt and all that was shown."""
        return "".join(self._parts)

    @property
    def may_end(self) -> bool:
        """Whether END_OF_DOCUMENT may be drawn."""
        return self._stop.lines is None or not self._stop.fill or self._end_is_newline

    def add(self, token_id: int) -> str:
        """Take the next drawn id; returns the text that may be shown now. Sets `reason` when the text is finished."""
        if token_id == END_OF_DOCUMENT and not self._end_is_newline:
            self.drawn += 1
            return self._finish("end of document")
        piece = self._stream.push(token_id)
        if token_id == END_OF_DOCUMENT and self._line_open:
            piece += "\n"
        return self._add(piece)

    def add_all(self, token_ids: Sequence[int]) -> tuple[str, int]:
        """`add` of ids in a row, END_OF_DOCUMENT at most the last: the text that may be shown, how many were taken.

        Fewer than all are taken where the text is finished before.
        """
        end = token_ids[-1] == END_OF_DOCUMENT
        pieces = self._stream.push_all(token_ids[:-1] if end else token_ids)
        text = "".join(pieces)
        shown = ""
        if self._may_end_in(text) or self.drawn + len(pieces) >= self._stop.limit:
            for count, piece in enumerate(pieces, 1):
                shown += self._add(piece)
                if self.reason is not None:
                    return shown, count
        elif pieces:
            self.drawn += len(pieces)
            shown = self._take(text)
        return shown + self.add(END_OF_DOCUMENT) if end else shown, len(token_ids)

    def _may_end_in(self, text: str) -> bool:
        lines = self._stop.lines is not None and "\n" in text
        return lines or any(stop in self._held + text for stop in self._stop.texts)

    def _add(self, piece: str) -> str:
        self.drawn += 1
        shown = self._take(piece)
        if self.reason is None and self.drawn >= self._stop.limit:
            shown += self._finish("limit" if self._stop.tokens is None else "tokens")
        return shown

    def _finish(self, reason: Reason) -> str:
        self.reason = reason
        return self._show(len(self._held.rstrip("\n")))

    def _take(self, piece: str) -> str:
        if self._trim and piece:
            piece = piece.lstrip(" ")
            self._trim = not piece
        text = self._held + piece
        cuts: list[tuple[int, Reason]] = []
        line_end = self._count(piece)
        if line_end is not None:
            cuts.append((len(self._held) + line_end, "lines"))
        cuts.extend((found, "stop string") for stop in self._stop.texts if (found := text.find(stop)) >= 0)
        self._held = text
        if cuts:
            end, self.reason = min(cuts)
            return self._show(len(text[:end].rstrip("\n")))
        return self._show(len(text[: len(text) - self._overlap(text)].rstrip("\n")))

    def _show(self, end: int) -> str:
        shown, self._held = self._held[:end], self._held[end:]
        self._parts.append(shown)
        return shown

    def _count(self, piece: str) -> int | None:
        """Count the lines that `piece` completes; where the last line that was asked for ends in it, if it does."""
        start = 0
        while (newline := piece.find("\n", start)) >= 0:
            self._lines += self._line_open or bool(piece[start:newline].strip())
            self._line_open = False
            if self._lines_done():
                return newline
            start = newline + 1
        self._line_open = self._line_open or bool(piece[start:].strip())
        return None

    def _lines_done(self) -> bool:
        return self._stop.lines is not None and self._lines >= self._stop.lines

    def _overlap(self, text: str) -> int:
        """Length of the longest end of `text` that begins a stop string."""
        if not self._stop.texts:
            return 0
        longest = min(max(map(len, self._stop.texts)) - 1, len(text))
        return next((n for n in range(longest, 0, -1) if any(s.startswith(text[-n:]) for s in self._stop.texts)), 0)
