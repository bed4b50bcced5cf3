"""The choice between the implementations of a recurrent language model: compiled kernels, or their NumPy twin."""

import dataclasses
import os
from collections.abc import Mapping

from ostinato import cells
from ostinato.errors import UsageError
from ostinato.kernels.claims import claims
from ostinato.kernels.load import NUMPY, Kernels, choose_isa
from ostinato.kernels.native import NativeRecurrent
from ostinato.kernels.shape import CELLS, PRECISIONS, Array, FloatArray, IdArray, Recurrent, Shape
from ostinato.kernels.twin import NumpyRecurrent
from ostinato.kernels.written import WrittenRecurrent
from ostinato.processors import processors

__all__ = ["CELLS", "PRECISIONS", "Array", "FloatArray", "IdArray", "Recurrent", "Shape", "build", "default_threads"]

WORTH_SHARING = 256 << 10
"""Bytes of weights per token from which a second thread pays (measured: docs/runtime.md)."""


def default_threads(shape: Shape, precision: str) -> int:
    """2 where a second thread pays, else 1; OSTINATO_THREADS overrides. Raises UsageError if that is no number."""
    given = os.environ.get("OSTINATO_THREADS")
    if given:
        if not given.isdecimal() or not 1 <= int(given) <= 8:
            raise UsageError(f"OSTINATO_THREADS must be a number from 1 to 8, got {given!r}")
        return int(given)
    weight_bytes = shape.token_weights() * (1 if precision == "int8" else 4)
    return 2 if processors() > 1 and weight_bytes >= WORTH_SHARING else 1


def build(
    shape: Shape,
    tensors: Mapping[str, Array],
    *,
    precision: str = "fp32",
    isa: str | None = None,
    threads: int | None = None,
) -> tuple[Recurrent, Kernels]:
    """The fastest implementation on this machine, or the one that `isa` names, and what was chosen.

    `tensors` has the arrays of `shape.tensors()`, in exactly these shapes; each is read once, none is kept.
    `threads`: how many share a token's work at most (None: `default_threads`). Raises BundleError for a weight that is
    not finite or a model that does not fit into memory, UsageError for a choice that cannot be had.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if threads is None:
        threads = default_threads(shape, precision)
    kernels = choose_isa(isa)
    if not claims(cells.CELLS[shape.cell]):
        why = f"the cell {shape.cell} is computed as it is written, in NumPy"
        return WrittenRecurrent(shape, tensors, precision), dataclasses.replace(
            kernels, isa=NUMPY, why=why, library=None
        )
    if kernels.isa == NUMPY:
        return NumpyRecurrent(shape, tensors, precision), kernels
    return NativeRecurrent(shape, tensors, precision, kernels.isa, threads), kernels
