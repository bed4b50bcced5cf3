"""A comparison as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ostinato.evaluation.compare import ADAPTING, Comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = {
    "baseline": "#b9b9b9",
    "n-gram": "#4a6fa5",
    "window": "#d08a2e",
    "network": "#b5322f",
    "mixture": "#6b3f7d",
    ADAPTING: "#d9b8a5",
}


def draw(comparisons: Sequence[Comparison], path: Path) -> bool:
    """Bits per character of every model as bars, `path`.svg and `path`.png.

    False, with a note, where they cannot be drawn; without matplotlib there is no note.
    """
    from ostinato.runs.picture import drawn

    height = 0.9 + 0.32 * sum(len(c.rows) for c in comparisons)
    return drawn(path, 7.2, height, lambda figure: _draw(figure, comparisons))


def _draw(figure: "Figure", comparisons: Sequence[Comparison]) -> None:
    axes = figure.add_subplot()
    names, bits, shades = [], [], []
    for comparison in comparisons:
        for row in comparison.rows:
            if np.isfinite(row.evaluation.bits_per_character):
                names.append(row.name if len(comparisons) == 1 else f"{row.name} ({comparison.tokenizer})")
                bits.append(row.evaluation.bits_per_character)
                shades.append(_COLOURS[row.group])
    places = range(len(names))
    axes.barh(places, bits, color=shades)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    for place, value in zip(places, bits, strict=True):
        axes.text(value, place, f" {value:.3f}", va="center", fontsize=8)
    axes.set_xlabel("bits per character")
    axes.margins(x=0.12)
    figure.suptitle("held-out text; pale: models that adapt to it while reading", fontsize=10)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
