"""What a trainer asks of a model and of its data."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch


class Batches(Protocol):
    """The minibatches of one epoch; minibatch k can be asked for directly."""

    @property
    def carries_state(self) -> bool:
        """Whether row i of minibatch k+1 continues row i of minibatch k."""

    def __len__(self) -> int: ...

    def __getitem__(self, k: int) -> Sequence[Any]:
        """NumPy arrays: the arguments of the model's `loss`, a row each per example; the last has the targets."""


class TrainingData(Protocol):
    """What a model learns from and is judged on. `LanguageData` is a text, `tasks.data.TaskData` records."""

    def epoch(self, number: int) -> Batches:
        """The minibatches of an epoch: a function of its number alone, and always as many."""

    def targets(self, batch: Sequence[Any]) -> int:
        """How many targets the loss of a minibatch is the mean of."""

    def evaluate(self) -> tuple[float | None, dict[str, float]]:
        """Mean loss over what is held out, None if nothing is; and other scores by name. The model is as it was."""


class Trainable(Protocol):
    """What a trainer asks of a model, beside being a torch.nn.Module."""

    def loss(self, *batch: Any) -> tuple[torch.Tensor, Any]:
        """The arrays of a minibatch, then a state or None: the mean loss and the new state."""

    def detach(self, state: Any) -> Any:
        """The state as a constant."""
