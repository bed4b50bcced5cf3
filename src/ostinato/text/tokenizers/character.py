"""The tokenizers `character` and `byte`."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.protocols import Ids
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
        return ids if ids.all() else _spell_bytes(codes, ids)

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


def _spell_bytes(codes: npt.NDArray[np.uint32], ids: Ids) -> Ids:
    """`ids` (n,) with each 0 replaced by the ids of the UTF-8 bytes of the character in `codes` (n,)."""
    at = np.flatnonzero(ids == 0)
    rare = codes[at]
    width = 1 + (rare >= 0x80) + (rare >= 0x800) + (rare >= 0x10000)
    # the UTF-8 bytes of all rare characters, one after the other, are the ids to fill in
    spelled = np.frombuffer(rare.tobytes().decode("utf-32-le").encode(), np.uint8)
    repeats = np.ones(len(ids), np.intp)
    repeats[at] = width
    out = np.repeat(ids, repeats)
    out[out == 0] = spelled.astype(ids.dtype) + FIRST_BYTE
    return out


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

    def to_json(self) -> dict[str, Any]:
        """What `from_json` needs."""
        return {"kind": self.kind}
