"""Which part of a text is held out: whole documents, or the tail of a single one. Independent of any training seed."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.errors import ShortTextError
from ostinato.text.documents import Piece

TRAIN, HELDOUT = 0, 1
SEED = 20260101
SHORTEST = 20
MOST = 2_000_000
"""Characters: of a very long text no larger part is held out, since every evaluation reads all of it."""


@dataclass(frozen=True)
class SplitPlan:
    """`kind` is `documents` (those in `mask` are held out), `tail` (from character `cut` on), or `none`.

    `share` is what was asked for.
    """

    kind: str
    share: float
    mask: npt.NDArray[np.bool_]
    cut: int = 0

    def divide(self, pieces: Iterable[Piece]) -> Iterator[tuple[int, Piece]]:
        """Each piece with its part, TRAIN or HELDOUT; the piece that a tail begins in is cut in two."""
        document = position = 0
        for piece in pieces:
            if self.kind == "documents":
                # more documents than were counted: the text has changed, which `prepare` notices at its end
                yield int(document < len(self.mask) and self.mask[document]), piece
            elif self.kind == "none":
                yield TRAIN, piece
            else:
                yield from _cut_in_two(piece, self.cut - position)
            document += piece.last
            position += len(piece.text)

    def to_json(self) -> dict[str, Any]:
        """What a bundle remembers: kind, share, and the seed of the documents or the character of the cut."""
        data = {"kind": self.kind, "share": self.share}
        if self.kind == "documents":
            return data | {"seed": SEED, "documents": len(self.mask), "heldout_documents": int(self.mask.sum())}
        return data | ({"cut": self.cut} if self.kind == "tail" else {})


def _cut_in_two(piece: Piece, at: int) -> Iterator[tuple[int, Piece]]:
    if at > 0:
        yield TRAIN, Piece(piece.text[:at], piece.last or at <= len(piece.text))
    if at < len(piece.text):
        yield HELDOUT, Piece(piece.text[max(0, at) :], piece.last)


def plan_split(documents: int, characters: int, share: float) -> SplitPlan:
    """Hold out `share` of the documents, at least one, or of the characters when there is only one document; a smaller
    share of a text so long that this would be more than MOST characters.

    Raises ShortTextError for a single document of fewer than 20 characters: either part would be next to nothing.
    """
    nothing = np.zeros(0, np.bool_)
    if share == 0:
        return SplitPlan("none", share, nothing)
    part = min(share, MOST / characters)
    if documents > 1:
        return SplitPlan("documents", share, _chosen(documents, max(1, round(part * documents))))
    if characters < SHORTEST:
        raise ShortTextError(f"the text has {characters} characters, too few to hold a part out ({SHORTEST})")
    return SplitPlan("tail", share, nothing, int((1 - part) * characters))


def _chosen(documents: int, count: int) -> npt.NDArray[np.bool_]:
    """(documents,) bool with `count` True: those that draw the smallest numbers, the same in any NumPy.

    Draws have 16 bits, which takes 5 bytes per document in all; equal ones go by order.
    """
    generator = np.random.PCG64(SEED)
    block = 1 << 20
    draws = np.concatenate([
        (generator.random_raw(min(block, documents - start)) >> 48).astype(np.uint16)
        for start in range(0, documents, block)
    ])  # fmt: skip
    limit = np.partition(draws, count - 1)[count - 1]
    mask: npt.NDArray[np.bool_] = draws < limit
    mask[np.flatnonzero(draws == limit)[: count - int(mask.sum())]] = True
    return mask
