"""What a model has to beat: knowing nothing but the vocabulary, and knowing nothing but how frequent each token is."""

import numpy as np
import numpy.typing as npt

from ostinato.errors import TextError
from ostinato.evaluation.perplexity import Evaluation, from_log_probabilities
from ostinato.protocols import Ids

_MOST_TOKENS = 20_000_000
"""Enough to know how frequent tokens are; the rest of a mapped text need not be read."""
_BLOCK = 1 << 20


def uniform(ids: Ids, vocabulary_size: int, characters: int, split: str = "held-out") -> Evaluation:
    """Every token equally likely: log V nats a token, perplexity V."""
    _check(ids, vocabulary_size)
    return Evaluation(len(ids) * float(np.log(vocabulary_size)), len(ids), characters, split)


def token_counts(training: Ids, vocabulary_size: int) -> npt.NDArray[np.intp]:
    """How often each token occurs in (the first _MOST_TOKENS of) `training`: (V,)."""
    counts = np.zeros(vocabulary_size, np.intp)
    for first in range(0, min(len(training), _MOST_TOKENS), _BLOCK):  # bincount makes 8 bytes of each id
        counts += np.bincount(training[first : min(first + _BLOCK, _MOST_TOKENS)], minlength=vocabulary_size)
    return counts


def unigram(training: Ids, ids: Ids, vocabulary_size: int, characters: int, split: str = "held-out") -> Evaluation:
    """Tokens as frequent as in (the first _MOST_TOKENS of) `training`, one added to every count so that none is
    impossible (Laplace)."""
    _check(training[:_MOST_TOKENS], vocabulary_size)
    _check(ids, vocabulary_size)
    counts = token_counts(training, vocabulary_size) + 1.0
    return from_log_probabilities(np.log(counts / counts.sum())[ids], characters, split)


def _check(ids: Ids, vocabulary_size: int) -> None:
    if vocabulary_size < 1:
        raise TextError(f"a vocabulary has at least one token, got {vocabulary_size}")
    if len(ids) and int(ids.max()) >= vocabulary_size:
        raise TextError(f"token id {int(ids.max())} is outside the vocabulary of {vocabulary_size}")
