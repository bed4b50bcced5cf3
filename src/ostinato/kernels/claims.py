"""Which cells the kernels compute: those whose equations are the kernels' own, not those that only share a name."""

import functools

import numpy as np

from ostinato.cells import Cell, CellWeights
from ostinato.kernels import twin
from ostinato.kernels.shape import CELLS

_TOLERANCE = 1e-9


@functools.cache
def claims(cell: Cell) -> bool:
    """Whether every implementation of the kernels computes `cell`: it has the name and the equation of one of theirs.

    One step in float64 decides, so a cell whose code was changed is computed as it is written.
    """
    if cell.name not in CELLS or cell.vectors:
        return False
    random = np.random.default_rng(1)
    B, N, H, G = 3, 4, 5, cell.gates
    weights = CellWeights(*(random.normal(size=size) for size in ((G * H, N), (G * H, H), (G * H,), (G * H,))))
    x, state = random.normal(size=(B, N)), tuple(random.normal(size=(B, H)) for _ in cell.parts)
    try:
        ours = twin.one_step(cell.name, x, tuple(part.copy() for part in state), weights)
        given = cell.step(x, state, weights)
        return len(given) == len(ours) and all(
            np.shape(a) == b.shape and np.allclose(a, b, rtol=_TOLERANCE, atol=_TOLERANCE)
            for a, b in zip(given, ours, strict=True)
        )
    except Exception:  # whatever an equation that was changed comes up with: it is none of the kernels'
        return False
