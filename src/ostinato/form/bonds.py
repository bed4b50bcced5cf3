"""What the lines of a text ask of each other's rhyme.

Lines of one letter rhyme and end with different words. Lines of different letters of a stanza do not rhyme, X with none
at all. Function words carry no rhyme, and no rhyme word comes twice in a text. The last three give way where a form
cannot be met otherwise; `checking.remarks` then says so. An end that the user gave must rhyme as asked, and is free of
the other rules; lines that are still to be written keep clear of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ostinato.form.form import Outline
from ostinato.form.lexicon import Condition
from ostinato.text.sounds import LIGHT, Sounds

MEMORY = 48
"""A rhyme word does not come again within so many lines."""
_NOTHING: frozenset[str] = frozenset()
LIGHT_WORDS = frozenset().union(*LIGHT.values())
"""The function words of all languages."""


@dataclass(frozen=True)
class Bond:
    """What the last word of one line must be.

    rhymes: whether it is in a group of lines that rhyme. keys: what they share so far (None: any rhyme that `partners`
    words have). words: what they end with. ahead: what those of them that are still to come are given to end with.
    elsewhere: the rhyme words of other groups. light: the function words. foreign: rhyme keys of the lines that it must
    not rhyme with.
    """

    rhymes: bool = False
    keys: frozenset[str] | None = None
    partners: int = 0
    words: frozenset[str] = _NOTHING
    ahead: frozenset[str] = _NOTHING
    elsewhere: frozenset[str] = _NOTHING
    light: frozenset[str] = _NOTHING
    foreign: frozenset[str] = _NOTHING

    @property
    def condition(self) -> Condition:
        """The same, to look words up by."""
        partners = 0 if self.keys is not None else self.partners
        return Condition(self.keys, partners, not_words=self._not_words, not_keys=self.foreign)

    @property
    def _not_words(self) -> frozenset[str]:
        return self.words | self.ahead | self.elsewhere | self.light

    def accepts(self, line: str, sounds: Sounds) -> bool:
        """Whether a line may end as it does."""
        if self.rhymes:
            keys = sounds.keys(line)
            if not (keys if self.keys is None else keys & self.keys) or sounds.last_word(line) in self._not_words:
                return False
        return not (self.foreign and self.foreign & sounds.every_key(line))

    def looser(self) -> Iterator["Bond"]:
        """The bond itself, and what is left of it as one rule after another gives way."""
        words = replace(self, elsewhere=_NOTHING)
        light = replace(words, light=_NOTHING)
        yield from dict.fromkeys((self, words, light, replace(light, foreign=_NOTHING)))


class Bonds:
    """The bonds of an outline. given: for groups of lines, the rhymes that the form leaves them."""

    def __init__(self, outline: Outline, given: Mapping[str, frozenset[str]]) -> None:
        self._outline, self._given = outline, given
        self._rhyming = [number for number, spec in enumerate(outline.lines) if spec.rhyme]

    def bond(self, number: int, lines: Mapping[int, str]) -> Bond:
        """Of line `number`, beside the lines that are written, by their numbers.

        Lines of its group that do not rhyme themselves are passed over: a user may have written them.
        """
        spec = self._outline.lines[number]
        given_end = bool(self._outline.given_end(number))
        if not spec.rhyme:
            return Bond() if given_end or not spec.apart else Bond(foreign=self._foreign(number, lines, _NOTHING))
        sounds, keys, words, ahead = self._outline.sounds, self._asked(number), set[str](), set[str]()
        for other in self._rhyming:
            if other == number or self._outline.lines[other].rhyme != spec.rhyme:
                continue
            if other in lines:
                own, word = sounds.keys(lines[other]), sounds.last_word(lines[other])
                shared = own if keys is None else own & keys
                if shared and word not in words:
                    keys = shared
                    words.add(word)
            elif given := self._outline.given_end(other):
                ahead.add(sounds.last_word(given))
        bond = Bond(True, keys, self._outline.group_sizes[spec.rhyme])
        if given_end:
            return bond
        return replace(
            bond,
            words=frozenset(words),
            ahead=frozenset(ahead),
            elsewhere=_NOTHING if self._outline.repeat else self._elsewhere(number, lines),
            light=LIGHT_WORDS if self._outline.carries(number) else _NOTHING,
            foreign=self._foreign(number, lines, keys or _NOTHING),
        )

    def _asked(self, number: int) -> frozenset[str] | None:
        """The rhymes that the form leaves a line's group, before it has a line."""
        spec = self._outline.lines[number]
        return self._given.get(spec.rhyme, spec.keys)

    def _elsewhere(self, number: int, lines: Mapping[int, str]) -> frozenset[str]:
        """The rhyme words of near lines, written or given."""
        near = (n for n in self._rhyming if 0 < abs(n - number) <= MEMORY and self._outline.carries(n))
        ends = (lines.get(n) or self._outline.given_end(n) for n in near)
        return frozenset(self._outline.sounds.last_word(end) for end in ends if end)

    def _foreign(self, number: int, lines: Mapping[int, str], own: frozenset[str]) -> frozenset[str]:
        """The rhyme keys of the stanza's lines of other letters, but for those that the line must have."""
        keys = set[str]()
        for other, spec in enumerate(self._outline.lines):
            if not self._outline.parted(number, other):
                continue
            if other in lines:
                keys |= self._outline.sounds.every_key(lines[other])
            elif spec.rhyme:
                keys |= self._asked(other) or _NOTHING
            else:
                keys |= self._outline.sounds.every_key(self._outline.given_end(other))
        return frozenset(keys - own)
