"""What a network has to beat: a Kneser-Ney model of the same text, which is counted in seconds."""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.evaluation import Evaluation, from_log_probabilities
from ostinato.ngram import NgramModel, fit_ngram
from ostinato.runs.task import Run
from ostinato.terminal import activity
from ostinato.text import Corpus

NAME = "Kneser-Ney"
SPLIT = f"held-out, {NAME} "
"""With its order behind it, the n-gram model's entry in the evaluation of a network."""
_ORDER, _HIGHER = 5, (7, 9, 10)
_LONG = 100_000
"""Tokens of a training split from which on higher orders are tried as well."""
_ENOUGH = 0.003
"""By this share each must be better than the one before: it takes more memory, up to five times as much."""
MOST_TOKENS = 5_000_000
"""A longer text is not counted: that would take long, and there a network is ahead anyway."""


@dataclass(frozen=True)
class Line:
    """The held-out figure of the n-gram model; `seconds` is None where an earlier run counted it."""

    order: int
    evaluation: Evaluation
    seconds: float | None = None

    @property
    def name(self) -> str:
        """The model's."""
        return f"{NAME} {self.order}"

    @property
    def split(self) -> str:
        """Its name in an evaluation."""
        return f"{SPLIT}{self.order}"

    def __str__(self) -> str:
        counted = "" if self.seconds is None else f" (counted in {self.seconds:.1f} s)"
        bits = self.evaluation.bits_per_character
        return f"a {NAME} {self.order}-gram has {bits:.2f} bits per held-out character: the line to beat{counted}"


def find_line(run: Run, corpus: Corpus) -> Line | None:
    """The line to beat: from the model that a resumed run has saved, else counted now. None where nothing is held out,
    the text is too long, or another process of a team does it."""
    if not corpus.heldout.tokens or is_long(corpus) or (run.team is not None and run.team.rank):
        return None
    if run.recorded is not None and (before := _recorded(run.out / "model")) is not None:
        return before
    return count(corpus)[0]


def is_long(corpus: Corpus) -> bool:
    """Whether the text is too long to be counted."""
    return corpus.train.tokens > MOST_TOKENS


def count(corpus: Corpus) -> tuple[Line, NgramModel, npt.NDArray[np.float64]]:
    """The line to beat, the n-gram model of the training split, and what that gives each held-out token: scores (T,),
    natural logarithms.

    Of order 5; of 7, 9 or 10 where the text is long and each step up predicts what is held out better. Letters in long
    texts gain up to a seventh of their bits by it, Chinese characters next to nothing
    (docs/decisions/209-defaults-measured.md).
    """
    started = time.perf_counter()
    with activity("counting n-grams, the line to beat"):
        model, scores = _counted(corpus, _ORDER)
        for order in _HIGHER if corpus.train.tokens >= _LONG else ():
            higher, theirs = _counted(corpus, order)
            if theirs.sum() <= (1 - _ENOUGH) * scores.sum():
                break
            model, scores = higher, theirs
    evaluation = from_log_probabilities(scores, corpus.heldout.characters)
    return Line(len(model.sizes), evaluation, time.perf_counter() - started), model, scores


def _counted(corpus: Corpus, order: int) -> tuple[NgramModel, npt.NDArray[np.float64]]:
    model = fit_ngram(corpus.train.ids, corpus.tokenizer.vocabulary_size, order=order)
    return model, model.score(corpus.heldout.ids)


def line_of(evaluation: Mapping[str, Any]) -> tuple[str, Any] | None:
    """The name of the n-gram model in the evaluation of a network, and its figures there; None where it has none."""
    found = next((split for split in evaluation if split.startswith(SPLIT)), None)
    return None if found is None else (found.removeprefix("held-out, "), evaluation[found])


def _recorded(model: Path) -> Line | None:
    """What the config of a saved model says of the line."""
    try:
        line = line_of(json.loads((model / "config.json").read_text("utf-8"))["evaluation"])
        if line is None:
            return None
        name, values = line
        evaluation = Evaluation(float(values["nats"]), values["tokens"], values["characters"])
        return Line(int(name.removeprefix(NAME)), evaluation)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def verdict(evaluation: Mapping[str, Any]) -> str | None:
    """What is to be said at the end where the network of this `evaluation` is not below the line."""
    own, found = evaluation.get("held-out"), line_of(evaluation)
    if own is None or found is None:
        return None
    _, line = found
    bits = math.inf if own["bits_per_character"] is None else own["bits_per_character"]
    if bits < line["bits_per_character"]:
        return None
    return (
        f"the network did not beat the n-gram model: {bits:.2f} bits per held-out character, against "
        f"{line['bits_per_character']:.2f} for Kneser-Ney. Give it more time or text, or use --recipe kneser-ney"
    )
