"""The context-mixing model as a StepModel: it does not change while it writes and scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.kernels import mixing as kernel
from ostinato.kernels.mixing import States
from ostinato.kernels.mixing_tables import STATE_SIZE, MixingArrays
from ostinato.protocols import Floats, Ids

ADAPTING_RATE = 40
COUNTER_LIMIT = 255
"""Occurrences a counter believes to have seen at most: as many as it can count."""


@dataclass(frozen=True)
class MixingModel:
    """The next token by decisions along a tree of the vocabulary, each mixed by logistic regression from what counters
    of some twenty contexts say (Mahoney 2005; Mattern, "Mixing strategies in data compression", 2012).

    A state is (batch, STATE_SIZE) uint32: the last tokens, hashes of the words being read, the line and the line above.
    Every END_OF_DOCUMENT makes it all zeros. settings: how it was made.
    """

    arrays: MixingArrays
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def vocabulary_size(self) -> int:
        """V, the number of token ids."""
        return self.arrays.vocabulary_size

    @property
    def parameter_count(self) -> int:
        """Counters, records, weights and the entries of the maps."""
        a = self.arrays
        used = int(np.count_nonzero(a.slots[:, 0])) + int(np.count_nonzero(a.records[:, 0] & 15))
        return used + a.maps.size + a.weights.size + a.final_weights.size + a.apm.size + a.apm_last.size

    def initial_state(self, batch: int) -> States:
        """Rows that have read nothing."""
        return np.zeros((batch, STATE_SIZE), np.uint32)

    def step(self, ids: Ids, state: States) -> tuple[Floats, States]:
        """Read one token a row: ids (batch,). Returns log-probabilities (batch, V) float64 and the new state.

        Raises UsageError for an id outside the vocabulary.
        """
        after = kernel.advance(self.arrays, state, ids)
        return kernel.distribution(self.arrays, after, self._frequencies), after

    @cached_property
    def _frequencies(self) -> npt.NDArray[np.uint16]:
        return kernel.frequencies(self.arrays)

    def select(self, state: States, rows: npt.NDArray[np.intp]) -> States:
        """The state of the given rows, in that order."""
        return state[rows]

    def join(self, states: Sequence[States]) -> States:
        """One state with the rows of all `states`, in order."""
        return np.concatenate(list(states))

    def score(self, ids: Ids) -> npt.NDArray[np.float64]:
        """ln P(ids[t] | what came before in its document) for every t: (T,) float64. Raises UsageError."""
        return kernel.read(self.arrays, ids, self.initial_state(1))[0]

    def score_adapting(self, ids: Ids) -> npt.NDArray[np.float64]:
        """`score` of a copy that learns from each token once it was predicted: not comparable with `score`."""
        rates = np.full(len(ids), ADAPTING_RATE, np.int32)
        scores, _ = kernel.learn(
            self.arrays.copy(), ids, self.initial_state(1), rates=rates, counters=True, limit=COUNTER_LIMIT
        )
        return scores
