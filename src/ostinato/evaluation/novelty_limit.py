"""Writing without copying: a model that will not go on with what stands in the training text."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ostinato.errors import UsageError
from ostinato.evaluation.novelty import TrainingText
from ostinato.protocols import END_OF_DOCUMENT, Floats, Ids, State, StepModel, score_many


@dataclass(frozen=True)
class NoCopies:
    """Which tokens would make a verbatim copy longer than `limit` tokens.

    END_OF_DOCUMENT is always allowed. Copies are told by their tokens; those that the training text never holds are
    forbidden as well, since they could only spell a copy in another way. Raises UsageError for a limit below 1.
    """

    training: TrainingText
    limit: int
    vocabulary_size: int

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise UsageError(f"the longest copy must be 1 token or more, got {self.limit}")

    @property
    def span(self) -> int:
        """How many of the last ids decide."""
        return self.limit

    @cached_property
    def _unknown(self) -> npt.NDArray[np.bool_]:
        unknown: npt.NDArray[np.bool_] = np.bincount(self.training.ids, minlength=self.vocabulary_size) == 0
        unknown[END_OF_DOCUMENT] = False
        return unknown

    def forbidden(self, last: Sequence[int]) -> npt.NDArray[np.bool_]:
        """(V,) bool, the ids that may not come next after the `last` ids (fewer than `limit`: a text begins there)."""
        mask = self._unknown.copy()
        mask[self.training.continuations([END_OF_DOCUMENT] * (self.limit - len(last)) + list(last))] = True
        return mask

    def around(self, model: StepModel) -> "CopyLimit":
        """`model` under this limit."""
        return CopyLimit(model, self.training, self.limit)


@dataclass(frozen=True)
class CopyLimit:
    """`model`, with the tokens forbidden (-inf) that would make a verbatim copy longer than `limit` tokens.

    What was read counts as well as what was written: a prompt from the training text is not continued beyond the limit
    either. Which tokens: see `NoCopies`. A state is the model's own with the last `limit` tokens, (batch, limit) int64.
    Raises UsageError for a limit below 1.
    """

    model: StepModel
    training: TrainingText
    limit: int

    def __post_init__(self) -> None:
        self._rule  # noqa: B018  (refuses a limit here, not first when it is used)

    @cached_property
    def _rule(self) -> NoCopies:
        return NoCopies(self.training, self.limit, self.vocabulary_size)

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
        allowed = np.where([self._rule.forbidden(row) for row in last.tolist()], -np.inf, logits)
        return allowed, (inner, last)

    def select(self, state: State, rows: npt.NDArray[np.intp]) -> State:
        """The state of the given rows, in that order."""
        inner, last = state
        return self.model.select(inner, rows), last[rows]

    def score(self, ids: Ids) -> npt.NDArray[np.float64]:
        """The model's own ln P(ids[t] | what came before), without the limit: (T,) float64."""
        return self.model.score(ids)

    def score_many(self, texts: Sequence[Ids]) -> list[npt.NDArray[np.float64]]:
        """`score` of each text."""
        return score_many(self.model, texts)
