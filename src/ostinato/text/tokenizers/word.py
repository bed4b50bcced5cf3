"""The tokenizer `word`: runs of Han characters through rjieba, other scripts by their letters.

A word of other scripts is a run of letters, marks and digits, with apostrophes inside (`don't`), and takes one blank
before it along (` the`): a quarter fewer tokens in English, at bits per character within 2 % of blanks on their own
(trigrams). Scripts that are written without blanks and that rjieba does not know (Hiragana, Thai, Lao, Burmese, Khmer,
Tibetan ...), and all that is not a letter, are single characters. Tokens are pieces of the text as it stands, so
nothing can be lost, and none reaches over a newline.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import cast

import numpy as np

from ostinato.protocols import Ids
from ostinato.text.tokenizers.base import BaseTokenizer
from ostinato.text.tokenizers.counting import CharacterCounter, WordCounter, check_surrogates

_FIRST_HAN = "\u3005"
_HAN = f"{_FIRST_HAN}\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_is_han = re.compile(f"[{_HAN}]").match
# written without blanks: letters do not show where a word ends
_SINGLE = "\u0e00-\u0eff\u0f00-\u109f\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\u3041-\u309f\ua9e0-\ua9ff\uaa60-\uaadf"


@lru_cache(maxsize=1)
def _pattern() -> re.Pattern[str]:
    """The expression whose matches are the runs of Han, the words and the single characters of a text."""
    marks = _ranges(code for code in range(0x300, 0x20000) if unicodedata.category(chr(code))[0] == "M")
    letter = rf"[^\W_{_HAN}{_SINGLE}]"
    word = f"{letter}+(?:[{marks}]+{letter}*)*"
    ascii_word = "[A-Za-z]++(?=[ \n.,:;])"  # the same as `word`, in a third of the time
    return re.compile(f" ?{ascii_word}|[{_HAN}]++| ?{word}(?:['’]{word})*|(?s:.)")


def _ranges(codes: Iterable[int]) -> str:
    """A regular expression's character class, without its brackets, of code points in ascending order."""
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"{chr(low)}-{chr(high)}" for low, high in ranges)


def words(text: str) -> list[str]:
    """The words and single characters of `text`, in order; joined they are `text`."""
    found: list[str] = []
    for piece in _pattern().findall(text):
        if len(piece) > 1 and piece >= _FIRST_HAN and _is_han(piece):
            parts = _cut(piece)
            found += parts if "".join(parts) == piece else piece
        else:
            found.append(piece)
    return found


def _cut(run: str) -> list[str]:
    import rjieba  # costs 0.1 s: only when Chinese is met

    parts: list[str] = rjieba.cut(run)
    return parts


class WordTokenizer(BaseTokenizer):
    """Words of two characters and more, and characters: a word of one character is that character's token."""

    kind = "word"

    def __init__(self, characters: str, words: Sequence[str]) -> None:
        super().__init__(characters, words)
        self._ids = {word: self.first_word + n for n, word in enumerate(self.words)} | self._character_ids

    @classmethod
    def build(cls, pieces: Iterable[str], min_count: int) -> "WordTokenizer":
        """The vocabulary of a text, whose pieces end after a newline where they can."""
        characters, counter = CharacterCounter(), WordCounter()
        for piece in pieces:
            characters.add(piece)
            counter.add(words(piece))
        return cls(characters.vocabulary(min_count), counter.vocabulary(min_count, shortest=2))

    def encode(self, text: str) -> Ids:
        """Ids of `text`, (T,). encode(a + b) is encode(a) then encode(b) where `a` ends with a newline."""
        check_surrogates(text)
        parts = words(text)
        tokens = list(map(self._ids.get, parts))
        ids: list[int] = []
        start = 0
        for at in [at for at, token in enumerate(tokens) if token is None]:
            ids += cast(list[int], tokens[start:at])
            ids += self._rare(parts[at])
            start = at + 1
        return np.array(ids + cast(list[int], tokens[start:]), self.dtype)

    def _rare(self, word: str) -> list[int]:
        known = self._ids.get(word[1:]) if word[0] == " " else None  # seen at the start of lines only
        return self._spell(word) if known is None else [*self._spell(" "), known]
