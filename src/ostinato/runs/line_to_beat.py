"""What a network has to beat: a Kneser-Ney model of the same text, which is counted in seconds."""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ostinato.evaluation import Evaluation, evaluate
from ostinato.ngram import NgramModel, fit_ngram
from ostinato.runs.task import Run
from ostinato.terminal import activity
from ostinato.text import Corpus

ORDER = 5
SPLIT = f"held-out, Kneser-Ney {ORDER}"
"""The n-gram model's entry in the evaluation of a network."""
MOST_TOKENS = 5_000_000
"""A longer text is not counted: that would take long, and there a network is ahead anyway."""


@dataclass(frozen=True)
class Line:
    """The held-out figure of the n-gram model; `seconds` is None where an earlier run counted it."""

    evaluation: Evaluation
    seconds: float | None = None

    def __str__(self) -> str:
        counted = "" if self.seconds is None else f" (counted in {self.seconds:.1f} s)"
        bits = self.evaluation.bits_per_character
        return f"a Kneser-Ney {ORDER}-gram has {bits:.2f} bits per held-out character: the line to beat{counted}"


def find_line(run: Run, corpus: Corpus) -> Line | None:
    """The line to beat: from the model that a resumed run has saved, else counted now. None where nothing is held out,
    the text is too long, or another process of a team does it."""
    if not corpus.heldout.tokens or is_long(corpus) or (run.team is not None and run.team.rank):
        return None
    if run.recorded is not None and (before := _recorded(run.out / "model")) is not None:
        return Line(before)
    started = time.perf_counter()
    with activity(f"counting n-grams of order {ORDER}, the line to beat"):
        evaluation = evaluate(count(corpus), corpus.heldout.ids, corpus.heldout.characters)
    return Line(evaluation, time.perf_counter() - started)


def is_long(corpus: Corpus) -> bool:
    """Whether the text is too long to be counted."""
    return corpus.train.tokens > MOST_TOKENS


def count(corpus: Corpus) -> NgramModel:
    """The n-gram model of the training split."""
    return fit_ngram(corpus.train.ids, corpus.tokenizer.vocabulary_size, order=ORDER)


def _recorded(model: Path) -> Evaluation | None:
    """What the config of a saved model says of the line."""
    try:
        values = json.loads((model / "config.json").read_text("utf-8"))["evaluation"][SPLIT]
        return Evaluation(float(values["nats"]), values["tokens"], values["characters"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def verdict(evaluation: Mapping[str, Any]) -> str | None:
    """What is to be said at the end where the network of this `evaluation` is not below the line."""
    own, line = evaluation.get("held-out"), evaluation.get(SPLIT)
    if own is None or line is None:
        return None
    bits = math.inf if own["bits_per_character"] is None else own["bits_per_character"]
    if bits < line["bits_per_character"]:
        return None
    return (
        f"the network did not beat the n-gram model: {bits:.2f} bits per held-out character, Kneser-Ney has "
        f"{line['bits_per_character']:.2f}. Give it more time or more text, or take --recipe kneser-ney"
    )
