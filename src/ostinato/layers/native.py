"""The native backend: a whole layer over time in one call of our kernels, forward and backward (csrc/train_layer.h).

Products are float32, or bfloat16 under autocast; states, gates and sums are float32 in both.
"""

import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ostinato.cells import Cell, CellWeights
from ostinato.kernels.load import choose_isa
from ostinato.kernels.train import CELLS, HeadCall, LayerCall, TrainKernels, train_kernels
from ostinato.layers import torch_backend
from ostinato.layers.threads import thread_limit


def run(
    cell: Cell, x: Tensor, state: tuple[Tensor, ...], weights: Sequence[CellWeights]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """One layer, all its directions; the contract is `backends.RunLayer`. Falls back to torch where `kernels_for` has
    nothing: another device, dtype or machine."""
    kernels = kernels_for(x, state)
    if kernels is None:
        return torch_backend.run(cell, x, state, weights)
    outputs, lasts = [], []
    with torch.autocast("cpu", enabled=False):
        for direction, (weight_ih, weight_hh, bias_ih, bias_hh) in enumerate(weights):
            # One-hot rows: their input products are columns of W_ih, and the kernel adds the biases.
            given = x.float() if x.is_floating_point() else functional.embedding(x, weight_ih.t())
            y, *last = _Layer.apply(  # type: ignore[no-untyped-call]
                given,
                weight_ih if x.is_floating_point() else None,
                *(weight_hh, bias_ih, bias_hh),
                *(state[0][direction].float(), state[1][direction].float() if len(state) > 1 else None),
                *(cell, direction == 1, kernels),
            )  # fmt: skip
            outputs.append(y)
            lasts.append(last)
        y = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1)
        return y, tuple(torch.stack(parts) for parts in zip(*lasts, strict=True))


def kernels_for(x: Tensor, state: tuple[Tensor, ...]) -> TrainKernels | None:
    """The kernels that apply to this input in the precision asked for, or None."""
    autocast = torch.is_autocast_enabled("cpu")
    usual = (torch.float32, torch.bfloat16) if autocast else (torch.float32,)
    if x.device.type != "cpu" or any(t.dtype not in usual for t in (x, *state) if t.is_floating_point()):
        return None
    if autocast and torch.get_autocast_dtype("cpu") != torch.bfloat16:
        return None
    return train_kernels("bf16" if autocast else "fp32")


def is_faster(x: Tensor) -> bool:
    """Whether `run` was measured to beat torch's own layers for this work on this CPU (docs/decisions/072).

    With any instruction set but the portable code; on ARM64 by its instructions, not by the clock (122, 129).
    """
    return kernels_for(x, ()) is not None and choose_isa().isa != "portable"


def not_left_to_torch(precision: str) -> bool:
    """False where our kernels train, but not in `precision` ("fp32", "bf16"): torch's layers would have to."""
    return train_kernels(precision) is not None or train_kernels("fp32") is None


def instruction_set() -> str:
    """The set whose kernels train on this CPU; "numpy" where there are none."""
    return choose_isa().isa


class _Layer(torch.autograd.Function):
    """One direction of one layer. Arguments: x (T, B, I), or its input products (T, B, G·H) with weight_ih None."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_ih: Tensor | None, weight_hh: Tensor, bias_ih: Tensor | None,
                bias_hh: Tensor | None, h0: Tensor, c0: Tensor | None, cell: Cell, reverse: bool,
                kernels: TrainKernels) -> tuple[Tensor, ...]:  # fmt: skip
        steps, batch, _ = x.shape
        hidden_size = weight_hh.shape[1]
        given = tuple(
            None if t is None else t.contiguous() for t in (x, weight_ih, weight_hh, bias_ih, bias_hh, h0, c0)
        )
        call = _call(cell, reverse, given)
        sizes = kernels.layer_sizes(call)
        y = x.new_empty(steps, batch, hidden_size)
        last = [torch.empty_like(part) for part in given[5:] if part is not None]
        gates, cells = x.new_empty(sizes.gates // 4), x.new_empty(sizes.cells // 4)
        fill(call, y=y, h_last=last[0], c_last=last[-1], gates=gates, cells=cells, workspace=workspace(sizes.forward))
        kernels.layer_forward(call)
        ctx.save_for_backward(*given, y, gates, cells)
        ctx.cell, ctx.reverse, ctx.kernels, ctx.workspace = cell, reverse, kernels, sizes.backward
        return y, *last

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: Tensor | None, *dlast: Tensor | None) -> tuple[Tensor | None, ...]:
        *given, y, gates, cells = ctx.saved_tensors
        weight_ih, bias_ih = given[1], given[3]
        call = _call(ctx.cell, ctx.reverse, given)
        if dy is not None:
            # Part of a wider array (two directions side by side) is read as it lies.
            _, batch, hidden_size = dy.shape
            apart = dy.stride(1)
            part = dy.stride() == (batch * apart, apart, 1) and apart >= hidden_size
            dy = dy if part else dy.contiguous()
        results = [None if t is None else torch.empty_like(t) for t in given]
        if weight_ih is not None and not ctx.needs_input_grad[0]:
            results[0] = None
        if bias_ih is None:
            results[3] = results[4] = None
        dlast = tuple(None if d is None else d.contiguous() for d in dlast)
        names = ("dx", "dw_ih", "dw_hh", "db", "db_hh", "dh0", "dc0")
        fill(call, y=y, gates=gates, cells=cells, dy=dy, dh_last=dlast[0], dc_last=dlast[-1],
              workspace=workspace(ctx.workspace), **dict(zip(names, results, strict=True)))  # fmt: skip
        ctx.kernels.layer_backward(call)
        return *results, None, None, None


def _call(cell: Cell, reverse: bool, given: Sequence[Tensor | None]) -> LayerCall:
    """A call of these sizes, with the arrays that forward and backward are both given."""
    x, _, weight_hh, *_ = given
    assert x is not None
    assert weight_hh is not None
    call = LayerCall(
        cell=CELLS[cell.name], steps=x.shape[0], batch=x.shape[1], input_size=x.shape[2],
        hidden_size=weight_hh.shape[1], reverse=reverse, threads=thread_limit(),
    )  # fmt: skip
    fill(call, **dict(zip(("x", "w_ih", "w_hh", "b_ih", "b_hh", "h0", "c0"), given, strict=True)))
    return call


def fill(call: LayerCall | HeadCall, **arrays: Tensor | None) -> None:
    """Give a call its arrays; the tensors' memory is shared, not copied."""
    call.give(**{name: None if array is None else array.detach().numpy() for name, array in arrays.items()})


_scratch = threading.local()


def workspace(size: int) -> Tensor:
    """At least `size` bytes, free until this thread's next call: fresh memory costs a page fault every 4 KB."""
    held = getattr(_scratch, "bytes", None)
    if held is None or len(held) < size:
        held = _scratch.bytes = torch.empty(size, dtype=torch.uint8)
    return held
