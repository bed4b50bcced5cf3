"""What a hidden unit follows: features of the places of a text, and how each unit goes along with them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_OPEN = {"“": "”", "「": "」", "『": "』", "‘": "’", "«": "»"}


def features(text: str, starts: Sequence[int], ends: Sequence[int], search: str = "") -> dict[str, Floats]:
    """Features of tokens that end at the characters `ends` of `text`, (T,) each, of the moment after the token.

    line_end: the line is over after it. line_start: it is the line's first. position: its place in the line.
    quotes: inside quotation marks. word_start: it begins a word after a blank. capitals: it has one. search: it lies in
    an occurrence of `search`. Those that are the same everywhere are left out.
    """
    inside = _inside_quotes(text)
    place = _places_in_line(text)
    last = [max(end - 1, 0) for end in ends]
    begun = [min(start, max(len(text) - 1, 0)) for start in starts]
    found = {
        "line_end": [end >= len(text) or text[end] == "\n" for end in ends],
        "line_start": [place[at] == 0 for at in begun],
        "position": [place[at] for at in last],
        "quotes": [inside[at] for at in last],
        "word_start": [text[at].isalnum() and (at == 0 or not text[at - 1].isalnum()) for at in begun],
        "capitals": [any(c.isupper() for c in text[a:b]) for a, b in zip(starts, ends, strict=True)],
    }
    if search:
        marked = np.zeros(len(text) + 1, bool)
        at = text.find(search)
        while at >= 0:
            marked[at : at + len(search)] = True
            at = text.find(search, at + 1)
        found["search"] = [bool(marked[at]) for at in last]
    arrays = {name: np.array(values, np.float64) for name, values in found.items()}
    return {name: values for name, values in arrays.items() if len(values) and np.ptp(values) > 0}


def _inside_quotes(text: str) -> list[bool]:
    """Of each character whether it stands inside quotation marks, which end with their paragraph at the latest."""
    found, waiting = [], ""
    for at, character in enumerate(text):
        if waiting and (character == waiting or text.startswith("\n\n", at)):
            waiting = ""
        elif not waiting and (character in _OPEN or character == '"'):
            waiting = _OPEN.get(character, '"')
        found.append(bool(waiting))
    return found


def _places_in_line(text: str) -> list[int]:
    found, begin = [], 0
    for at, character in enumerate(text):
        found.append(at - begin)
        if character == "\n":
            begin = at + 1
    return found


def correlations(units: npt.NDArray[np.float32], feature: Floats) -> Floats:
    """Pearson's correlation of each unit, (T, H), with a feature, (T,): (H,); 0 for a unit that does not change."""
    centred = units - units.mean(axis=0)
    f = feature - feature.mean()
    scale = np.sqrt((centred.astype(np.float64) ** 2).sum(axis=0) * (f**2).sum())
    products = centred.T.astype(np.float64) @ f
    found: Floats = np.divide(products, scale, out=np.zeros(len(products)), where=scale > 1e-12)
    return found
