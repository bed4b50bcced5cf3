"""The reference backend: the cell in a loop over time."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ostinato.cells import Cell, CellWeights


def run(
    cell: Cell,
    x: Tensor,
    state: tuple[Tensor, ...],
    weights: Sequence[CellWeights],
    vectors: Sequence[Sequence[Tensor]] = (),
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """One layer, all its directions; the contract is `backends.RunLayer`. vectors: those of the cell, a group a
    direction."""
    outputs, lasts = [], []
    for direction, direction_weights in enumerate(weights):
        last = tuple(part[direction] for part in state)
        own = vectors[direction] if vectors else ()
        steps = x.unbind(0)
        hidden = []
        for x_t in reversed(steps) if direction else steps:
            last = cell.step(x_t, last, direction_weights, *own)
            hidden.append(last[0])
        outputs.append(torch.stack(hidden[::-1] if direction else hidden))
        lasts.append(last)
    y = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1)
    return y, tuple(torch.stack(parts) for parts in zip(*lasts, strict=True))
