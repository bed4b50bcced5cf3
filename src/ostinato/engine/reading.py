"""What a model thinks of each token it reads: log-probability, rank, and the likeliest tokens instead."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ostinato.protocols import StepModel


@dataclass(frozen=True)
class Reading:
    """One token that was read. log_probability: after all before it, in nats, at temperature 1. rank: 1 is the
    likeliest. top: the likeliest ids with their log-probabilities, the likeliest first."""

    id: int
    log_probability: float
    rank: int
    top: tuple[tuple[int, float], ...]


class Reader:
    """Reads ids with a model, from `context` on (ids that are read without being judged, at least one).

    logits: (V,), of what may come next.
    """

    def __init__(self, model: StepModel, context: Sequence[int], top: int = 0) -> None:
        """top: how many of the likeliest tokens are told."""
        self._model, self._top = model, min(top, model.vocabulary_size)
        self._state = model.initial_state(1)
        for token_id in context:
            self._step(token_id)

    def _step(self, token_id: int) -> None:
        logits, self._state = self._model.step(np.array([token_id], np.uint32), self._state)
        self.logits: npt.NDArray[np.floating] = logits[0]

    def read(self, ids: Sequence[int]) -> list[Reading]:
        """Judge and read on."""
        return [self._judged(token_id) for token_id in ids]

    def _judged(self, token_id: int) -> Reading:
        z = self.logits.astype(np.float64)
        largest = z.max()
        z -= largest + np.log(np.exp(z - largest).sum())
        likeliest = np.argpartition(-z, self._top - 1)[: self._top] if self._top else np.zeros(0, np.intp)
        likeliest = likeliest[np.lexsort((likeliest, -z[likeliest]))]
        top = tuple(zip(likeliest.tolist(), z[likeliest].tolist(), strict=True))
        found = Reading(token_id, float(z[token_id]), 1 + int((z > z[token_id]).sum()), top)
        self._step(token_id)
        return found
