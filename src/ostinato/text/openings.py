"""Where a text may begin, learnt from the training text: after what, and with which characters.

Documents begin after END_OF_DOCUMENT, and a model of many documents has seen how. A model of one long document, a novel
say, has not: it would begin anywhere, in the middle of a word. So it reads what stands before a paragraph, a line or a
sentence in its training text, the largest unit of which there are enough.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ostinato.errors import BundleError
from ostinato.protocols import END_OF_DOCUMENT, Tokenizer
from ostinato.text.sounds_zh import HAN
from ostinato.text.utf8 import FIRST_BYTE, FIRST_CHARACTER

ENOUGH = (50, 5)
"""A unit that begins so often is one to begin with; the second number where no unit has the first."""
MOST_TOKENS = 500_000
"""Of the training text, so many tokens are looked at."""
SAMPLE = 400
"""The letters to begin with come from so many beginnings; where there are fewer, from those of sentences, too."""
MOST = 20_000
"""Beginnings that the letters are taken from."""
LETTERS = 3
"""So many letters are as the training text begins; a Chinese character alone."""
RARE = 0.1
"""A character is none to begin with if it begins a unit less than this many times as often as chance would have it."""
LONGEST = 8
_LATIN_ENDS, _CHINESE_ENDS, _CLOSING = ".!?", "。！？", "”’」』》）\"')"

Places = npt.NDArray[np.intp]
Row = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Opening:
    """What a text without a prompt begins after, and with.

    after: ids that the model reads after END_OF_DOCUMENT. first: beginnings of at most LETTERS characters, one of which
    the text has (none: it may have any); of a `byte` tokenizer its bytes, as the characters of those numbers; the last
    character of the text, for a model that reads from right to left. trim: whether the first drawn token brings a
    blank along, which the text does not have.
    """

    after: tuple[int, ...] = ()
    first: tuple[str, ...] = ()
    trim: bool = False

    def to_json(self) -> dict[str, Any]:
        """As it stands in a bundle's `config["text"]["opening"]`: `first` is one text, with newlines between."""
        return {"after": list(self.after), "first": "\n".join(self.first), "trim": self.trim}


class Openings:
    """What may be drawn at the beginning of a text of one tokenizer; `backward`: at its end, from right to left."""

    def __init__(self, opening: Opening, tokenizer: Tokenizer, *, backward: bool = False) -> None:
        self._whole = frozenset(opening.first)
        self._parts = frozenset(one[:n] for one in opening.first for n in range(len(one)))
        self._trim, self._backward = opening.trim, backward
        self._texts = token_texts(tokenizer) if opening.first else []
        self._masks: dict[str, npt.NDArray[np.bool_] | None] = {}

    def __bool__(self) -> bool:
        return bool(self._whole)

    def after(self, begun: str, token_id: int) -> str | None:
        """The beginning after one more token; None once it is one of the training text's, or none at all."""
        text = self._added(begun, self._texts[token_id])
        return text if text in self._parts and text not in self._whole else None

    def forbidden(self, begun: str) -> npt.NDArray[np.bool_] | None:
        """(V,) bool, the ids that may not follow what is `begun`; None where any may."""
        if begun not in self._masks:
            fits = np.fromiter((self._fits(begun, text) for text in self._texts), np.bool_, len(self._texts))
            self._masks[begun] = ~fits if fits.any() else None
        return self._masks[begun]

    def _added(self, begun: str, text: str) -> str:
        if self._backward:
            return text[-1:]
        return begun + (text.lstrip(" ") if self._trim and not begun else text)

    def _fits(self, begun: str, text: str) -> bool:
        whole = self._added(begun, text) if text else ""
        if not whole:
            return False
        return whole in self._parts or any(whole[:n] in self._whole for n in range(1, LETTERS + 1))


class _Unit(NamedTuple):
    """Where the units of one kind begin in the ids, what is read before one, and whether its blank is left out."""

    places: Places
    after: tuple[int, ...]
    trim: bool = False


def read_opening(text: Mapping[str, Any], vocabulary_size: int) -> Opening:
    """The opening in a bundle's `config["text"]`; bundles saved before there were any have none. Raises BundleError."""
    table = text.get("opening")
    if table is None:
        return Opening()
    try:
        after, first, trim = table["after"], table["first"], table["trim"]
        fits = isinstance(after, list) and isinstance(first, str) and isinstance(trim, bool)
        if not (fits and len(after) <= LONGEST and all(type(i) is int and 0 <= i < vocabulary_size for i in after)):
            raise ValueError
        begins = tuple(first.split("\n")) if first else ()
        if not all(0 < len(one) <= LETTERS for one in begins):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise BundleError(f"text.opening cannot be {table!r:.60}; train or copy the model again") from None
    return Opening(tuple(after), begins, trim)


def learn_opening(ids: npt.ArrayLike, tokenizer: Tokenizer, *, backward: bool = False) -> Opening:
    """How the texts of a training text's ids (T,) begin, in the order in which they are read.

    `backward`: they are in the order from the right, so that this is how lines end.
    """
    return _Text(np.asarray(ids)[:MOST_TOKENS].astype(np.int64), tokenizer, backward).opening()


def token_texts(tokenizer: Tokenizer) -> list[str]:
    """The text of each token, V of them; "" for END_OF_DOCUMENT, and for bytes unless all tokens are some."""
    if tokenizer.kind == "byte":
        return ["", *map(chr, range(256)), *[""] * (tokenizer.vocabulary_size - FIRST_CHARACTER)]
    return [""] * FIRST_CHARACTER + [tokenizer.token(i) for i in range(FIRST_CHARACTER, tokenizer.vocabulary_size)]


class _Text:
    """The beginning of a training text, and which of its tokens are what."""

    def __init__(self, ids: Row, tokenizer: Tokenizer, backward: bool) -> None:
        self.row = np.concatenate([[END_OF_DOCUMENT], ids])  # so that every place has one before it
        self.tokenizer, self.backward, self.texts = tokenizer, backward, token_texts(tokenizer)
        end = slice(-1, None) if backward else slice(0, 1)
        self.heads = [text[end] for text in self.texts]
        newlines = self._beginning("\n")
        newlines[FIRST_BYTE + 0x0A] = True
        self.ends, self.breaks = self.row == END_OF_DOCUMENT, newlines[self.row]
        self.text = ~self.ends & ~self.breaks

    def _beginning(self, characters: Iterable[str]) -> npt.NDArray[np.bool_]:
        """(V,) bool, the tokens that begin with one of these."""
        known = set(characters)
        return np.fromiter((head in known for head in self.heads), np.bool_, len(self.heads))

    def opening(self) -> Opening:
        """The largest unit of which there are enough."""
        documents, paragraphs, lines = self._lines()
        sentences = _Unit(lines.places[:0], ()) if self.backward else self._sentences()
        units = [documents, paragraphs, *([] if self._wrapped(lines, sentences) else [lines]), sentences]
        for least in ENOUGH:
            for at, unit in enumerate(units):
                if len(unit.places) >= least:
                    return self._opening(unit, [] if len(unit.places) >= SAMPLE else units[at + 1 :])
        words = self._words()
        return self._opening(words, []) if len(words.places) >= ENOUGH[1] else Opening()

    def _opening(self, unit: _Unit, others: list[_Unit]) -> Opening:
        places = np.concatenate([unit.places, *(other.places for other in others if other.trim == unit.trim)])
        return Opening(unit.after, self._firsts(places, unit.trim), unit.trim)

    def _lines(self) -> Iterator[_Unit]:
        """Documents, paragraphs, lines."""
        yield _Unit(np.flatnonzero(_after(self.ends) & self.text), ())
        begins = np.flatnonzero(_after(self.breaks) & self.text)
        before = np.maximum.accumulate(np.where(self.breaks, -1, np.arange(len(self.row))))  # the last other token
        runs = begins - 1 - before[begins - 1]
        for shortest in (2, 1):
            chosen, lengths = begins[runs >= shortest], runs[(runs >= shortest) & (runs <= LONGEST)]
            length = int(np.bincount(lengths).argmax()) if len(lengths) else 0
            yield _Unit(chosen, self._before(begins[runs == length], length))

    def _wrapped(self, lines: _Unit, sentences: _Unit) -> bool:
        """Whether lines end anywhere, as in a book: many begin with a small letter, and few sentences do."""
        small = self._beginning(head for head in set(self.heads) if head.islower())
        return bool(
            len(sentences.places) >= ENOUGH[1]
            and small[self.row[lines.places]].sum() > 0.3 * len(lines.places)
            and small[self.row[sentences.places]].sum() < 0.3 * len(sentences.places)
        )

    def _sentences(self) -> _Unit:
        """Beginnings after a mark and a blank, after a mark where words bring their blank along, or after a Chinese
        mark: whatever there is most of."""
        latin, chinese = self._beginning(_LATIN_ENDS)[self.row], self._beginning(_CHINESE_ENDS)[self.row]
        blank, blanks = self._blank(), self._beginning(" ")[self.row]
        after_chinese = _after(chinese) & self.text & ~chinese & ~self._beginning(_CLOSING)[self.row]
        found = [
            (np.flatnonzero(_after(_after(latin) & blank) & ~blanks & self.text), 2, False),
            (np.flatnonzero(_after(latin) & blanks & ~blank), 1, True),
            (np.flatnonzero(after_chinese), 1, False),
        ]
        places, length, trim = max(found, key=lambda one: len(one[0]))
        return _Unit(places, self._before(places, length), trim)

    def _words(self) -> _Unit:
        """Beginnings after a blank, where a text has neither lines nor sentences."""
        places = np.flatnonzero(_after(self._blank()) & ~self._blank() & self.text)
        return _Unit(places, self._before(places, 1))

    def _blank(self) -> npt.NDArray[np.bool_]:
        ids = self.tokenizer.encode(" ")
        found: npt.NDArray[np.bool_] = self.row == (int(ids[0]) if len(ids) == 1 else -1)
        return found

    def _before(self, places: Places, length: int) -> tuple[int, ...]:
        """The commonest ids before a beginning, so many."""
        if not len(places) or not length:
            return ()
        found, counts = np.unique(self.row[places[:, None] - np.arange(length, 0, -1)], axis=0, return_counts=True)
        return tuple(found[counts.argmax()].tolist())

    def _firsts(self, places: Places, trim: bool) -> tuple[str, ...]:
        """What units begin with; without characters that do so much less often than they stand elsewhere."""
        begins = [self._begin(place, trim) for place in places[:MOST].tolist()]
        everywhere = _by_head(np.bincount(self.row), [head.strip(" ") for head in self.heads] if trim else self.heads)
        here = Counter(begin[:1] for begin in begins if begin)
        least = RARE * len(begins) / len(self.row)
        usual = {head for head, count in here.items() if count >= least * everywhere.get(head, 0)}
        return tuple(sorted({begin for begin in begins if begin and begin[0] in usual}))

    def _begin(self, place: int, trim: bool) -> str:
        """The first letters of the unit at `place`; "" where its line has fewer."""
        ids: list[int] = self.row[place : place + LETTERS].tolist()
        if self.backward:
            return self.heads[ids[0]]
        text = "".join(self.texts[i] for i in ids[: ids.index(END_OF_DOCUMENT) if END_OF_DOCUMENT in ids else LETTERS])
        text = text.lstrip(" ") if trim else text
        if HAN.match(text):
            return text[0]
        return text[:LETTERS] if len(text) >= LETTERS and "\n" not in text[:LETTERS] else ""


def _after(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Whether the token before each is one of `mask`."""
    return np.concatenate([[False], mask[:-1]])


def _by_head(counts: npt.NDArray[np.intp], heads: list[str]) -> Counter[str]:
    """Counts of tokens (V,) as counts of the characters that they begin with."""
    found: Counter[str] = Counter()
    for token_id in np.flatnonzero(counts).tolist():
        found[heads[token_id]] += int(counts[token_id])
    return found
