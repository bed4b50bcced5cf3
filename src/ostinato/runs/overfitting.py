"""A word of warning where a network learns its text by heart."""

import math
from itertools import pairwise

from ostinato.training.observers import Observer, Observers, Row

IN_A_ROW = 3
"""Evaluations, each worse than the one before: fewer happen by chance."""


class Overfitting(Observer):
    """Says once that the held-out loss rises while the training loss falls."""

    def __init__(self, seen: Observers) -> None:
        self._seen = seen
        self._rows: list[Row] = []
        self._best, self._said = 0, False

    def evaluated(self, row: Row, best: bool) -> None:
        """Compare with the evaluations before."""
        if best:
            self._best = row.step
        self._rows = [*self._rows, row][-IN_A_ROW - 1 :]
        losses = [one.heldout_loss for one in self._rows if one.heldout_loss is not None]
        if self._said or len(losses) <= IN_A_ROW or any(b <= a for a, b in pairwise(losses)):
            return
        first, last = self._rows[0].train_loss, row.train_loss
        if math.isnan(first) or math.isnan(last) or last >= first:
            return
        self._said = True
        kept = f"the best model so far (step {self._best:,})" if self._best else "the best model so far"
        self._seen.noted(
            f"overfitting: the held-out loss rose {IN_A_ROW} times in a row, from {losses[0]:.3f} to {losses[-1]:.3f}, "
            f"while the training loss fell; {kept} is kept"
        )
