"""Models of counts of a run's text, made before its network learns: what it has to beat, and what it is mixed with."""

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ostinato.mixing import fit_mixing, is_compiled, to_tensors
from ostinato.ngram import SavedPart
from ostinato.protocols import StepModel
from ostinato.runs.line_to_beat import Line, count, is_long
from ostinato.terminal import activity
from ostinato.text import Corpus

MIXING_SPLIT = "held-out, context mixing"
_MOST_MIXED = 1 << 22
"""Largest training text, in tokens, for a context-mixing model: by then its tables are full (150 MB)."""
_MOST_VALUES = 1_000
"""Tokens of a vocabulary for which it is worth its size: Chinese characters gain 0.1 % over a gate with n-grams."""
_TOKENS_PER_SECOND = 75_000
"""Assumed speed, that of half a core; whether the model is made depends on this number, not on the clock."""
_SHARE = 0.25
"""The largest share of the minutes that it may take."""


@dataclass(frozen=True)
class Counted:
    """A model of counts, and what it gives each held-out token: scores (T,), natural logarithms."""

    name: str
    split: str
    model: StepModel
    saved: SavedPart
    scores: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """models: the cheapest to use first. seconds: what they took. reason: why there are none. line: the line to beat,
    which is the n-gram model's."""

    models: tuple[Counted, ...] = ()
    seconds: float = 0.0
    reason: str = ""
    line: Line | None = None


def find_counts(corpus: Corpus, minutes: float | None) -> Counts:
    """The models of the training split, for a run of so many minutes (None: as long as it takes)."""
    if not corpus.heldout.tokens:
        return Counts(reason="nothing is held out to fit its weights on (text.heldout)")
    if is_long(corpus):
        return Counts(reason=f"the text has {corpus.train.tokens:,} tokens, too many to count")
    started = time.perf_counter()
    line, ngram, scores = count(corpus)
    models = [Counted(line.name, line.split, ngram, SavedPart("ngram", ngram.settings, ngram.arrays), scores)]
    if _has_time(corpus, minutes):
        with activity("learning a context-mixing model"):
            counters = fit_mixing(corpus.train.ids, corpus.tokenizer)
            saved = SavedPart("context-mixing", counters.settings, to_tensors(counters))
        models.append(Counted("context mixing", MIXING_SPLIT, counters, saved, counters.score(corpus.heldout.ids)))
    return Counts(tuple(models), time.perf_counter() - started, line=line)


def _has_time(corpus: Corpus, minutes: float | None) -> bool:
    """Whether a context-mixing model is made: for a text and a vocabulary that it suits, where there is time."""
    tokens = corpus.train.tokens
    fits = tokens <= _MOST_MIXED and corpus.tokenizer.vocabulary_size <= _MOST_VALUES and is_compiled()
    return fits and (minutes is None or tokens / _TOKENS_PER_SECOND <= _SHARE * 60 * minutes)
