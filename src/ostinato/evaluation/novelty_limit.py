"""Writing without copying: a model that will not go on with what stands in the training text."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ostinato.errors import UsageError
from ostinato.evaluation.novelty import TrainingText
from ostinato.protocols import END_OF_DOCUMENT, Floats, Ids, State, StepModel


@dataclass(frozen=True)
class CopyLimit:
    """`model`, with the tokens forbidden (-inf) that would make a verbatim copy longer than `limit` tokens.

    What was read counts as well as what was written: a prompt from the training text is not continued beyond the limit
    either. END_OF_DOCUMENT is always allowed. Copies are told by their tokens; those that the training text never holds
    are forbidden as well, since they could only spell a copy in another way. A state is the model's own with the last
    `limit` tokens, (batch, limit) int64. Raises UsageError for a limit below 1.
    """

    model: StepModel
    training: TrainingText
    limit: int

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise UsageError(f"the longest copy must be 1 token or more, got {self.limit}")

    @cached_property
    def _known(self) -> npt.NDArray[np.bool_]:
        known: npt.NDArray[np.bool_] = np.bincount(self.training.ids, minlength=self.vocabulary_size) > 0
        known[END_OF_DOCUMENT] = True
        return known

    @property
    def vocabulary_size(self) -> int:
        """V, the number of token ids."""
        return self.model.vocabulary_size

    def initial_state(self, batch: int) -> State:
        """Rows that have read nothing."""
        return self.model.initial_state(batch), np.full((batch, self.limit), END_OF_DOCUMENT, dtype=np.int64)

    def step(self, ids: Ids, state: State) -> tuple[Floats, State]:
        """Read one token a row: ids (batch,). Returns the model's logits (batch, V), -inf where a copy would go on."""
        inner, last = state
        logits, inner = self.model.step(ids, inner)
        last = np.concatenate([last[:, 1:], np.asarray(ids, dtype=np.int64)[:, None]], axis=1)
        allowed = np.where(self._known, logits, -np.inf)
        for row, span in zip(allowed, last.tolist(), strict=True):
            row[self.training.continuations(span)] = -np.inf
        return allowed, (inner, last)

    def select(self, state: State, rows: npt.NDArray[np.intp]) -> State:
        """The state of the given rows, in that order."""
        inner, last = state
        return self.model.select(inner, rows), last[rows]

    def score(self, ids: Ids) -> npt.NDArray[np.float64]:
        """The model's own ln P(ids[t] | what came before), without the limit: (T,) float64."""
        return self.model.score(ids)
