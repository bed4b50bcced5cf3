"""What is to be compared, and what comes of each model."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ostinato.ngram import SavedPart
from ostinato.protocols import StepModel
from ostinato.settings import Recipe


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to compare. order: the longest n-grams. model: a trained network to measure; otherwise one is trained by
    `recipe`, or none where `network` is False. window: the tokens that a network without a hidden state sees (0: none
    is trained). cache: tokens that the caches remember. heldout: a text to measure on; by default a part of the text is
    held out. dynamic: dynamic evaluation, too, which takes many times as long as scoring. out: the folder of all
    results. overwrite: they replace those of an earlier comparison.
    """

    out: Path
    recipe: Recipe
    order: int = 5
    model: Path | None = None
    network: bool = True
    window: int = 0
    cache: int = 2000
    heldout: str | None = None
    dynamic: bool = True
    device: str = "auto"
    encoding: str | None = None
    progress: bool = True
    overwrite: bool = False


@dataclass(frozen=True)
class Measured:
    """A model with what it gives the held-out tokens, (T,) nats, and what it cost."""

    name: str
    group: str
    scores: npt.NDArray[np.float64]
    seconds: float
    scoring_seconds: float
    parameters: int = 0
    bytes: int = 0
    model: StepModel | None = None
    saved: SavedPart | None = None
    longest_copy: int | None = None
