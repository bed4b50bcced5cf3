"""A text as training data: minibatches of consecutive tokens, and the held-out loss."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ostinato.batching import Minibatches, minibatches
from ostinato.models.language_model import LanguageModel
from ostinato.models.step import TorchStepModel
from ostinato.protocols import Ids
from ostinato.settings import TrainingSettings

_ROWS, _TOKENS_A_ROW = 32, 512
"""A held-out split is scored as this many rows side by side, each of at least so many tokens."""


class LanguageData:
    """Two arrays of ids for a language model. The settings are resolved: batch_size and window are numbers."""

    def __init__(self, model: LanguageModel, train_ids: Ids, heldout_ids: Ids, settings: TrainingSettings) -> None:
        self.model, self.train_ids, self.heldout_ids, self.settings = model, train_ids, heldout_ids, settings

    def epoch(self, number: int) -> Minibatches:
        """Pairs of tokens and the tokens one step ahead, (batch_size, window) int64 each."""
        s = self.settings
        assert s.batch_size is not None
        assert s.window is not None
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
        scorer = TorchStepModel(self.model, precision=self.settings.precision)
        rows = min(max(len(self.heldout_ids) // _TOKENS_A_ROW, 1), _ROWS)
        return float(-np.mean(scorer.score_rows(self.heldout_ids, rows=rows))), {}
