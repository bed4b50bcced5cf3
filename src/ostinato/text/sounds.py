"""How lines sound: their length in syllables and what they rhyme with, in Chinese, English, or both mixed.

A line rhymes by its last word: a Chinese character by its final, an English word from its stressed vowel. Its length
counts one for each Chinese character, an English word by its syllables, one for any other letter or digit, and nothing
for blanks and punctuation.
"""

import re
import unicodedata
from functools import cached_property
from typing import Literal

from ostinato.errors import UsageError
from ostinato.text.sounds_en import FUNCTION_WORDS, WORD, EnglishSounds
from ostinato.text.sounds_zh import HAN, PARTICLES, ChineseSounds

Language = Literal["zh", "en"]
LIGHT: dict[Language, frozenset[str]] = {"zh": PARTICLES, "en": FUNCTION_WORDS}
"""Last words, as `Sounds.last_word` has them, that carry no rhyme if it can be helped."""
_UNIT = re.compile(f"{HAN.pattern}|{WORD.pattern}|\\S")


def language_of(text: str) -> Language:
    """`zh` if at least a third as many Chinese characters as Latin words are in `text`, else `en`."""
    return "zh" if 3 * len(HAN.findall(text)) >= len(WORD.findall(text)) and HAN.search(text) else "en"


class Sounds:
    """Rhyme keys and lengths of lines. `scheme` and `tones` are those of `ChineseSounds`.

    Raises UsageError for an unknown scheme, and on use MissingExtraError where a dictionary is not installed.
    """

    def __init__(self, scheme: str = "13", *, tones: bool = False) -> None:
        self.chinese = ChineseSounds(scheme, tones=tones)

    @cached_property
    def english(self) -> EnglishSounds:
        """The English half, loaded when English is met."""
        return EnglishSounds()

    def words(self, text: str) -> list[str]:
        """What counts in `text`: Chinese characters, Latin words, other letters and digits."""
        return [unit for unit in _UNIT.findall(text) if unicodedata.category(unit[0])[0] in "LN"]

    def units(self, text: str) -> int:
        """Length of `text` in syllables."""
        return sum(self.english.word_syllables(word) if WORD.match(word) else 1 for word in self.words(text))

    def keys(self, line: str) -> frozenset[str]:
        """Rhyme keys of a line; lines rhyme if they share one. Empty if nothing is known of its last word."""
        words = self.words(line)
        if not words:
            return frozenset()
        if WORD.match(words[-1]):
            return self.english.pronounce(words[-1]).keys
        return self.chinese.line_keys(line) if HAN.match(words[-1]) else frozenset()

    def every_key(self, line: str) -> frozenset[str]:
        """Rhyme keys of all readings of a line's last word: lines that share none do not rhyme at all."""
        word = self.last_word(line)
        if WORD.match(word):
            return self.english.every_key(word)
        return self.keys(line) | self.chinese.character_keys(word) if HAN.match(word) else frozenset()

    def last_word(self, line: str) -> str:
        """The word a line rhymes by, in lower case; "" if it has none."""
        words = self.words(line)
        return words[-1].lower() if words else ""

    def named(self, sound: str, language: Language) -> frozenset[str]:
        """The keys a user means by `sound`: a class, a final, phonemes, or a text to rhyme with.

        Raises UsageError for what is none of these.
        """
        chinese = language == "zh" or HAN.search(sound)
        keys = (self.chinese if chinese else self.english).named_keys(sound)
        if not keys:
            allowed = (
                f"a class ({'、'.join(self.chinese.classes)}), a final in pinyin such as ang, or a word to rhyme with"
                if chinese
                else "a word to rhyme with, such as night, or phonemes of the CMU dictionary, such as AY T"
            )
            raise UsageError(f"unknown rhyme {sound!r}: give {allowed}")
        return keys
