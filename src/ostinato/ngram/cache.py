"""A cache: words that were just used come back (Kuhn & De Mori 1990; in a mixture: Grave et al. 2017)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ostinato.errors import UsageError
from ostinato.protocols import Floats, Ids

Recent = npt.NDArray[np.int64]

_NOTHING = -1


@dataclass(frozen=True)
class UnigramCache:
    """p(w) = (how often w is among the last `window` tokens + base(w)) / (how many those are + 1).

    base: (V,) float64, the distribution before anything was read; sums to 1. The memory reaches over ends of
    documents: a cache adapts to the text it reads. A state is (batch, window) int64, the last tokens, oldest first,
    and -1 before the first.
    """

    base: npt.NDArray[np.float64]
    window: int

    def __post_init__(self) -> None:
        if self.window < 1:
            raise UsageError(f"the window of a cache must be 1 token or more, got {self.window}")

    @property
    def vocabulary_size(self) -> int:
        """V, the number of token ids."""
        return len(self.base)

    def initial_state(self, batch: int) -> Recent:
        """Nothing read."""
        return np.full((batch, self.window), _NOTHING, dtype=np.int64)

    def step(self, ids: Ids, state: Recent) -> tuple[Floats, Recent]:
        """Read one token a row: ids (batch,). Returns log-probabilities (batch, V) float64 and the new state."""
        new_state = np.concatenate([state[:, 1:], np.asarray(ids, dtype=np.int64)[:, None]], axis=1)
        counts = np.array([np.bincount(row[row >= 0], minlength=self.vocabulary_size) for row in new_state])
        total = counts.sum(axis=1, keepdims=True)
        with np.errstate(divide="ignore"):
            return np.log((counts + self.base) / (total + 1)), new_state

    def select(self, state: Recent, rows: npt.NDArray[np.intp]) -> Recent:
        """The state of the given rows, in that order."""
        return state[rows]

    def score(self, ids: Ids) -> npt.NDArray[np.float64]:
        """ln P(ids[t] | the `window` tokens before it) for every t: (T,) float64."""
        return self.score_many([ids])[0]

    def score_many(self, texts: Sequence[Ids]) -> list[npt.NDArray[np.float64]]:
        """`score` of each text.

        Vectorised: sorted by text, token and place, the occurrences of one token since a place are a run.
        """
        sizes = [len(ids) + 1 for ids in texts]
        starts = np.cumsum([0, *sizes])
        if not texts:
            return []
        read = np.zeros(starts[-1], np.int64)  # the 0 that every text starts from has been read
        for start, ids in zip(starts[:-1], texts, strict=True):
            read[start + 1 : start + 1 + len(ids)] = ids
        places, begins = np.arange(len(read)), np.repeat(starts[:-1], sizes)
        tokens = np.repeat(np.arange(len(texts)), sizes) * self.vocabulary_size + read
        keys = tokens * len(read) + places
        by_token = np.sort(keys)
        first = np.maximum(places - self.window, begins)
        count = np.searchsorted(by_token, keys) - np.searchsorted(by_token, tokens * len(read) + first)
        with np.errstate(divide="ignore"):
            scores: npt.NDArray[np.float64] = np.log((count + self.base[read]) / (places - first + 1))
        return [scores[start + 1 : start + size] for start, size in zip(starts[:-1], sizes, strict=True)]

    def join(self, states: Sequence[Recent]) -> Recent:
        """One state with the rows of all `states`."""
        return np.concatenate(states)
