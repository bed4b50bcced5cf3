"""One step of a cell with fixed numbers: whether it runs at all, and whether it computes what it computed before."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from ostinato.cells.arrays import Array
from ostinato.cells.weights import CellWeights

B, N, H = 2, 3, 4
"""Rows, inputs and units of a trial."""
_TOLERANCE = 1e-6


class TriedCell(Protocol):
    """What a trial needs of a `registry.Cell`."""

    @property
    def name(self) -> str: ...
    @property
    def gates(self) -> int: ...
    @property
    def parts(self) -> tuple[str, ...]: ...
    @property
    def vectors(self) -> tuple[str, ...]: ...
    @property
    def step(self) -> Callable[..., tuple[Array, ...]]: ...


def trial_steps(cell: TriedCell) -> Iterator[tuple[Array, ...]]:
    """What the cell's step returns for an input of vectors, (B, N) in float64, and for one of one-hot rows, (B,).

    Raises whatever the step raises.
    """
    import numpy as np

    random = np.random.default_rng(1)
    G = cell.gates
    weights = CellWeights(*(random.normal(size=size) for size in ((G * H, N), (G * H, H), (G * H,), (G * H,))))
    vectors = [random.normal(size=H) for _ in cell.vectors]
    for x in (random.normal(size=(B, N)), np.array([2, 0])):
        state = tuple(random.normal(size=(B, H)) for _ in cell.parts)
        yield cell.step(x, state, weights, *vectors)


def fingerprint(cell: TriedCell) -> dict[str, Any]:
    """What tells the cell from any other, as JSON: its name, its shape, and what it computes in a trial."""
    import numpy as np

    numbers = [float(n) for parts in trial_steps(cell) for part in parts for n in np.ravel(part)]
    outputs = [n if math.isfinite(n) else str(n) for n in numbers]
    return {"name": cell.name, "gates": cell.gates, "parts": list(cell.parts), "vectors": list(cell.vectors),
            "outputs": outputs}  # fmt: skip


def same_cell(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two fingerprints are of one cell: numbers may differ by rounding, as between two machines."""
    shapes = [{name: value for name, value in each.items() if name != "outputs"} for each in (one, other)]
    return shapes[0] == shapes[1] and all(
        a == b or (isinstance(a, float) and isinstance(b, float) and math.isclose(a, b, rel_tol=0, abs_tol=_TOLERANCE))
        for a, b in zip(one["outputs"], other["outputs"], strict=True)
    )
