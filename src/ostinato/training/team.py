"""Who trains a model: one process, or several that share every minibatch.

Every member has the same data and the same model. It computes its rows of each minibatch; the trainer asks its team for
the gradients between backward and clipping, the clock and the wish to stop, sums of an evaluation, and the carried
state when a checkpoint is written or read.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch

Touched = Mapping[torch.Tensor, torch.Tensor]
"""Of a parameter, the rows (int64) in which any member has a gradient; the same in all members. Others: all rows."""


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

    compression: str
    """`training.compression`: how gradients are sent."""

    def reduce(self, parameters: Sequence[torch.Tensor], loss: float, touched: Touched) -> float:
        """Replace every gradient by the sum of all members'; returns the sum of their losses.

        A value that is not finite in one member becomes one in all of them, so that all skip the minibatch.
        """

    def agree(self, seconds: float, interrupted: bool) -> tuple[float, bool]:
        """The clock of rank 0, and whether any member is to stop."""

    def share(self, value: Any) -> Any:
        """The value that rank 0 has, of JSON's types."""

    def sums(self, values: Sequence[float]) -> list[float]:
        """The sum of each value over all members, float64."""

    def copy(self, tensors: Sequence[torch.Tensor]) -> None:
        """Fill the tensors with rank 0's."""

    def mean(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The mean of each tensor over all members, in new tensors."""

    def gather(self, state: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """The state of all rows, from that of this member's rows, (layers, rows, units) each."""


class Alone:
    """A team of one: nothing to exchange, and nothing done."""

    rank = 0
    size = 1
    compression = "none"

    def reduce(self, parameters: Sequence[torch.Tensor], loss: float, touched: Touched) -> float:
        """The minibatch is its own."""
        return loss

    def agree(self, seconds: float, interrupted: bool) -> tuple[float, bool]:
        """What it says itself."""
        return seconds, interrupted

    def share(self, value: Any) -> Any:
        """Its own."""
        return value

    def sums(self, values: Sequence[float]) -> list[float]:
        """Its own."""
        return list(values)

    def copy(self, tensors: Sequence[torch.Tensor]) -> None:
        """They are rank 0's."""

    def mean(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Its own."""
        return list(tensors)

    def gather(self, state: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """It has all rows."""
        return state


ALONE = Alone()


def rows_of(team: Team, count: int, rank: int | None = None) -> slice:
    """Which of `count` rows are a member's (None: this one's): neighbours, as many for each as can be."""
    rank = team.rank if rank is None else rank
    return slice(rank * count // team.size, (rank + 1) * count // team.size)


_FP16_TOP = 2.0**14
"""Half of fp16's largest power of two: what the largest gradient of any member is scaled to, over the team's size."""


def sum_halves(
    flat: torch.Tensor, size: int, add: Callable[[torch.Tensor], Any], highest: Callable[[torch.Tensor], Any]
) -> None:
    """Replace `Flat.pack`'s buffer by the sum of all `size` members' buffers, sent as fp16 after scaling by the same
    power of two in all members; the loss at its end goes beside it in full.

    add, highest: replace a tensor by the sum, and by the largest, of all members' tensors.
    """
    most = flat.new_tensor([float(flat[:-1].abs().max()) if len(flat) > 1 else 0.0])
    loss = flat[-1:].clone()
    highest(most)
    add(loss)
    scale = 2.0 ** torch.log2(torch.tensor(_FP16_TOP / (size * max(float(most), 1e-30)))).floor().item()
    halves = (flat[:-1] * scale).half()
    add(halves)
    flat[:-1] = halves.to(flat.dtype) / scale
    flat[-1:] = loss


class Flat:
    """The gradients of all parameters and the loss in one buffer, which is kept from step to step."""

    def __init__(self) -> None:
        self._buffer: torch.Tensor | None = None

    def pack(self, parameters: Sequence[torch.Tensor], loss: float, touched: Touched) -> torch.Tensor:
        """The buffer, (size + 1,), with what this member adds to the sum of all."""
        pieces = []
        for p in parameters:
            gradient = torch.zeros_like(p) if p.grad is None else p.grad.to_dense() if p.grad.is_sparse else p.grad
            pieces.append((gradient[touched[p]] if p in touched else gradient).flatten())
        size = sum(map(len, pieces)) + 1
        if self._buffer is None or len(self._buffer) < size:
            self._buffer = pieces[0].new_empty(size + size // 8)
        flat = self._buffer[:size]
        torch.cat(pieces, out=flat[:-1])
        flat[-1] = loss
        return flat

    @staticmethod
    def unpack(parameters: Sequence[torch.Tensor], total: torch.Tensor, touched: Touched) -> float:
        """Set the gradients from the sum of all members' buffers; returns the sum of their losses."""
        at = 0
        for p in parameters:
            rows = touched.get(p)
            size = p.numel() if rows is None else len(rows) * p[0].numel()
            piece = total[at : at + size]
            if rows is None:
                p.grad = piece.view_as(p)
            else:
                if p.grad is None or p.grad.is_sparse:
                    p.grad = torch.zeros_like(p)
                p.grad[rows] = piece.view(len(rows), *p.shape[1:])
            at += size
        return float(total[-1])
