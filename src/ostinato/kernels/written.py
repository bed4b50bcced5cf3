"""A recurrent model whose cell the kernels do not have: the cell's own step, as it is written, on NumPy arrays."""

from collections.abc import Mapping

import numpy as np

from ostinato.cells import CELLS, CellWeights
from ostinato.errors import UsageError
from ostinato.kernels.shape import Array, FloatArray, IdArray, Shape
from ostinato.kernels.twin import NumpyRecurrent


class WrittenRecurrent(NumpyRecurrent):
    """`shape.Recurrent` with the step of `cells.CELLS[shape.cell]`. With int8, only embedding, projection and head are
    rounded: the cell computes in float32."""

    def _take_layers(self, shape: Shape, taken: Mapping[str, FloatArray], int8: bool) -> None:
        self._cell = CELLS[shape.cell]
        parts = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        self._weights = [CellWeights(*(taken[f"recurrent.{p}_l{k}"] for p in parts)) for k in range(shape.layers)]
        self._vectors = [
            [taken[f"recurrent.{vector}_l{k}"] for vector in self._cell.vectors] for k in range(shape.layers)
        ]

    def _run(self, ids: IdArray, state: FloatArray) -> tuple[FloatArray, FloatArray]:
        shape, cell, after = self.shape, self._cell, state.astype(np.float32)
        steps, rows = ids.shape
        x: Array = ids.astype(np.int64) if self._embedding is None else self._embedding[ids]
        for k in range(shape.layers):
            places = [part * shape.layers + k for part in range(len(cell.parts))]
            parts = tuple(after[place] for place in places)
            hidden = np.empty((steps, rows, shape.hidden_size), np.float32)
            for t in range(steps):
                parts = cell.step(x[t], parts, self._weights[k], *self._vectors[k])
                if any(np.shape(part) != (rows, shape.hidden_size) for part in parts):
                    raise UsageError(f"cell {cell.name}: its step returned {[np.shape(part) for part in parts]}")
                hidden[t] = parts[0]
            for place, part in zip(places, parts, strict=True):
                after[place] = part
            x = hidden
        return x, after
