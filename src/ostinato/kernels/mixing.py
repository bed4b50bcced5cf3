"""The context-mixing model on raw arrays: the compiled kernel, and its Python twin.

Both compute in whole numbers, so that they give the same bits on every machine.
"""

import ctypes
from ctypes import c_int32, c_int64, c_uint64, c_void_p

import numpy as np
import numpy.typing as npt

from ostinato.errors import UsageError
from ostinato.kernels import mixing_tables as tables
from ostinato.kernels import mixing_twin as twin
from ostinato.kernels.load import NUMPY, choose_isa, find_library
from ostinato.kernels.mixing_tables import STATE_SIZE, MixingArrays
from ostinato.protocols import Ids

States = npt.NDArray[np.uint32]

_POINTERS = (
    "children", "starts", "nodes", "bits", "folded", "classes", "ranks", "stretch", "squash", "certain", "rates",
    "logarithms",
)  # fmt: skip
_LEARNT = ("records", "slots", "maps", "weights", "final_weights", "apm", "apm_last")


class _Model(ctypes.Structure):
    _fields_ = (
        ("vocabulary", c_int64),
        *((name, c_void_p) for name in _POINTERS),
        ("record_mask", c_uint64),
        ("slot_mask", c_uint64),
        *((name, c_void_p) for name in _LEARNT),
    )


def advance(model: MixingArrays, states: States, ids: Ids) -> States:
    """The states (B, STATE_SIZE) uint32 after one more token each, ids (B,). Raises UsageError."""
    tokens, after = _tokens(model, ids), _states(states).copy()
    library = _library()
    if library is None:
        return np.array([twin.advance(model, row, int(t)) for row, t in zip(after, tokens, strict=True)], np.uint32)
    library.ostinato_mixing_advance(_described(model), c_int64(len(tokens)), _pointer(tokens), _pointer(after))
    return after


def distribution(model: MixingArrays, states: States) -> npt.NDArray[np.float64]:
    """ln p of every token after each state: (B, V) float64."""
    states, library = _states(states), _library()
    if library is None:
        return np.array([twin.distribution(model, row) for row in states]).reshape(-1, model.vocabulary_size)
    out = np.empty((len(states), model.vocabulary_size))
    library.ostinato_mixing_distribution(_described(model), c_int64(len(states)), _pointer(states), _pointer(out))
    return out


def read(model: MixingArrays, ids: Ids, states: States) -> tuple[npt.NDArray[np.float64], States]:
    """ln p of each token (T,) after the one state of `states`, (1, STATE_SIZE), and the state at the end.

    Raises UsageError for ids outside the vocabulary.
    """
    return _read(model, ids, states, None, False, 0, 0, True)


def learn(
    model: MixingArrays, ids: Ids, states: States, *, rates: npt.NDArray[np.int32] | None, counters: bool, limit: int
) -> tuple[npt.NDArray[np.float64], States]:
    """`read`, after which `model` has learnt from each token in place.

    rates: (T,) of the mixers and the maps, 0 where they stay as they are; None where nothing is to be predicted (zeros
    are returned). counters: whether the counters learn; they believe to have seen at most `limit` (1 to 255).
    """
    if not 1 <= limit <= 255:
        raise UsageError(f"the limit of the counters must be between 1 and 255, got {limit}")
    return _read(model, ids, states, rates, counters, limit, 1023, rates is not None)


def _read(
    model: MixingArrays,
    ids: Ids,
    states: States,
    rates: npt.NDArray[np.int32] | None,
    counters: bool,
    limit: int,
    map_limit: int,
    predict: bool,
) -> tuple[npt.NDArray[np.float64], States]:
    tokens, after = _tokens(model, ids), _states(states).copy()
    if len(after) != 1 or (rates is not None and rates.shape != tokens.shape):
        raise UsageError("a text is read from one state, and learnt from with one rate for each token")
    steps = None if rates is None else np.ascontiguousarray(rates, np.int32)
    library = _library()
    if library is None:
        scores, last = twin.read(model, tokens.tolist(), after[0], steps, counters, limit, map_limit, predict)
        return scores, last[None]
    out = np.zeros(len(tokens))
    library.ostinato_mixing_read(
        _described(model), c_int64(len(tokens)), _pointer(tokens), None if steps is None else _pointer(steps),
        c_int32(counters), c_int32(limit), c_int32(map_limit), _pointer(after), _pointer(out) if predict else None,
    )  # fmt: skip
    return out, after


def _library() -> ctypes.CDLL | None:
    library = find_library()[0] if choose_isa().isa != NUMPY else None
    return library if hasattr(library, "ostinato_mixing_read") else None


def _described(model: MixingArrays) -> "ctypes._CArgObject":
    fixed = (
        model.tree.children, model.tree.starts, model.tree.nodes, model.tree.bits, model.folded, model.classes,
        model.ranks, tables.stretch_table(), tables.squash_table(), tables.certain_table(), tables.rate_table(),
        tables.logarithm_table(),
    )  # fmt: skip
    learnt = [getattr(model, name) for name in _LEARNT]
    return ctypes.byref(
        _Model(
            model.vocabulary_size,
            *(array.ctypes.data for array in fixed),
            len(model.records) - 1,
            len(model.slots) - 1,
            *(array.ctypes.data for array in learnt),
        )
    )


def _tokens(model: MixingArrays, ids: Ids) -> npt.NDArray[np.uint32]:
    tokens = np.asarray(ids)
    if tokens.ndim != 1 or (len(tokens) and not 0 <= int(tokens.min()) <= int(tokens.max()) < model.vocabulary_size):
        raise UsageError(f"token ids must be (T,) and lie in 0 .. {model.vocabulary_size - 1}")
    return np.ascontiguousarray(tokens, np.uint32)


def _states(states: States) -> States:
    if states.ndim != 2 or states.shape[1] != STATE_SIZE or states.dtype != np.uint32:
        raise UsageError(f"states must be uint32 (B, {STATE_SIZE}), got {states.dtype} {states.shape}")
    return np.ascontiguousarray(states)


def _pointer(array: npt.NDArray[np.generic]) -> c_void_p:
    return c_void_p(array.ctypes.data)
