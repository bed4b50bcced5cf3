"""The tokenizers `character` and `byte`."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.protocols import END_OF_DOCUMENT, Ids
from ostinato.text.tokenizers.base import BaseTokenizer, refuse_surrogates
from ostinato.text.tokenizers.counting import CharacterCounter, codepoints
from ostinato.text.utf8 import FIRST_BYTE, FIRST_CHARACTER


class CharacterTokenizer(BaseTokenizer):
    """One token a character; characters rarer than `min_count` are spelled in bytes."""

    kind = "character"

    def __init__(self, characters: str) -> None:
        super().__init__(characters)
        known = codepoints(characters)
        self._codes = np.concatenate([np.zeros(FIRST_CHARACTER, np.uint32), known])  # id -> code point
        self._table = np.zeros(0x110000, self.dtype)  # code point -> id, 0 where it is spelled
        self._table[known] = np.arange(FIRST_CHARACTER, self.vocabulary_size, dtype=self.dtype)

    @classmethod
    def build(cls, pieces: Iterable[str], min_count: int) -> "CharacterTokenizer":
        """The vocabulary of a text."""
        counter = CharacterCounter()
        for piece in pieces:
            counter.add(piece)
        return cls(counter.vocabulary(min_count))

    def encode(self, text: str) -> Ids:
        """Ids of `text`, (T,); T = len(text) plus the further bytes of spelled characters."""
        codes = codepoints(text)
        ids = self._table[codes]
        return ids if ids.all() else _spell_bytes(codes, ids)[0]

    def encode_documents(self, texts: Iterable[str]) -> Ids:
        """Ids of several documents, each followed by END_OF_DOCUMENT: all in one look-up, however short they are."""
        held = list(texts)
        codes = codepoints("".join(held))
        ids = self._table[codes]
        ends = np.cumsum(np.fromiter(map(len, held), np.intp, len(held)))
        if not ids.all():
            ids, widths = _spell_bytes(codes, ids)
            ends = np.concatenate([[0], np.cumsum(widths)])[ends]
        return np.insert(ids, ends, END_OF_DOCUMENT)

    def decode(self, ids: Ids | Sequence[int]) -> str:
        """The text of `ids`, by table look-up where no token is a byte."""
        checked = self._checked(ids)
        if checked.size and checked.min() >= FIRST_CHARACTER:
            codes: npt.NDArray[np.uint32] = self._codes[checked]
            return codes.tobytes().decode("utf-32-le")
        return super().decode(checked)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` needs."""
        return {"kind": self.kind, "characters": self.characters}


def _spell_bytes(codes: npt.NDArray[np.uint32], ids: Ids) -> tuple[Ids, npt.NDArray[np.intp]]:
    """`ids` (n,) with each 0 replaced by the ids of the UTF-8 bytes of the character in `codes` (n,).

    Also returns how many ids each character became, (n,).
    """
    at = np.flatnonzero(ids == 0)
    rare = codes[at]
    width = 1 + (rare >= 0x80) + (rare >= 0x800) + (rare >= 0x10000)
    # the UTF-8 bytes of all rare characters, one after the other, are the ids to fill in
    spelled = np.frombuffer(rare.tobytes().decode("utf-32-le").encode(), np.uint8)
    widths = np.ones(len(ids), np.intp)
    widths[at] = width
    out = np.repeat(ids, widths)
    out[out == 0] = spelled.astype(ids.dtype) + FIRST_BYTE
    return out, widths


class ByteTokenizer(BaseTokenizer):
    """One token a byte of the UTF-8 form; no vocabulary to learn, 257 ids."""

    kind = "byte"

    def encode(self, text: str) -> Ids:
        """Ids of `text`, (T,) uint16, T the length of its UTF-8 form."""
        try:
            data = np.frombuffer(text.encode(), np.uint8)
        except UnicodeEncodeError as error:
            raise refuse_surrogates(text, error) from None
        return data.astype(np.uint16) + np.uint16(FIRST_BYTE)

    def decode(self, ids: Ids | Sequence[int]) -> str:
        """The text of `ids`."""
        checked = self._checked(ids)
        return (checked[checked > 0] - FIRST_BYTE).astype(np.uint8).tobytes().decode("utf-8", "replace")

    def to_json(self) -> dict[str, Any]:
        """What `from_json` needs."""
        return {"kind": self.kind}
