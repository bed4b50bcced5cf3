"""What a user should be told of a text: copies in it, accents written in two ways, a script unknown to a model."""

import unicodedata
from array import array
from typing import Literal

import numpy as np
import numpy.typing as npt

from ostinato.text.documents import Piece
from ostinato.text.split import SplitPlan
from ostinato.text.tokenizers import BaseTokenizer

WORK = 80
"""Characters from which on two equal documents are copies of one work; shorter ones, such as lines, may well recur."""
SAMPLE = 200_000
UNKNOWN = 0.2
"""Share of characters outside the vocabulary from which on a text is not of the kind that the model learnt."""


class Watch:
    """Sees a text's documents go by: a key of each, and how its accents are written. 8 bytes per document are kept."""

    def __init__(self) -> None:
        self._keys = array("q")
        self._key = self._length = self._decomposed = self._sampled = 0
        self._sample: list[str] = []

    def add(self, piece: Piece) -> None:
        """The next piece of a document."""
        text = piece.text
        self._key = hash((self._key, text)) if self._length else hash(text)
        self._length += len(text)
        if not text.isascii():
            if not unicodedata.is_normalized("NFC", text):
                self._decomposed += len(text) - len(unicodedata.normalize("NFC", text))
            self._sample_more(text)
        elif not self._sample:
            self._sample_more(text)
        if piece.last:
            self._keys.append(self._key if self._length >= WORK else 0)
            self._key = self._length = 0

    def _sample_more(self, text: str) -> None:
        if self._sampled < SAMPLE:
            self._sample.append(text[: SAMPLE - self._sampled])
            self._sampled += len(self._sample[-1])

    @property
    def sample(self) -> str:
        """Some of the text, from its beginning."""
        return "".join(self._sample)

    @property
    def copies(self) -> npt.NDArray[np.int64]:
        """(documents,) int64: equal for documents of WORK characters and more that are equal, 0 for shorter ones."""
        return np.frombuffer(self._keys, np.int64) if self._keys else np.zeros(0, np.int64)

    def notes(self, plan: SplitPlan) -> list[str]:
        """What is to be said of how the text is written, and of works that it has more than once."""
        found = []
        if self._decomposed:
            composed = len(unicodedata.normalize("NFD", self.sample)) > len(self.sample)
            how = "others are composed (NFC): to a model they are different letters" if composed else (
                "while keyboards type composed ones (NFC), which the model will not know")  # fmt: skip
            count = f"{self._decomposed:,} accents stand apart from their letters (NFD)"
            found.append(f"{count}, {how}; convert the text to NFC")
        keys = self.copies
        works = keys[keys != 0]
        distinct = len(np.unique(works))
        if distinct < len(works):
            where = ""
            if plan.kind == "documents":
                where = "; all copies of one are on one side of the split"
                if _are_parted(plan, keys):
                    where = "; what is held out is learnt as well, so its figures mean nothing: give each text once"
            number = len(works) - distinct
            are = " documents is a copy of another" if number == 1 else " documents are copies of others"
            found.append(f"{number:,} of {len(keys):,}{are}{where}")
        return found


def keep_together(plan: SplitPlan, copies: npt.NDArray[np.int64]) -> SplitPlan:
    """`plan` with all copies of a document where the first one is; itself where nothing changes, or a side would be
    left without documents."""
    if plan.kind != "documents" or len(copies) != len(plan.mask):
        return plan
    _, first, which = np.unique(copies, return_index=True, return_inverse=True)
    mask = np.where(copies == 0, plan.mask, plan.mask[first[which]])
    if mask.all() or not mask.any() or np.array_equal(mask, plan.mask):
        return plan
    return SplitPlan(plan.kind, plan.share, mask)


def _are_parted(plan: SplitPlan, copies: npt.NDArray[np.int64]) -> bool:
    """Whether a document is on one side of the split and a copy of it on the other."""
    return len(copies) == len(plan.mask) and bool(np.isin(copies[plan.mask & (copies != 0)], copies[~plan.mask]).any())


def unfamiliar(tokenizer: BaseTokenizer, text: str) -> str | None:
    """What to say of a text with many characters that a tokenizer's vocabulary lacks; None if it has few."""
    known = set(tokenizer.characters)
    share = _unknown(text, known)
    if not known or not share:
        return None
    forms: tuple[tuple[Literal["NFC", "NFD"], str], ...] = (("NFC", "decomposed (NFD)"), ("NFD", "composed (NFC)"))
    for form, there in forms:
        other = unicodedata.normalize(form, text)
        if other != text and share > 0.005 and _unknown(other, known) < share / 2:
            return f"accents are {there} here, and {form} in the text that the model learnt: convert the text to {form}"
    if share < UNKNOWN:
        return None
    letters = "".join(dict.fromkeys(c for c in text if not c.isspace() and c not in known))[:5]
    return (
        f"{share:.0%} of the characters (such as {letters}) did not occur in the text that the model learnt: it spells "
        "them in bytes and knows nothing about such texts"
    )


def _unknown(text: str, known: set[str]) -> float:
    """Share of the characters of a text, white space apart, that are not known."""
    filled = [character for character in text if not character.isspace()]
    return sum(character not in known for character in filled) / max(1, len(filled))
