"""The tokenizer `whitespace`: what stands between blanks is a word, a newline is a token.

That is how the published figures of Penn Treebank and WikiText are counted. To lose nothing beside it, blanks are part
of the tokens in one of two styles, whichever most lines of the training text are written in:

- `plain`, a line is `a b c`: a blank is implied between two words that follow each other;
- `padded`, a line is ` a b c `, as in WikiText: a word brings the blank before it along, and so does the newline.

All else is spelled: words outside the vocabulary, other white space, a blank too many. Characters and bytes imply no
blank beside them, so they are ids of their own, apart from words of one character.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ostinato.protocols import Ids
from ostinato.text.tokenizers.base import BaseTokenizer, TokenBytes
from ostinato.text.tokenizers.counting import CharacterCounter, WordCounter, check_surrogates

_PLAIN = re.compile(r" ?\S+|\s")
_PADDED = re.compile(r" (?:\S+|\n)|\S+|\s")


class WhitespaceTokenizer(BaseTokenizer):
    """Words between blanks; `padded` is the style. In the padded style the newline is among the words."""

    kind = "whitespace"

    def __init__(self, characters: str, words: Sequence[str], *, padded: bool) -> None:
        self.padded = padded
        super().__init__(characters, words)
        self._ids = {word: self.first_word + n for n, word in enumerate(self.words)}
        if not padded:  # word tokens after a word: the same with the implied blank, as ids V .. V + len(words) - 1
            tokens = self._bytes.tokens
            self._bytes_after_word = TokenBytes([*tokens, *(b" " + word for word in tokens[self.first_word :])])

    def _word_bytes(self, word: str) -> bytes:
        return b" " * self.padded + word.encode()

    @classmethod
    def build(cls, pieces: Iterable[str], min_count: int) -> "WhitespaceTokenizer":
        """The vocabulary and the style of a text, whose pieces end after a newline where they can."""
        characters, counter = CharacterCounter(), WordCounter()
        lines = padded = 0
        for piece in pieces:
            characters.add(piece)
            counter.add(piece.split())
            full = [line for line in piece.split("\n") if line]
            lines += len(full)
            padded += sum(line[0] == line[-1] == " " for line in full)
        is_padded = 2 * padded > lines
        words = counter.vocabulary(min_count)
        return cls(characters.vocabulary(min_count), ["\n", *words] if is_padded else words, padded=is_padded)

    def encode(self, text: str) -> Ids:
        """Ids of `text`, (T,). encode(a + b) is encode(a) then encode(b) where `a` ends with a newline."""
        check_surrogates(text)
        return np.array(self._padded(text) if self.padded else self._plain(text), self.dtype)

    def _padded(self, text: str) -> list[int]:
        ids: list[int] = []
        known = self._ids.get
        for word in _PADDED.findall(text):
            token = known(word[1:]) if word[0] == " " else None
            if token is not None:
                ids.append(token)
            else:
                ids.extend(self._spell(word))
        return ids

    def _plain(self, text: str) -> list[int]:
        ids: list[int] = []
        known = self._ids.get
        after_word = False
        for word in _PLAIN.findall(text):
            blank = word[0] == " "
            token = known(word[1:] if blank else word)
            if token is None:
                ids.extend(self._spell(word))
                after_word = False
                continue
            if blank and not after_word:
                ids.extend(self._spell(" "))
            ids.append(token)
            after_word = True
        return ids

    def decode(self, ids: Ids | Sequence[int]) -> str:
        """The text of `ids`, with the blanks that are implied."""
        if self.padded:
            return super().decode(ids)
        checked = self._checked(ids).astype(np.int64)
        words = checked >= self.first_word
        checked[1:][words[1:] & words[:-1]] += self.vocabulary_size - self.first_word
        return self._bytes_after_word.join(checked).decode("utf-8", "replace")

    def texts_after(self, before: int, ids: Sequence[int]) -> list[str]:
        """The text that each of `ids` adds when they follow the token `before`, implied blanks included."""
        texts = super().texts_after(before, ids)
        if self.padded:
            return texts
        words = [token_id >= self.first_word for token_id in (before, *ids)]
        return [f" {text}" if a and b else text for text, a, b in zip(texts, words, words[1:], strict=False)]

    def to_json(self) -> dict[str, Any]:
        """What `from_json` needs."""
        return super().to_json() | {"padded": self.padded}
