"""Implementations of a recurrent layer, chosen by name. All compute the same function (tests/layers/conformance)."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ostinato.cells import Cell, CellWeights
from ostinato.errors import UsageError
from ostinato.kernels.claims import claims
from ostinato.layers import native, reference, torch_backend


class RunLayer(Protocol):
    """One layer over time, all its D directions.

    x: (T, B, I) floats, or (T, B) integers for one-hot rows (I = V); state: the cell's parts, (D, B, H) each;
    weights: one group a direction. Returns the outputs (T, B, D·H), the reverse direction second, and the last
    state of each direction, in new tensors. Differentiable in x, state and weights.
    """

    def __call__(
        self, cell: Cell, x: Tensor, state: tuple[Tensor, ...], weights: Sequence[CellWeights]
    ) -> tuple[Tensor, tuple[Tensor, ...]]: ...


class RunStack(Protocol):
    """`layers` layers at once, with standard dropout of probability `dropout` between them.

    As `RunLayer`, with states (layers·D, B, H) and layers·D groups of weights, a layer's directions side by side.
    """

    def __call__(
        self,
        cell: Cell,
        x: Tensor,
        state: tuple[Tensor, ...],
        weights: Sequence[CellWeights],
        *,
        layers: int,
        dropout: float,
    ) -> tuple[Tensor, tuple[Tensor, ...]]: ...


@dataclass(frozen=True)
class Backend:
    """A way to run a layer, and, where it has one, a faster way to run a whole stack."""

    name: str
    run: RunLayer
    run_stack: RunStack | None = None


BACKENDS = ("auto", "reference", "torch", "native")
_REFERENCE = Backend("reference", reference.run)
_TORCH = Backend("torch", torch_backend.run, torch_backend.run_stack)


def select_backend(name: str, cell: Cell, x: Tensor, *, hidden_size: int) -> Backend:
    """The backend called `name` for a layer of `cell` that is given `x`, (T, B, ...).

    Raises UsageError for an unknown name, for one that does not compute the cell's equation, and for `native` where its
    kernels are not installed.
    """
    if name in ("torch", "native") and not claims(cell):
        raise UsageError(f"backend {name!r} does not compute the cell {cell.name!r}: use backend 'auto' or 'reference'")
    if name == "auto":
        name = choose(cell, x, hidden_size=hidden_size)
    if name == "reference":
        return _REFERENCE
    if name == "torch":
        return _TORCH
    if name == "native":
        return _native()
    raise UsageError(f"unknown backend {name!r}: use one of {', '.join(BACKENDS)}")


def choose(cell: Cell, x: Tensor, *, hidden_size: int) -> str:
    """What `auto` means for this work: the name of the backend expected to be fastest.

    A single step on a CPU goes through the cell itself: the fused operators reorder their weights on every call. So
    does a cell that no other backend has. The rest was measured (docs/decisions/072): our kernels where they are faster
    than torch's, torch elsewhere.
    """
    if (x.device.type == "cpu" and len(x) == 1) or not claims(cell):
        return "reference"
    return "native" if native.is_faster(x) else "torch"


def _native() -> Backend:
    try:
        module = importlib.import_module("ostinato.layers.native")
    except ModuleNotFoundError:
        raise UsageError(
            "backend 'native' is not part of this installation: use backend 'auto', 'torch' or 'reference'"
        ) from None
    return Backend("native", module.run)
