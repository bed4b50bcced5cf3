"""The training kernels (csrc/train.h): recurrent layers over time, on raw arrays given by their addresses."""

import ctypes
import functools
from pathlib import Path

from ostinato.kernels.load import ISAS, choose_isa, find_library

CELLS = {"rnn": 0, "rnn-relu": 1, "gru": 2, "lstm": 3}
"""The cells' numbers in the C interface."""

PRECISIONS = ("fp32", "bf16")
"""Arithmetic of the matrix products, by their numbers in the C interface. Everything else is float32 in both."""

_INTEGERS = ("cell", "steps", "batch", "input_size", "hidden_size", "reverse", "threads", "dy_stride")
_ARRAYS = (
    *("x", "w_ih", "w_hh", "b_ih", "b_hh", "h0", "c0", "y", "h_last", "c_last", "gates", "cells"),
    *("dy", "dh_last", "dc_last", "dx", "dw_ih", "dw_hh", "db", "db_hh", "dh0", "dc0", "workspace"),
)


class LayerCall(ctypes.Structure):
    """One layer, one direction, all time steps: `LayerCall` of csrc/train.h, where each field is explained."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in _INTEGERS),
        *((name, ctypes.c_void_p) for name in _ARRAYS),
    ]


class LayerSizes(ctypes.Structure):
    """Bytes that a LayerCall's caller provides: the kept arrays, and the workspace forward and backward."""

    _fields_ = [(name, ctypes.c_int64) for name in ("gates", "cells", "forward", "backward")]


class HeadCall(ctypes.Structure):
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
        """The bytes `call` needs; only its sizes, cell and which arrays are null are looked at."""
        sizes = LayerSizes()
        self._library.ostinato_train_layer_sizes(self._table, ctypes.byref(call), ctypes.byref(sizes))
        return sizes

    def layer_forward(self, call: LayerCall) -> None:
        """All time steps of a layer."""
        self._library.ostinato_train_layer_forward(self._table, ctypes.byref(call))

    def layer_backward(self, call: LayerCall) -> None:
        """The gradients of a layer, after `layer_forward` filled y, gates and cells."""
        self._library.ostinato_train_layer_backward(self._table, ctypes.byref(call))

    def head_workspace(self, call: HeadCall) -> int:
        """The bytes of workspace `call` needs; only its sizes are looked at."""
        return int(self._library.ostinato_train_head_workspace(self._table, ctypes.byref(call)))

    def head(self, call: HeadCall) -> None:
        """The losses of a head, and its gradients if asked for."""
        self._library.ostinato_train_head(self._table, ctypes.byref(call))

    def adamw(self, call: AdamCall) -> None:
        """One optimizer step; nothing is changed where the gradient's norm is not finite. Precision fp32 only."""
        self._library.ostinato_train_adamw(self._table, ctypes.byref(call))


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
    table = library.ostinato_train_table(PRECISIONS.index(precision), ISAS.index(chosen))
    return TrainKernels(library, table) if table else None


def share_pool(loaded: Path) -> None:
    """Run the kernels on the threads of an OpenMP library that this process has loaded (docs/decisions/071).

    Does nothing where that library lacks GCC's interface; the kernels then start threads of their own in each call.
    """
    library, _ = find_library()
    openmp = ctypes.CDLL(str(loaded))
    names = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")
    if library is not None and all(hasattr(openmp, name) for name in names):
        library.ostinato_train_set_pool(*(ctypes.cast(getattr(openmp, name), ctypes.c_void_p) for name in names))
