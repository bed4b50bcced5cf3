"""The tokenizer `word`: runs of Han characters through rjieba, other scripts by their letters.

A word of other scripts is a run of letters, marks and digits, with apostrophes inside (`don't`), and takes one blank
before it along (` the`): that nearly halves the tokens of an English text. Scripts that are written without blanks and
that rjieba does not know (Hiragana, Thai, Lao, Burmese, Khmer, Tibetan ...), and all that is not a letter, are single
characters. Tokens are pieces of the text as it stands, so nothing can be lost, and none reaches over a newline.
"""

import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain

import numpy as np

from ostinato.protocols import Ids
from ostinato.text.tokenizers.base import BaseTokenizer
from ostinato.text.tokenizers.counting import CharacterCounter, WordCounter, check_surrogates

_HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# written without blanks: no word can be seen by its letters
_SINGLE = [(0x0E00, 0x0EFF), (0x0F00, 0x109F), (0x1780, 0x17FF), (0x1950, 0x19FF), (0x1A20, 0x1AAF), (0x3041, 0x309F),
           (0xA9E0, 0xA9FF), (0xAA60, 0xAADF)]  # fmt: skip


@lru_cache(maxsize=1)
def _pattern() -> re.Pattern[str]:
    """The expression whose matches are the words and single characters of a text; group 1 is a run of Han."""
    letters = _ranges(
        code
        for code in chain(range(0x80, 0x3400), range(0xA000, 0xF900), range(0xFB00, 0x20000))
        if unicodedata.category(chr(code))[0] in "LMN"
        and code not in (0x3005, 0x3007)
        and not any(low <= code <= high for low, high in _SINGLE)
    )
    word = f"[0-9A-Za-z{letters}]+"
    return re.compile(f"([{_HAN}]+)| ?{word}(?:['’]{word})*|(?s:.)")


def _ranges(codes: Iterable[int]) -> str:
    """A regular expression's character class, without its brackets, of code points in ascending order."""
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"{re.escape(chr(low))}-{re.escape(chr(high))}" for low, high in ranges)


@lru_cache(maxsize=1)
def _cutter() -> Callable[[str], list[str]]:
    import rjieba  # costs 0.1 s: only when Chinese is met

    def cut(run: str) -> list[str]:
        words: list[str] = rjieba.cut(run)
        return words

    return cut


def words(text: str) -> Iterator[str]:
    """The words and single characters of `text`, in order; joined they are `text`."""
    for match in _pattern().finditer(text):
        if match.lastindex:
            run = match[0]
            parts = _cutter()(run) if len(run) > 1 else [run]
            yield from parts if "".join(parts) == run else run
        else:
            yield sys.intern(match[0])


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
        ids: list[int] = []
        known = self._ids.get
        for word in words(text):
            token = known(word)
            if token is not None:
                ids.append(token)
            elif word[0] == " " and (token := known(word[1:])) is not None:  # known only at the start of lines
                ids.extend(self._spell(" "))
                ids.append(token)
            else:
                ids.extend(self._spell(word))
        return np.array(ids, self.dtype)
