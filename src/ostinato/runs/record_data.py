"""Records as training data: what is held out, minibatches of records of similar length, and scores."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.errors import TextError, counted
from ostinato.models.task_models import Arrays, Example, TaskModel
from ostinato.settings import ResolvedTraining
from ostinato.text.records import Records
from ostinato.training.team import ALONE, Team

SPLIT_SEED = 20260101
"""What is held out does not depend on the training seed."""

SCORED = 2000
"""Records of the training part that are scored at an evaluation, and of the held-out part."""

_BUCKET = 32
"""Minibatches whose records are sorted by length together, so that little of them is padding."""


@dataclass(frozen=True)
class Part:
    """Inputs and targets, one each per record."""

    inputs: Sequence[Any]
    targets: Sequence[Any]

    def __len__(self) -> int:
        return len(self.inputs)

    def scores(self, model: TaskModel[Any], most: int | None = None) -> dict[str, float]:
        """How good a model's predictions are, for the first `most` records."""
        return model.scores(model.predict(self.inputs[:most]), self.targets[:most])


def divide(records: Records, share: float) -> tuple[Part, Part]:
    """The records to learn from, and a share of the groups that is held out.

    Raises TextError where nothing is left to learn from.
    """
    groups = np.array(records.groups)
    count = len(np.unique(groups))
    chosen = np.random.Generator(np.random.PCG64(SPLIT_SEED)).permutation(count)
    held = np.isin(groups, chosen[: max(1, round(share * count))]) if share else np.zeros(len(groups), np.bool_)
    if held.all():
        raise TextError(
            f"{counted(len(groups), 'record')} {'is' if len(groups) == 1 else 'are'} too few to hold some out: "
            "give more, or set text.heldout=0"
        )
    return _part(records, ~held), _part(records, held)


def _part(records: Records, mask: npt.NDArray[np.bool_]) -> Part:
    at = np.flatnonzero(mask)
    return Part([records.inputs[k] for k in at], [records.targets[k] for k in at])


def commonest_class(labels: Iterable[str]) -> str:
    """The class that occurs most often."""
    return Counter(labels).most_common(1)[0][0]


@dataclass(frozen=True)
class Epoch:
    """The minibatches of one epoch."""

    model: TaskModel[Any]
    examples: Sequence[Example]
    rows: Sequence[npt.NDArray[np.intp]]
    carries_state: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, k: int) -> Arrays:
        return self.model.batch([self.examples[row] for row in self.rows[k]])


class TaskData:
    """Records as `trainable.TrainingData`."""

    def __init__(
        self,
        model: TaskModel[Any],
        train: Part,
        heldout: Part,
        settings: ResolvedTraining,
        team: Team = ALONE,
    ) -> None:
        self.model, self.train, self.heldout, self.settings, self.team = model, train, heldout, settings, team
        self._train = [model.example(*record) for record in zip(train.inputs, train.targets, strict=True)]
        self._heldout = [model.example(*record) for record in zip(heldout.inputs, heldout.targets, strict=True)]
        self._lengths = np.array([model.length(example) for example in self._train])

    def target_counts(self, vocabulary_size: int) -> npt.NDArray[np.intp]:
        """How often each token occurs in the targets to learn from: (V,). For targets that are texts."""
        return np.bincount(np.concatenate([target for _, target in self._train]), minlength=vocabulary_size)

    def epoch(self, number: int) -> Epoch:
        """Every record once, in an order that is a function of (seed, number)."""
        size = self.settings.batch_size
        generator = np.random.Generator(np.random.PCG64([self.settings.seed, number]))
        order = generator.permutation(len(self._train))
        rows = []
        for start in range(0, len(order), size * _BUCKET):
            bucket = order[start : start + size * _BUCKET]
            bucket = bucket[np.argsort(self._lengths[bucket], kind="stable")]
            rows += [bucket[k : k + size] for k in range(0, len(bucket), size)]
        return Epoch(self.model, self._train, [rows[k] for k in generator.permutation(len(rows))])

    def targets(self, batch: Sequence[Any]) -> int:
        """How many targets the loss is the mean of."""
        return self.model.targets(batch)

    def evaluate(self) -> tuple[float | None, dict[str, float]]:
        """Mean held-out loss per target, and scores of at most SCORED records of each part, unless predicting takes
        long. A team shares the loss; the first of it scores."""
        scores = {}
        if self.model.quick and self.team.rank == 0:
            for name, part in (("training", self.train), ("heldout", self.heldout)):
                if len(part):
                    found = part.scores(self.model, SCORED)
                    scores.update({f"{name}_{measure}": value for measure, value in found.items()})
        return (self._mean_loss() if self._heldout else None), scores

    def _mean_loss(self) -> float:
        size = 4 * self.settings.batch_size
        order = sorted(range(len(self._heldout)), key=lambda k: self.model.length(self._heldout[k]))
        total, count = 0.0, 0
        with self.model.evaluating():
            for start in range(self.team.rank * size, len(order), self.team.size * size):
                batch = self.model.batch([self._heldout[k] for k in order[start : start + size]])
                targets = self.model.targets(batch)
                if targets:
                    total += float(self.model.network.loss(*self.model.tensors(batch))[0]) * targets
                    count += targets
        nats, all_targets = self.team.sums([total, count])
        return nats / max(all_targets, 1)

    def heldout_targets(self) -> int:
        """How many targets the held-out loss is the mean of."""
        return self.model.targets(self.model.batch(self._heldout)) if self._heldout else 0
