"""The training kernels (csrc/train.h): recurrent layers over time, the softmax head, AdamW, on raw arrays.

A call names its sizes; its arrays are given by name (`give`), and the gateway checks them before C reads them.
"""

import ctypes
import functools
from collections.abc import Sequence
from typing import Any

from ostinato.errors import UsageError
from ostinato.kernels import gateway
from ostinato.kernels.load import ISAS, choose_isa, find_library

CELLS = {"rnn": 0, "rnn-relu": 1, "gru": 2, "lstm": 3}
"""The cells' numbers in the C interface."""

GATES = (1, 1, 3, 4)
"""Gates of the cells, by their numbers."""

_MOST, _LARGEST, _MOST_THREADS = 1 << 31, 1 << 44, 1024

PRECISIONS = ("fp32", "bf16")
"""Arithmetic of the matrix products, by their numbers in the C interface. Everything else is float32 in both."""

_INTEGERS = ("cell", "steps", "batch", "input_size", "hidden_size", "reverse", "threads", "dy_stride")
_ARRAYS = (
    *("x", "w_ih", "w_hh", "b_ih", "b_hh", "h0", "c0", "y", "h_last", "c_last", "gates", "cells"),
    *("dy", "dh_last", "dc_last", "dx", "dw_ih", "dw_hh", "db", "db_hh", "dh0", "dc0", "workspace"),
)


class _Call(ctypes.Structure):
    """A struct of sizes and addresses. The arrays are referenced here until the call is dropped."""

    def give(self, **arrays: Any) -> None:
        """Arrays by the names of their fields (None: null), each a NumPy array; replaces what was given before."""
        if not hasattr(self, "arrays"):
            self.arrays: dict[str, Any] = {}
        self.arrays.update(arrays)

    def checked(self, signature: gateway.Signature, sizes: dict[str, int]) -> None:
        """Fill in the addresses of the signature's arrays. Raises UsageError where one does not fit."""
        given = getattr(self, "arrays", {})
        names = [argument.name for argument in signature.arguments]
        for name, array in zip(names, signature.take(sizes, *map(given.get, names)), strict=True):
            if array is not given.get(name):
                given[name] = array
            setattr(self, name, None if array is None else gateway.address(array))


class LayerCall(_Call):
    """One layer, one direction, all time steps: `LayerCall` of csrc/train.h, where each field is explained."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in _INTEGERS),
        *((name, ctypes.c_void_p) for name in _ARRAYS),
    ]


class LayerSizes(ctypes.Structure):
    """Bytes that a LayerCall's caller provides: the kept arrays, and the workspace forward and backward."""

    _fields_ = [(name, ctypes.c_int64) for name in ("gates", "cells", "forward", "backward")]


class HeadCall(_Call):
    """Cross-entropy of a linear layer's softmax: `HeadCall` of csrc/train.h."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("rows", "features", "vocabulary", "threads", "with_gradient")),
        *((name, ctypes.c_void_p) for name in ("x", "weight", "bias", "targets", "losses", "dx", "dweight", "dbias")),
        *(("scale", ctypes.c_double), ("workspace", ctypes.c_void_p)),
    ]


class AdamTensor(ctypes.Structure):
    """One parameter with its moments and gradient: `AdamTensor` of csrc/train.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("parameter", "first", "second", "gradient")),
        ("count", ctypes.c_int64),
        ("weight_decay", ctypes.c_double),
    ]


class AdamCall(ctypes.Structure):
    """One step of AdamW over all parameters: `AdamCall` of csrc/train.h."""

    _fields_ = [
        *(("tensors", ctypes.c_int64), ("threads", ctypes.c_int64), ("list", ctypes.POINTER(AdamTensor))),
        *((name, ctypes.c_double) for name in ("learning_rate", "beta1", "beta2", "epsilon", "clip")),
        *(("step", ctypes.c_int64), ("norm", ctypes.POINTER(ctypes.c_double))),
    ]


class TrainKernels:
    """The kernels of one precision. Arrays are float32 and C-contiguous, the workspace 64-byte aligned."""

    def __init__(self, library: ctypes.CDLL, table: int) -> None:
        self._library = library
        self._table = ctypes.c_void_p(table)

    def layer_sizes(self, call: LayerCall) -> LayerSizes:
        """The bytes `call` needs; only its sizes, cell and whether it has w_ih are looked at. Raises UsageError."""
        for name, high in (("cell", 3), ("reverse", 1)):
            gateway.number(name, getattr(call, name), 0, high, whole=True)
        for name in ("steps", "batch", "input_size", "hidden_size"):
            gateway.number(name, getattr(call, name), 1, _MOST, whole=True)
        gateway.number("threads", call.threads, 1, _MOST_THREADS, whole=True)
        wide = 4 * call.hidden_size
        if max(call.steps * call.batch, wide) * max(call.input_size, wide) > _LARGEST:
            raise UsageError(f"a layer of {call.steps} x {call.batch} rows and this width is too large")
        call.w_ih = (
            None if getattr(call, "arrays", {}).get("w_ih") is None else 1
        )  # only whether it is null is looked at
        sizes = LayerSizes()
        self._library.ostinato_train_layer_sizes(self._table, ctypes.byref(call), ctypes.byref(sizes))
        return sizes

    def layer_forward(self, call: LayerCall) -> None:
        """All time steps of a layer. Raises UsageError for arrays that do not fit its sizes."""
        sizes = self._layer(call, backward=False)
        call.checked(gateway.LAYER_FORWARD, sizes)
        self._library.ostinato_train_layer_forward(self._table, ctypes.byref(call))

    def layer_backward(self, call: LayerCall) -> None:
        """The gradients of a layer, after `layer_forward` filled y, gates and cells. Raises UsageError as it does."""
        sizes = self._layer(call, backward=True)
        call.checked(gateway.LAYER_BACKWARD, sizes)
        dy = call.arrays.get("dy")
        call.dy, call.dy_stride = (None, call.hidden_size) if dy is None else _rows(dy, sizes)
        self._library.ostinato_train_layer_backward(self._table, ctypes.byref(call))

    def _layer(self, call: LayerCall, backward: bool) -> dict[str, int]:
        """The dimensions of the arrays of a call; what only some cells have is made optional for the others."""
        needs = self.layer_sizes(call)
        given = getattr(call, "arrays", {})
        products = GATES[call.cell] * call.hidden_size
        if given.get("w_ih") is None and call.input_size != products:
            raise UsageError(f"input_size must be {products} without w_ih, got {call.input_size}")
        together = [("w_ih", "dw_ih"), ("db", "db_hh")] if backward else []
        if call.cell == CELLS["lstm"] and not backward:
            together.append(("h_last", "c_last"))
        for one, other in together:
            if (given.get(one) is None) != (given.get(other) is None):
                raise UsageError(f"{one} and {other} must be given together")
        return {
            "T": call.steps, "B": call.batch, "I": call.input_size, "H": call.hidden_size, "GH": products,
            "gates": needs.gates // 4, "cells": needs.cells // 4,
            "workspace": needs.backward if backward else needs.forward,
        }  # fmt: skip

    def head_workspace(self, call: HeadCall) -> int:
        """The bytes of workspace `call` needs; only its sizes are looked at. Raises UsageError."""
        for name in ("rows", "features", "vocabulary"):
            gateway.number(name, getattr(call, name), 1, _MOST, whole=True)
        gateway.number("threads", call.threads, 1, _MOST_THREADS, whole=True)
        if max(call.rows, call.vocabulary) * max(call.features, call.vocabulary) > _LARGEST:
            raise UsageError(f"a head of {call.vocabulary} tokens for {call.rows} rows is too large")
        return int(self._library.ostinato_train_head_workspace(self._table, ctypes.byref(call)))

    def head(self, call: HeadCall) -> None:
        """The losses of a head, and its gradients if asked for. Raises UsageError for arrays that do not fit."""
        sizes = {"N": call.rows, "F": call.features, "V": call.vocabulary, "workspace": self.head_workspace(call)}
        call.checked(gateway.HEAD_GRADIENTS if call.with_gradient else gateway.HEAD, sizes)
        self._library.ostinato_train_head(self._table, ctypes.byref(call))

    def adamw(self, call: AdamCall, tensors: Sequence[tuple[Any, Any, Any, Any, float]]) -> float:
        """One optimizer step over (parameter, first and second moment, gradient, weight decay); returns the norm.

        Nothing is changed where the gradient's norm is not finite. Precision fp32 only. Raises UsageError for arrays
        that do not fit each other.
        """
        gateway.number("threads", call.threads, 1, _MOST_THREADS, whole=True)
        gateway.number("step", call.step, 1, _MOST, whole=True)
        held, entries, norm = [], [], ctypes.c_double()
        for *arrays, decay in tensors:
            taken = gateway.ADAM.take({"P": getattr(arrays[0], "size", -1)}, *map(_flat, arrays))
            held.append(taken)
            entries.append(AdamTensor(*map(gateway.address, taken), taken[0].size, decay))
        call.tensors, call.list, call.norm = len(entries), (AdamTensor * len(entries))(*entries), ctypes.pointer(norm)
        self._library.ostinato_train_adamw(self._table, ctypes.byref(call))
        return norm.value

    def peak(self) -> float:
        """GFLOP/s of independent multiply-adds on one thread, measured now in 10 ms. Precision fp32 only, else 0."""
        return float(self._library.ostinato_train_peak(self._table))


def _flat(array: Any) -> Any:
    return array.reshape(-1) if hasattr(array, "flags") and array.flags.c_contiguous else array


def _rows(dy: Any, sizes: dict[str, int]) -> tuple[int, int]:
    """Address and stride in floats of dy (T, B, H), which may be part of a wider array: its rows evenly apart."""
    B, H = sizes["B"], sizes["H"]
    shape = (sizes["T"], B, H)
    if getattr(dy, "dtype", None) != gateway.FLOAT or dy.shape != shape or not dy.flags.aligned:
        raise UsageError(f"dy must be float32 of shape {shape}, got {getattr(dy, 'dtype', type(dy).__name__)}")
    if dy.flags.c_contiguous:
        return gateway.address(dy), H
    apart = dy.strides[1] // 4
    if dy.strides != (4 * B * apart, 4 * apart, 4) or apart < H:
        raise UsageError(f"dy must have rows evenly apart, got strides {dy.strides}")
    return gateway.address(dy), apart


@functools.cache
def train_kernels(precision: str, isa: str | None = None) -> TrainKernels | None:
    """The training kernels of `precision`, fp32 or bf16, for OSTINATO_ISA or `isa`; None where there are none.

    There are none without a compiled library, and for bf16 on a CPU without bfloat16 arithmetic.
    """
    library, _ = find_library()
    chosen = choose_isa(isa).isa
    if library is None or chosen not in ISAS:
        return None
    library.ostinato_train_table.restype = ctypes.c_void_p
    library.ostinato_train_head_workspace.restype = ctypes.c_int64
    library.ostinato_train_peak.restype = ctypes.c_double
    table = library.ostinato_train_table(PRECISIONS.index(precision), ISAS.index(chosen))
    return TrainKernels(library, table) if table else None


def alone() -> bool:
    """Whether kernels run on the calling thread alone for now, because other work has the other cores."""
    library, _ = find_library()
    return library is not None and bool(library.ostinato_train_alone())
