"""Rhymes to choose from: all of a language, or those that the training text's lines end with."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from ostinato.server.service import Served
from ostinato.text import corpus_of
from ostinato.text.sounds import Sounds
from ostinato.text.sounds_zh import SCHEMES

_LINES = 50_000
"""Lines of the training text that are looked at."""
_MOST, _EXAMPLES = 80, 6


def sounds_of(language: str, scheme: str, served: Served | None) -> list[dict[str, Any]]:
    """The rhymes, those that the training text has most first. Raises UsageError, MissingExtraError."""
    sounds = Sounds(scheme)
    counted: Counter[str] = Counter()
    words: dict[str, Counter[str]] = {}
    for line in _lines(served) if served is not None else ():
        word = sounds.last_word(line)
        for key in sounds.keys(line) if _is(word, language) else ():
            counted[key] += 1
            words.setdefault(key, Counter())[word] += 1
    if language == "zh":
        finals = SCHEMES[scheme]
        names = sorted(finals, key=lambda name: -counted[name])
        return [_sound(name, counted, words, finals=finals[name]) for name in names]
    if not counted:
        for word in _COMMON.split():
            for key in sounds.named(word, "en"):
                words.setdefault(key, Counter())[word] += 1
    names = [name for name, _ in counted.most_common(_MOST)] or list(words)
    return [_sound(name, counted, words) for name in names]


_COMMON = """
day way stay say night light right sight time mine line sign heart part start apart love above heaven seven rain pain
again name blue you true through sky high why goodbye fire desire higher free me sea be home alone stone known mind find
behind kind down town around ground dream stream seem life knife strife strong long song wrong eyes skies rise lies hand
land stand sand feel real steel heal dark park spark cold hold old gold
"""
"""Words that songs rhyme on, where there is no text to count in."""


def _sound(name: str, counted: Counter[str], words: dict[str, Counter[str]], **more: Any) -> dict[str, Any]:
    examples = [word for word, _ in words.get(name, Counter()).most_common(_EXAMPLES)]
    return {"sound": name, **more, "examples": examples, "lines": counted[name]}


def _is(word: str, language: str) -> bool:
    return bool(word) and (word[0].isascii() == (language == "en"))


def _lines(served: Served) -> Iterator[str]:
    """Lines of the model's training text; none where it is gone."""
    corpus = corpus_of(served.model.path, served.model.config)
    if corpus is not None:
        yield from islice((line for text in corpus.texts("train") for line in text.split("\n") if line), _LINES)
