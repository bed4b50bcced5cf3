"""What all tokenizers share: the layout of ids, spelling, decoding, names, and the JSON form.

Ids: 0 is END_OF_DOCUMENT, 1 .. 256 are the bytes 0 .. 255 (in every vocabulary, needed or not), then the characters,
then the words, each the most frequent first and equally frequent ones by code point. What is not among the words is
spelled in characters, what is not among the characters in the bytes of its UTF-8 form.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ostinato.errors import TextError, UsageError
from ostinato.protocols import END_OF_DOCUMENT, Ids
from ostinato.text.utf8 import FIRST_BYTE, FIRST_CHARACTER


class TokenBytes:
    """The bytes of each token, one after the other, so that those of many tokens are gathered by NumPy."""

    def __init__(self, tokens: Sequence[bytes]) -> None:
        self.tokens = tokens
        self._buffer = np.frombuffer(b"".join(tokens), np.uint8)
        self._lengths = np.fromiter(map(len, tokens), np.intp, len(tokens))
        self._starts = np.cumsum(self._lengths) - self._lengths

    def join(self, ids: npt.NDArray[Any]) -> bytes:
        """The bytes of the tokens `ids`, (T,), all of them in range."""
        if len(ids) < 100:  # where NumPy's calls cost more than the work
            return b"".join([self.tokens[number] for number in ids.tolist()])
        return b"".join(self._gathered(ids[start : start + _BLOCK]) for start in range(0, len(ids), _BLOCK))

    def _gathered(self, ids: npt.NDArray[Any]) -> bytes:
        lengths = self._lengths[ids]
        ends = np.cumsum(lengths)
        at = np.arange(ends[-1]) + np.repeat(self._starts[ids] - ends + lengths, lengths)
        gathered: bytes = self._buffer[at].tobytes()
        return gathered


_BLOCK = 1 << 18


class BaseTokenizer:
    """A tokenizer whose tokens are END_OF_DOCUMENT, bytes, `characters` and `words`, in that order of ids."""

    kind: ClassVar[str]

    def __init__(self, characters: str = "", words: Sequence[str] = ()) -> None:
        self.characters = characters
        self.words = tuple(words)
        self.first_word = FIRST_CHARACTER + len(characters)
        known = [*(text.encode() for text in characters), *map(self._word_bytes, self.words)]
        self._bytes = TokenBytes([b"", *(bytes([byte]) for byte in range(256)), *known])
        self._character_ids = {text: FIRST_CHARACTER + n for n, text in enumerate(characters)}

    def _word_bytes(self, word: str) -> bytes:
        """What a word decodes to."""
        return word.encode()

    @property
    def vocabulary_size(self) -> int:
        """V, the number of ids, END_OF_DOCUMENT (0) among them."""
        return len(self._bytes.tokens)

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint16 where V fits, else uint32."""
        return np.dtype(np.uint16 if self.vocabulary_size <= 1 << 16 else np.uint32)

    def encode(self, text: str) -> Ids:
        """Ids of `text`, (T,) of `dtype`, without END_OF_DOCUMENT. Raises TextError for a lone surrogate."""
        raise NotImplementedError

    def encode_documents(self, texts: Iterable[str]) -> Ids:
        """Ids of several documents, each followed by END_OF_DOCUMENT."""
        end = np.full(1, END_OF_DOCUMENT, self.dtype)
        parts = [part for text in texts for part in (self.encode(text), end)]
        return np.concatenate(parts) if parts else end[:0]

    def decode(self, ids: Ids | Sequence[int]) -> str:
        """The text of `ids`, (T,). END_OF_DOCUMENT decodes to nothing, an invalid byte sequence to U+FFFD.

        Raises UsageError for an id that is not in 0 .. V-1.
        """
        return self._bytes.join(self._checked(ids)).decode("utf-8", "replace")

    @cached_property
    def _texts(self) -> list[str]:
        """What each character or word decodes to, by id; "" for the others."""
        return [""] * FIRST_CHARACTER + [token.decode() for token in self._bytes.tokens[FIRST_CHARACTER:]]

    def texts_after(self, before: int, ids: Sequence[int]) -> list[str]:
        """The text that each of `ids`, characters or words, adds after the token `before`. Checks nothing."""
        texts = self._texts
        return [texts[token_id] for token_id in ids]

    def token(self, token_id: int) -> str:
        """A readable name of one token, for tables: its text, `<E4>` for a byte, `<end>` for the reserved one."""
        token_id = int(self._checked([token_id])[0])
        if token_id == END_OF_DOCUMENT:
            return "<end>"
        if token_id < FIRST_CHARACTER:
            return f"<{token_id - FIRST_BYTE:02X}>"
        if token_id < self.first_word:
            return self.characters[token_id - FIRST_CHARACTER]
        return self.words[token_id - self.first_word]

    def character_lengths(self) -> npt.NDArray[np.int64]:
        """(V,) characters each token stands for: 0 for END_OF_DOCUMENT, 1 for a byte that begins a character.

        Continuation bytes count 0, so the lengths of an encoded text's tokens add up to its characters.
        """
        text = [1 if byte & 0xC0 != 0x80 else 0 for byte in range(256)]
        return np.array([0, *text, *(len(token.decode()) for token in self._bytes.tokens[FIRST_CHARACTER:])], np.int64)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` needs to build an equal tokenizer."""
        return {"kind": self.kind, "characters": self.characters, "words": list(self.words)}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BaseTokenizer) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash((self.kind, self.characters, self.words))

    def __repr__(self) -> str:
        return f"<{self.kind} tokenizer of {self.vocabulary_size} tokens>"

    def _checked(self, ids: Ids | Sequence[int]) -> npt.NDArray[Any]:
        array = np.asarray(ids if len(ids) else np.zeros(0, self.dtype))
        if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
            raise UsageError(f"token ids must be a row of whole numbers, got {array.dtype} of shape {array.shape}")
        if array.size and (int(array.max()) >= self.vocabulary_size or int(array.min()) < 0):
            raise UsageError(
                f"token ids must lie in 0 .. {self.vocabulary_size - 1}, got {array.min()} .. {array.max()}"
            )
        return array

    def _spell(self, word: str) -> list[int]:
        """Ids of a word in characters, and of a character that is not in the vocabulary in bytes."""
        ids: list[int] = []
        for character in word:
            known = self._character_ids.get(character)
            if known is not None:
                ids.append(known)
            else:
                ids.extend(byte + FIRST_BYTE for byte in character.encode())
        return ids


def refuse_surrogates(text: str, error: UnicodeEncodeError) -> TextError:
    """The error for a text that has no UTF-8 form."""
    at = error.start
    return TextError(
        f"the text has a lone surrogate U+{ord(text[at]):04X} at character {at}, which is not a character: remove it"
    )
