"""Writing token ids to a file as the text arrives, forward or with each document's tokens reversed."""

import hashlib
import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ostinato.protocols import END_OF_DOCUMENT, Ids
from ostinato.text.documents import Piece
from ostinato.text.encoders import MOST, Encoders, encode_pieces
from ostinato.text.tokenizers import BaseTokenizer

_BATCH = 1 << 20
_BLOCK = 1 << 20


class IdsWriter:
    """Encodes documents into a new file of little-endian ids; small ones are gathered and encoded together.

    `backward` reverses the tokens of each document; END_OF_DOCUMENT stays at its end. `encoders` (None: this process)
    encode; a few pieces wait to be written in their order.
    """

    def __init__(
        self, path: Path, tokenizer: BaseTokenizer, *, backward: bool = False, encoders: Encoders | None = None
    ) -> None:
        self._file = path.open("w+b")
        self._tokenizer = tokenizer
        self._dtype = tokenizer.dtype.newbyteorder("<")
        self._backward = backward
        self._encoders = encoders
        self._waiting: deque[tuple[Future[Ids], bool]] = deque()
        self._small: list[str] = []
        self._size = 0
        self._begin: int | None = None  # first token of the large document that is being written
        self._sha256 = ""
        self._tokens = self._documents = self._characters = 0

    def __enter__(self) -> "IdsWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        try:
            if error is None:
                self._flush()
                self._write_waiting()
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.seek(0)
                self._sha256 = hashlib.file_digest(self._file, "sha256").hexdigest()
        finally:
            self._file.close()

    def add(self, piece: Piece) -> None:
        """Take the next piece of a document. Raises OSError, TextError for a lone surrogate."""
        self._characters += len(piece.text)
        self._documents += piece.last
        if piece.last and self._begin is None:
            self._small.append(piece.text)
            self._size += len(piece.text)
            if self._size >= _BATCH:
                self._flush()
            return
        self._flush()
        if self._begin is None:
            if self._backward:
                self._write_waiting()
            self._begin = self._tokens
        self._encode([piece.text], documents=False)
        if piece.last:
            self._write_waiting()
            if self._backward:
                self._reverse(self._begin, self._tokens)
            self._write(np.full(1, END_OF_DOCUMENT, self._dtype))
            self._begin = None

    def counts(self) -> dict[str, Any]:
        """Tokens (END_OF_DOCUMENT included), documents and characters written, and the file's SHA-256."""
        return {
            "tokens": self._tokens,
            "documents": self._documents,
            "characters": self._characters,
            "sha256": self._sha256,
        }

    def _flush(self) -> None:
        if not self._small:
            return
        # reversed as one row, the last document first, its END_OF_DOCUMENT comes to the front
        self._encode(self._small[::-1] if self._backward else self._small, documents=True)
        self._small, self._size = [], 0

    def _encode(self, texts: Sequence[str], *, documents: bool) -> None:
        """Encode, and write when it is its turn."""
        turned = documents and self._backward
        if self._encoders is None:
            self._write(_in_order(encode_pieces(self._tokenizer, texts, documents), turned))
            return
        self._waiting.append((self._encoders.submit(texts, documents), turned))
        if len(self._waiting) > 2 * MOST:
            self._write_first()

    def _write_waiting(self) -> None:
        while self._waiting:
            self._write_first()

    def _write_first(self) -> None:
        ids, turned = self._waiting.popleft()
        self._write(_in_order(ids.result(), turned))

    def _write(self, ids: Ids) -> None:
        self._file.write(ids.astype(self._dtype, copy=False).tobytes())
        self._tokens += len(ids)

    def _reverse(self, low: int, high: int) -> None:
        """Reverse the tokens low .. high-1 of the file in place, a block from either end at a time."""
        while high - low > 1:
            count = min(_BLOCK, (high - low) // 2)
            head, tail = self._read(low, count), self._read(high - count, count)
            self._overwrite(low, tail[::-1])
            self._overwrite(high - count, head[::-1])
            low, high = low + count, high - count
        self._file.seek(0, 2)

    def _read(self, start: int, count: int) -> np.ndarray[Any, np.dtype[Any]]:
        size = self._dtype.itemsize
        self._file.seek(start * size)
        return np.frombuffer(self._file.read(count * size), self._dtype)

    def _overwrite(self, start: int, ids: np.ndarray[Any, np.dtype[Any]]) -> None:
        self._file.seek(start * self._dtype.itemsize)
        self._file.write(ids.tobytes())


def _in_order(ids: Ids, turned: bool) -> Ids:
    """The ids of documents; `turned`: from those of the documents in reverse, each document's tokens reversed."""
    return np.roll(ids[::-1], -1) if turned else ids
