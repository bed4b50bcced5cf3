"""How much a text rhymes: the share of lines that rhyme with a line near them."""

from collections.abc import Iterable
from dataclasses import dataclass

from ostinato.text.sounds import Sounds

NEAR = 3
"""A line may rhyme with one of this many lines before or after it."""


@dataclass(frozen=True)
class RhymeDensity:
    """Of `lines` lines, `rhyming` share a rhyme, but not the last word, with a line of their stanza at most 3 away.

    `couplets` rhyme with a neighbouring line, `alternate` with the next line but one.
    """

    lines: int
    rhyming: int
    couplets: int
    alternate: int

    @property
    def density(self) -> float:
        """Share of lines that rhyme; 0 for a text without lines."""
        return self.rhyming / self.lines if self.lines else 0.0


def rhyme_density(lines: Iterable[str], sounds: Sounds) -> RhymeDensity:
    """The rhyme density of lines; a blank line parts stanzas, and what ends in no known word counts as not rhyming."""
    total, rhyming, couplets, alternate = 0, 0, 0, 0
    for stanza in _stanzas(lines):
        ends = [(sounds.keys(line), sounds.last_word(line)) for line in stanza]
        near = [_distances(ends, i) for i in range(len(ends))]
        total += len(stanza)
        rhyming += sum(bool(distances) for distances in near)
        couplets += sum(1 in distances for distances in near)
        alternate += sum(2 in distances for distances in near)
    return RhymeDensity(total, rhyming, couplets, alternate)


def _stanzas(lines: Iterable[str]) -> Iterable[list[str]]:
    stanza: list[str] = []
    for line in lines:
        if line.strip():
            stanza.append(line)
        elif stanza:
            yield stanza
            stanza = []
    if stanza:
        yield stanza


def _distances(ends: list[tuple[frozenset[str], str]], i: int) -> set[int]:
    keys, word = ends[i]
    return {
        abs(j - i)
        for j in range(max(0, i - NEAR), min(len(ends), i + NEAR + 1))
        if j != i and keys & ends[j][0] and word != ends[j][1]
    }
