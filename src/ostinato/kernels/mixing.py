"""The context-mixing model on raw arrays: the compiled kernel, and its Python twin.

Both compute in whole numbers, so that they give the same bits on every machine.
"""

import ctypes
from ctypes import c_int32, c_int64, c_uint64, c_void_p

import numpy as np
import numpy.typing as npt

from ostinato.kernels import gateway
from ostinato.kernels import mixing_tables as tables
from ostinato.kernels import mixing_twin as twin
from ostinato.kernels.load import NUMPY, choose_isa, find_library
from ostinato.kernels.mixing_tables import HISTORY, STATE_SIZE, MixingArrays
from ostinato.protocols import Ids

States = npt.NDArray[np.uint32]

_POINTERS = (
    "children", "starts", "nodes", "bits", "folded", "classes", "ranks", "stretch", "squash", "certain", "rates",
    "logarithms",
)  # fmt: skip
_LEARNT = ("records", "slots", "maps", "weights", "final_weights", "apm", "apm_last")
_RATES = 4096
"""Rates of learning are below it: a weight then moves by less than 2^19 at a time."""


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
    after = _states(model, states).copy()
    (tokens,) = gateway.MIXING_ADVANCE.take({"V": model.vocabulary_size, "B": len(after)}, ids)
    library = _library()
    if library is None:
        moved = [twin.advance(model, row, int(t)) for row, t in zip(after, tokens, strict=True)]
        return np.array(moved, np.uint32).reshape(after.shape)
    library.ostinato_mixing_advance(_described(model), c_int64(len(tokens)), _pointer(tokens), _pointer(after))
    return after


def frequencies(model: MixingArrays) -> npt.NDArray[np.uint16]:
    """What the frequencies of tokens alone say at each node of the tree, (V-1,): p of a 1 in 1/65536, or 0 where they
    say nothing. `distribution` goes faster by it, for as long as the model does not learn."""
    library = _library()
    if library is None:
        return twin.frequencies(model)
    out = np.zeros(len(model.tree.children), np.uint16)
    library.ostinato_mixing_frequencies(_described(model), _pointer(out))
    return out


def distribution(
    model: MixingArrays, states: States, frequent: npt.NDArray[np.uint16] | None = None
) -> npt.NDArray[np.float64]:
    """ln p of every token after each state: (B, V) float64. frequent: the model's `frequencies`.

    Raises UsageError.
    """
    states, library = _states(model, states), _library()
    if library is None:
        return np.array([twin.distribution(model, row) for row in states]).reshape(-1, model.vocabulary_size)
    (known,) = gateway.MIXING_FREQUENT.take({"N": len(model.tree.children)}, frequent)
    out = np.empty((len(states), model.vocabulary_size))
    library.ostinato_mixing_distribution(
        _described(model), c_int64(len(states)), _pointer(states), None if known is None else _pointer(known),
        _pointer(out),
    )  # fmt: skip
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

    rates: (T,) of the mixers and the maps, 0 (they stay as they are) to 4095; None where nothing is to be predicted
    (zeros are returned). counters: whether the counters learn; they believe to have seen at most `limit` (1 to 255).
    """
    gateway.number("limit", limit, 1, 255, whole=True)
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
    after = _states(model, states, rows=1).copy()
    tokens, steps = gateway.MIXING_READ.take({"V": model.vocabulary_size, "R": _RATES}, ids, rates)
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


def is_compiled() -> bool:
    """Whether the compiled kernel is used; its twin takes minutes for a text of 100,000 tokens."""
    return _library() is not None


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
            *(gateway.address(array) for array in fixed),
            len(model.records) - 1,
            len(model.slots) - 1,
            *(gateway.address(array) for array in learnt),
        )
    )


def _states(model: MixingArrays, states: States, rows: int | None = None) -> States:
    """The states as the kernel reads them, (B, STATE_SIZE): the tokens that they remember are in the vocabulary."""
    sizes = {"S": STATE_SIZE} | ({} if rows is None else {"B": rows})
    (taken,) = gateway.MIXING_STATES.take(sizes, states)
    gateway.MIXING_HISTORY.take({"16": HISTORY, "V": model.vocabulary_size}, taken[:, :HISTORY])
    dense: States = taken
    return dense


def _pointer(array: npt.NDArray[np.generic]) -> c_void_p:
    return c_void_p(gateway.address(array))
