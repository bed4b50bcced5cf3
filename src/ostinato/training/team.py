"""Who trains a model: one process, or several that share every minibatch.

The trainer asks its team at four places: the gradients between backward and clipping, the clock and the wish to stop
before each step, the losses of an evaluation, and the carried state when a checkpoint is written or read.
"""

from collections.abc import Sequence
from typing import Protocol

import torch


class Team(Protocol):
    """Processes that train one model together, each on its own rows of every minibatch.

    All members make the same calls in the same order. Only the one of rank 0 writes files and tells observers.
    """

    @property
    def rank(self) -> int:
        """This member's number, 0 .. size - 1."""

    @property
    def size(self) -> int:
        """How many members there are."""

    def reduce(self, parameters: Sequence[torch.Tensor], loss: float, count: int) -> tuple[float, int]:
        """Replace every gradient by that of the whole minibatch; returns its mean loss and number of targets.

        This member's loss and gradients are means over its own `count` targets. A value that is not finite in one
        member becomes one in all of them, so that all skip the minibatch.
        """

    def agree(self, seconds: float, interrupted: bool) -> tuple[float, bool]:
        """The clock of rank 0, and whether any member is to stop."""

    def lead(self, loss: float | None) -> float | None:
        """The value that rank 0 has."""

    def gather(self, state: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """The state of all rows, from that of this member's rows, (..., rows, units) each."""

    def own(self, state: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """The state of this member's rows, from that of all: the inverse of `gather`."""


class Alone:
    """A team of one: nothing to exchange, and nothing done."""

    rank = 0
    size = 1

    def reduce(self, parameters: Sequence[torch.Tensor], loss: float, count: int) -> tuple[float, int]:
        """The minibatch is its own."""
        return loss, count

    def agree(self, seconds: float, interrupted: bool) -> tuple[float, bool]:
        """What it says itself."""
        return seconds, interrupted

    def lead(self, loss: float | None) -> float | None:
        """Its own."""
        return loss

    def gather(self, state: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """It has all rows."""
        return state

    def own(self, state: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """All rows are its own."""
        return state


ALONE = Alone()


def flat_gradients(parameters: Sequence[torch.Tensor], loss: float, count: int) -> torch.Tensor:
    """What a member adds to the sum of all: its gradients, its loss, both times `count`, and the count; one buffer."""
    flat = torch.cat([p.grad.flatten() if p.grad is not None else torch.zeros_like(p).flatten() for p in parameters])
    return torch.cat([flat * count, flat.new_tensor([loss * count, count])])


def put_back(parameters: Sequence[torch.Tensor], total: torch.Tensor) -> tuple[float, int]:
    """Set the gradients from the sum of all members' `flat_gradients`; returns the mean loss and number of targets."""
    count = float(total[-1])
    means, at = total[:-1] / max(count, 1.0), 0
    for p in parameters:
        p.grad = means[at : at + p.numel()].view_as(p)
        at += p.numel()
    return float(means[-1]), round(count)
