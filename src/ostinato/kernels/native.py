"""The compiled recurrent model: a handle on packed weights, and calls that let go of the interpreter lock."""

import ctypes
import functools
import math
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from ctypes import c_double, c_int32, c_int64, c_void_p
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ostinato.errors import BundleError, GenerationError, OstinatoError, UsageError
from ostinato.files import unload
from ostinato.kernels import gateway
from ostinato.kernels.gateway import address
from ostinato.kernels.load import ISAS, find_library
from ostinato.kernels.shape import CELLS, TABLE_BYTES, Array, FloatArray, IdArray, Shape, check_tensor

MOST_ROWS = 64
"""Rows that the compiled loop takes at once (kRows in csrc/model.h)."""

_TENSORS = (
    "embedding.weight", "recurrent.weight_ih", "recurrent.weight_hh", "recurrent.bias_ih", "recurrent.bias_hh",
    "projection.weight", "head.weight", "head.bias",
)  # fmt: skip
"""The C interface's numbers of the tensors (Tensor in csrc/model.h)."""
_BLOCK_BYTES = 4 << 20
_OUT_OF_MEMORY, _NOT_FINITE, _BAD_SCORES, _NOTHING_ALLOWED = 1, 3, 5, 6  # Status in csrc/model.h


class _Shape(ctypes.Structure):
    _fields_ = (
        *((name, c_int32) for name in ("cell", "layers", "hidden", "embedding", "vocabulary", "tied", "int8", "isa")),
        ("table_bytes", c_int64),
    )


class _Sampling(ctypes.Structure):
    _fields_ = (
        *((name, c_double) for name in ("temperature", "top_p", "min_p", "log_penalty", "presence", "frequency")),
        *((name, c_int64) for name in ("top_k", "remembers")),
    )


class _Drawing(ctypes.Structure):
    _fields_ = (
        ("remembers", c_int64),
        *(
            (n, c_void_p)
            for n in (
                "sampling",
                "u",
                "lengths",
                "forbidden",
                "stops",
                "recent",
                "recents",
                "drawn",
                "counts",
                "shifts",
                "shifted",
                "bias",
                "times",
            )
        ),
    )


class Sampling(Protocol):
    """The numbers of `generation.Sampler`."""

    @property
    def temperature(self) -> float: ...
    @property
    def top_k(self) -> int: ...
    @property
    def top_p(self) -> float: ...
    @property
    def min_p(self) -> float: ...
    @property
    def repetition_penalty(self) -> float: ...
    @property
    def remembers(self) -> int: ...
    @property
    def bias(self) -> tuple[tuple[int, float], ...]: ...
    @property
    def presence_penalty(self) -> float: ...
    @property
    def frequency_penalty(self) -> float: ...


@functools.cache
def _library() -> ctypes.CDLL:
    library, why = find_library()
    if library is None:
        raise UsageError(f"the compiled kernels cannot be used: {why}")
    library.ostinato_model_new.argtypes = [c_void_p, c_void_p]
    library.ostinato_model_new.restype = c_void_p
    library.ostinato_model_free.argtypes = [c_void_p]
    library.ostinato_model_free.restype = None
    library.ostinato_model_set.argtypes = [c_void_p, c_int32, c_int32, c_int64, c_int64, c_void_p]
    library.ostinato_step.argtypes = [c_void_p, c_int32, c_int64, *[c_void_p] * 4]
    library.ostinato_score.argtypes = [c_void_p, c_int32, c_int64, *[c_void_p] * 5]
    library.ostinato_read.argtypes = [c_void_p, c_int32, c_int64, *[c_void_p] * 2]
    library.ostinato_score_rows.argtypes = [c_void_p, c_int32, c_int64, *[c_void_p] * 5]
    library.ostinato_decode.argtypes = [c_void_p, c_int32, c_int64, c_int64, *[c_void_p] * 4]
    return library


class NativeRecurrent:
    """`shape.Recurrent` in C++ with the kernels of one instruction set, and a loop of its own that writes."""

    def __init__(self, shape: Shape, tensors: Mapping[str, Array], precision: str, isa: str, threads: int) -> None:
        self.shape = shape
        self._threads = threads
        self._library = _library()
        status = c_int32()
        described = _Shape(
            CELLS.index(shape.cell), shape.layers, shape.hidden_size, shape.embedding_size, shape.vocabulary_size,
            shape.tied, precision == "int8", ISAS.index(isa), TABLE_BYTES,
        )  # fmt: skip
        handle = self._library.ostinato_model_new(ctypes.byref(described), ctypes.byref(status))
        if not handle:
            raise _error(status.value, f"a model of this shape: {shape}")
        self._handle = c_void_p(handle)
        weakref.finalize(self, self._library.ostinato_model_free, self._handle)
        for name, expected in shape.tensors().items():
            self._set(name, tensors[name], expected)

    def _set(self, name: str, tensor: Array, expected: tuple[int, ...]) -> None:
        check_tensor(name, tensor, expected)
        base, _, layer = name.partition("_l") if name.startswith("recurrent.") else (name, "", "0")
        number = _TENSORS.index(base)
        for first, block in _blocks(tensor):
            status = self._library.ostinato_model_set(
                self._handle, number, int(layer), first, len(block), address(block)
            )
            if status:
                raise _error(status, f"tensor {name!r}")

    def step(self, ids: IdArray, state: FloatArray, logits: bool = True) -> tuple[FloatArray, FloatArray]:
        """See `shape.Recurrent.step`."""
        sizes = self.shape.sizes()
        ids, state = gateway.STEP.take(sizes, ids, state)
        rows = len(ids)
        after = np.empty_like(state)
        scores = np.empty((rows if logits else 0, self.shape.vocabulary_size), np.float32)
        status = self._library.ostinato_step(
            self._handle, self._threads, rows, address(ids), address(state), address(after),
            address(scores) if logits else None,
        )  # fmt: skip
        self._check(status)
        return scores, after

    def score(
        self, ids: IdArray, state: FloatArray, logits: FloatArray, features: FloatArray | None = None
    ) -> tuple[npt.NDArray[np.float64], FloatArray]:
        """See `shape.Recurrent.score`."""
        ids, state, logits, features = gateway.SCORE.take(self.shape.sizes(), ids, state, logits, features)
        after, last, out = state.copy(), logits.copy(), np.empty(len(ids))
        status = self._library.ostinato_score(
            self._handle, self._threads, len(ids), address(ids), address(after), address(last), address(out),
            None if features is None else address(features),
        )  # fmt: skip
        self._check(status)
        return out, after

    def read(self, ids: IdArray, state: FloatArray) -> FloatArray:
        """The state (S, 1, H) after all ids (T,), T >= 1, from a state (S, 1, H). Raises UsageError as `step` does."""
        ids, state = gateway.READ.take(self.shape.sizes(), ids, state)
        after = state.copy()
        status = self._library.ostinato_read(self._handle, self._threads, len(ids), address(ids), address(after))
        self._check(status)
        return after

    def score_many(
        self, texts: Sequence[IdArray], state: FloatArray, logits: FloatArray
    ) -> list[npt.NDArray[np.float64]]:
        """log-probabilities (T,) float64 of each text (T,) from the same state (S, 1, H) and logits (V,)."""
        state, logits = gateway.STARTS.take(self.shape.sizes(), state, logits)
        ids = [gateway.TEXT.take(self.shape.sizes(), text)[0] for text in texts]
        out = [np.empty(len(text)) for text in ids]
        order = sorted((at for at in range(len(ids)) if len(ids[at])), key=lambda at: -len(ids[at]))
        for first in range(0, len(order), MOST_ROWS):
            part = order[first : first + MOST_ROWS]
            lengths = np.array([len(ids[at]) for at in part], np.int64)
            read, written = _addresses([ids[at] for at in part]), _addresses([out[at] for at in part])
            status = self._library.ostinato_score_rows(
                self._handle, self._threads, len(part), address(lengths), address(read), address(state),
                address(logits), address(written),
            )  # fmt: skip
            self._check(status)
        return out

    def decode(
        self,
        ids: IdArray,
        state: FloatArray,
        *,
        samplers: Sequence[Sampling],
        u: npt.NDArray[np.float64],
        lengths: Sequence[int],
        recent: Sequence[Sequence[int]],
        forbidden: Sequence[npt.NDArray[np.bool_]],
        stops: Sequence[npt.NDArray[np.bool_]],
        before: Sequence[Sequence[int]] = (),
    ) -> tuple[list[list[int]], FloatArray]:
        """Read ids (B,), draw, read what was drawn, and so on, as `generation.BlockModel` says."""
        ids, state, u, most = gateway.DECODE.take(self.shape.sizes(), ids, state, u, lengths)
        rows, length = u.shape
        before = before or [()] * rows
        for name, given in (
            ("samplers", samplers),
            ("recent", recent),
            ("forbidden", forbidden),
            ("stops", stops),
            ("before", before),
        ):
            if len(given) != rows:
                raise UsageError(f"{name} must have {rows} rows, got {len(given)}")
        if most.min() < 1 or most.max() > length:
            raise UsageError(f"lengths must lie in 1 .. {length}, got {most.min()} .. {most.max()}")
        for sampler in {id(one): one for one in samplers}.values():
            _check_sampling(sampler)
        masks, ends = self._masks("forbidden", forbidden), self._masks("stops", stops)
        drawn, after = [], np.empty_like(state)
        for first in range(0, rows, MOST_ROWS):
            part = slice(first, first + MOST_ROWS)
            tokens, reached = self._decode_part(
                ids[part], np.ascontiguousarray(state[:, part]), samplers[part], u[part], most[part], recent[part],
                masks[part], ends[part], before[part],
            )  # fmt: skip
            after[:, part] = reached
            drawn += tokens
        return drawn, after

    def _decode_part(
        self,
        ids: IdArray,
        state: FloatArray,
        samplers: Sequence[Sampling],
        u: npt.NDArray[np.float64],
        most: npt.NDArray[np.int64],
        recent: Sequence[Sequence[int]],
        masks: Sequence[npt.NDArray[np.bool_]],
        ends: Sequence[npt.NDArray[np.bool_]],
        before: Sequence[Sequence[int]],
    ) -> tuple[list[list[int]], FloatArray]:
        """`decode` of at most MOST_ROWS rows, all checked but `recent`."""
        rows, length = u.shape
        spans = [min(sampler.remembers, len(row) + length) for sampler, row in zip(samplers, recent, strict=True)]
        remembers = max(spans)
        history = np.zeros((rows, remembers + length), np.uint32)
        recents = np.zeros(rows, np.int64)
        for b, (row, span) in enumerate(zip(recent, spans, strict=True)):
            if recents_of := min(len(row), span):
                recents[b] = recents_of
                (last,) = gateway.RECENT.take(self.shape.sizes(), row[len(row) - recents_of :])
                history[b, remembers - recents_of : remembers] = last
        drawn, counts, after = np.empty((rows, length), np.uint32), np.zeros(rows, np.int64), np.empty_like(state)
        made: dict[tuple[int, int], _Sampling] = {}  # rows with the same sampler share what is made of it
        for one, span in zip(samplers, spans, strict=True):
            if (id(one), span) not in made:
                made[id(one), span] = self._sampling(one, span)
        sampling = (_Sampling * rows)(*[made[id(one), span] for one, span in zip(samplers, spans, strict=True)])
        mask_places, end_places = _addresses(masks), _addresses(ends)
        starts, shifted, bias, times = self._shifts(samplers, before)
        arrays = _Drawing(
            remembers, ctypes.addressof(sampling),
            *map(address, (u, most, mask_places, end_places, history, recents, drawn, counts, starts, shifted, bias,
                           times)),
        )  # fmt: skip
        status = self._library.ostinato_decode(
            self._handle, self._threads, rows, length, address(ids), address(state), address(after),
            ctypes.byref(arrays),
        )  # fmt: skip
        self._check(status)
        return [row[:count] for row, count in zip(drawn.tolist(), counts.tolist(), strict=True)], after

    def _masks(self, name: str, masks: Sequence[npt.NDArray[np.bool_]]) -> list[npt.NDArray[np.bool_]]:
        """Masks as the compiled loop reads them; rows that share one go on sharing it."""
        dense = {id(m): gateway.MASKS[name].take(self.shape.sizes(), m)[0] for m in {id(m): m for m in masks}.values()}
        return [dense[id(mask)] for mask in masks]

    def _shifts(self, samplers: Sequence[Sampling], before: Sequence[Sequence[int]]) -> tuple[Array, ...]:
        """Tokens whose logits are shifted, all rows' one after the other: where each row's begin, (B + 1,); their ids,
        their biases, and how often each was drawn, (K,)."""
        starts: list[int] = [0]
        shifts: list[tuple[int, float, int]] = []
        for sampler, ids in zip(samplers, before, strict=True):
            penalised = sampler.presence_penalty or sampler.frequency_penalty
            if sampler.bias or penalised:
                bias: dict[int, float] = {}
                for token_id, value in sampler.bias:
                    bias[token_id] = bias.get(token_id, 0.0) + value
                times = Counter(ids if penalised else ())
                shifts += [(token_id, bias.get(token_id, 0.0), times[token_id]) for token_id in sorted({*bias, *times})]
            starts.append(len(shifts))
        columns = list(zip(*shifts, strict=True)) or [(), (), ()]
        shifted = np.array(columns[0], np.int64)
        values, counts = np.array(columns[1], np.float64), np.array(columns[2], np.int64)
        return np.array(starts, np.int64), *gateway.SHIFTS.take(self.shape.sizes(), shifted, values, counts)

    def _sampling(self, sampler: Sampling, remembers: int) -> _Sampling:
        return _Sampling(
            sampler.temperature, sampler.top_p, sampler.min_p, float(np.log(sampler.repetition_penalty)),
            sampler.presence_penalty, sampler.frequency_penalty,
            min(sampler.top_k, self.shape.vocabulary_size), remembers,
        )  # fmt: skip

    def _check(self, status: int) -> None:
        if status:
            raise _error(status, "this call")


def _check_sampling(sampling: Sampling) -> None:
    """What `generation.Sampler` refuses where it is made, for numbers that come another way."""
    gateway.number("temperature", sampling.temperature, 0, math.inf)
    gateway.number("top_p", sampling.top_p, 0, 1)
    gateway.number("min_p", sampling.min_p, 0, 1)
    gateway.number("repetition_penalty", sampling.repetition_penalty, 0, math.inf)
    for name, value in (
        ("presence_penalty", sampling.presence_penalty), ("frequency_penalty", sampling.frequency_penalty),
        *((f"the bias of id {token_id}", value) for token_id, value in sampling.bias),
    ):  # fmt: skip
        if not math.isfinite(value):
            raise UsageError(f"{name} must be a finite number, got {value}")
    gateway.number("top_k", sampling.top_k, 0, math.inf, whole=True)
    gateway.number("remembers", sampling.remembers, 0, math.inf, whole=True)


def _error(status: int, what: str) -> OstinatoError:
    if status == _OUT_OF_MEMORY:
        return BundleError(f"there is not enough memory for {what}")
    if status == _NOT_FINITE:
        return BundleError(f"{what} holds a value that is no finite number; train or copy the model again")
    if status == _BAD_SCORES:
        return GenerationError("the model's scores are not finite numbers: it cannot write")
    if status == _NOTHING_ALLOWED:
        return GenerationError("nothing can be written here: the request allows no token")
    return BundleError(f"the kernels cannot take {what}")


def _addresses(arrays: Sequence[Array]) -> npt.NDArray[np.uint64]:
    """Where each of `arrays` begins, (N,); they must stay referenced while the addresses are in use."""
    return np.array([address(array) for array in arrays], np.uint64)


def _blocks(tensor: Array) -> Iterator[tuple[int, FloatArray]]:
    """The rows of a tensor, some megabytes at a time, with the first row's number.

    Where the tensor is mapped from a file, memory is given back after each block: packing takes no second copy.
    """
    size = max(1, _BLOCK_BYTES // max(1, 4 * tensor[:1].size))
    for first in range(0, len(tensor), size):
        yield first, np.require(tensor[first : first + size], np.float32, ("C", "A"))
        unload(tensor)
