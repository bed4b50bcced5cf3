"""Writing token ids to a file as the text arrives, forward or with each document's tokens reversed."""

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ostinato.protocols import END_OF_DOCUMENT, Ids
from ostinato.text.documents import Piece
from ostinato.text.tokenizers import BaseTokenizer

_BATCH = 1 << 20
_BLOCK = 1 << 20


class IdsWriter:
    """Encodes documents into a new file of little-endian ids; small ones are gathered and encoded together.

    `backward` reverses the tokens of each document; END_OF_DOCUMENT stays at its end.
    """

    def __init__(self, path: Path, tokenizer: BaseTokenizer, *, backward: bool = False) -> None:
        self._file = path.open("w+b")
        self._tokenizer = tokenizer
        self._dtype = tokenizer.dtype.newbyteorder("<")
        self._backward = backward
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
            self._begin = self._tokens
        self._write(self._tokenizer.encode(piece.text))
        if piece.last:
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
        if self._backward:  # reversed as one row, the last document first, its END_OF_DOCUMENT comes to the front
            ids = np.roll(self._tokenizer.encode_documents(self._small[::-1])[::-1], -1)
        else:
            ids = self._tokenizer.encode_documents(self._small)
        self._write(ids)
        self._small, self._size = [], 0

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
