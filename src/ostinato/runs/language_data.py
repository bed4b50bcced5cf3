"""What a language model learns from and is judged on: a text's ids, in minibatches and as a whole."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.batching import Minibatches, minibatches
from ostinato.evaluation import Evaluation
from ostinato.models.language_model import LanguageModel
from ostinato.models.step import TorchStepModel
from ostinato.protocols import Ids
from ostinato.settings import ResolvedTraining
from ostinato.training.team import ALONE, Team

_ROWS, _TOKENS_A_ROW = 32, 512
"""A held-out split is scored as this many rows side by side, each of at least so many tokens."""


class LanguageData:
    """Two arrays of ids as `trainable.TrainingData`: minibatches of consecutive tokens, and the held-out loss."""

    def __init__(
        self,
        model: LanguageModel,
        train_ids: Ids,
        heldout_ids: Ids,
        settings: ResolvedTraining,
        team: Team = ALONE,
    ) -> None:
        self.model, self.train_ids, self.heldout_ids, self.settings = model, train_ids, heldout_ids, settings
        self.team = team

    def epoch(self, number: int) -> Minibatches:
        """Pairs of tokens and the tokens one step ahead, (batch_size, window) int64 each."""
        s = self.settings
        return minibatches(
            s.sampling,
            self.train_ids,
            batch_size=s.batch_size,
            window=s.window,
            stride=s.stride,
            seed=s.seed,
            epoch=number,
        )

    def targets(self, batch: Sequence[Any]) -> int:
        """Every token is one."""
        return int(batch[1].size)

    def evaluate(self) -> tuple[float | None, dict[str, float]]:
        """Mean loss over the whole held-out split with carried state, nats per token; no other scores."""
        if not len(self.heldout_ids):
            return None, {}
        if self.team.size == 1:
            return mean_loss(self.model, self.settings, self.heldout_ids), {}
        scores = _scorer(self.model, self.settings).score_rows(
            self.heldout_ids, rows=_rows_for(self.heldout_ids), among=(self.team.rank, self.team.size)
        )
        nats, count = self.team.sums([-float(np.sum(scores)), len(scores)])
        return nats / count, {}


def _rows_for(ids: Ids) -> int:
    """As how many rows side by side a text is scored."""
    return min(max(len(ids) // _TOKENS_A_ROW, 1), _ROWS)


def _scorer(model: LanguageModel, settings: ResolvedTraining) -> TorchStepModel:
    return TorchStepModel(model, precision=settings.precision)


def token_scores_of(model: LanguageModel, settings: ResolvedTraining, ids: Ids) -> npt.NDArray[np.float64]:
    """ln P of each token, (T,), read as rows side by side."""
    return _scorer(model, settings).score_rows(ids, rows=_rows_for(ids))


def mean_loss(model: LanguageModel, settings: ResolvedTraining, ids: Ids) -> float:
    """Nats per token of `ids`."""
    return float(-np.mean(token_scores_of(model, settings, ids)))


def evaluate_text(model: LanguageModel, settings: ResolvedTraining, ids: Ids, characters: int) -> Evaluation:
    """How well `model` predicts `ids` of so many characters."""
    return Evaluation(mean_loss(model, settings, ids) * len(ids), len(ids), characters, "held-out")
