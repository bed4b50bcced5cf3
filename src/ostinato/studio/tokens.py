"""Tokens as the page shows them: the text of each, its place, how surprising it was, what could have come instead."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ostinato.engine import Reader, Reading
from ostinato.generation.context import Context, open_context
from ostinato.protocols import END_OF_DOCUMENT
from ostinato.server.service import Served
from ostinato.text import TextStream
from ostinato.text.utf8 import FIRST_BYTE, FIRST_CHARACTER


def bits_of(log_probability: float) -> float | None:
    """Nats to bits; None for what cannot be in JSON."""
    return round(-log_probability / math.log(2), 4) if math.isfinite(log_probability) else None


class Shown:
    """Names of single tokens, for lists of alternatives."""

    def __init__(self, served: Served) -> None:
        self._tokenizer = served.model.tokenizer
        self._lines = served.text_model.line_documents

    def __call__(self, token_id: int) -> dict[str, Any]:
        """`{"id", "text"}`, with `end` for the end of the document and `byte` for a byte of a longer character."""
        if token_id == END_OF_DOCUMENT:
            return {"id": 0, "text": "", "end": True} if not self._lines else {"id": 0, "text": "\n"}
        if FIRST_BYTE + 0x80 <= token_id < FIRST_CHARACTER:
            return {"id": token_id, "text": "", "byte": token_id - FIRST_BYTE}
        return {"id": token_id, "text": self._tokenizer.decode([token_id])}


@dataclass
class TokenReader:
    """Reads one document with a model, token by token, and tells of those of its text (the title's line is not told).

    context: what is read before anything is drawn; those of its tokens that belong to the text are told first.
    """

    served: Served
    context: Context
    top: int
    _pending: list[Reading] = field(default_factory=list)
    _at: int = 0
    _title: str = ""

    def __post_init__(self) -> None:
        model = self.served.model
        self._reader = Reader(model.step_model, self.context.read[: self.context.before], self.top)
        self._stream = TextStream(model.tokenizer)
        self._show = Shown(self.served)
        self._in_title = bool(self.context.heading)

    def begin(self) -> list[dict[str, Any]]:
        """The tokens of the prompt."""
        return self.read(self.context.read[self.context.before :])

    def read(self, ids: Sequence[int]) -> list[dict[str, Any]]:
        """Read on; returns the tokens of the text that are whole now."""
        found = []
        for reading in self._reader.read(ids):
            self._pending.append(reading)
            text = self._stream.push(reading.id)
            if reading.id == END_OF_DOCUMENT and self.served.text_model.line_documents:
                text = "\n"
            if not text and reading.id != END_OF_DOCUMENT:
                continue  # inside a character
            group, self._pending = self._pending, []
            if self._in_title:
                self._title += text
                _, newline, text = self._title.partition("\n")
                self._in_title = not newline
            if self.context.trim and not self._at:
                text = text.lstrip(" ")
            if text:
                found.append(self._token(group, text))
        return found

    def _token(self, group: list[Reading], text: str) -> dict[str, Any]:
        nats = sum(reading.log_probability for reading in group)
        token = {
            "id": group[0].id, "text": text, "start": self._at, "end": self._at + len(text), "bits": bits_of(nats),
            "rank": max(reading.rank for reading in group), "prompt": self._at + len(text) <= len(self.context.prompt),
            "top": [{**self._show(i), "probability": round(math.exp(p), 6)} for i, p in group[0].top],
        }  # fmt: skip
        self._at += len(text)
        return token

    def end(self) -> dict[str, Any]:
        """How surprising it would be if the document ended here."""
        (reading,) = self._reader.read([END_OF_DOCUMENT])
        return {"bits": bits_of(reading.log_probability), "rank": reading.rank}


def read_text(served: Served, text: str, title: str | None = None, top: int = 0) -> tuple[list[dict[str, Any]], Any]:
    """The tokens of a whole text, in the order in which they stand in it, and its end.

    A text without a title is read as it stands, also by a model whose texts have titles. Raises UsageError.
    """
    model = served.text_model
    if model.backward:
        return _read_backward(served, text, top)
    if title is None or not model.heading:
        context = Context((END_OF_DOCUMENT, *model.encode(text)), text)
    else:
        context = open_context(model, text, title)
    reader = TokenReader(served, context, top)
    return [{**token, "prompt": False} for token in reader.begin()], reader.end()


def _read_backward(served: Served, text: str, top: int) -> tuple[list[dict[str, Any]], Any]:
    """The same of a model that reads from right to left."""
    ids = served.model.tokenizer.encode(text).tolist()
    reader = Reader(served.model.step_model, (END_OF_DOCUMENT,), top)
    readings = reader.read(ids[::-1])[::-1]
    (end,) = reader.read([END_OF_DOCUMENT])
    writer = TokenReader(served, Context((END_OF_DOCUMENT,), ""), 0)
    stream, found, group = TextStream(served.model.tokenizer), [], []
    for reading in readings:
        group.append(reading)
        if piece := stream.push(reading.id):
            found.append(writer._token(group[::-1], piece))
            group = []
    return found, {"bits": bits_of(end.log_probability), "rank": end.rank}
