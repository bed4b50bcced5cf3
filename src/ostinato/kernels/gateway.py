"""The one gateway into native code: every array is checked here, and only then is its address given away.

Each function of the C interface has a `Signature`: what it expects of every array, in terms of named dimensions. The
compiled kernels and their NumPy twins share it, so both refuse the same arrays with the same words. An argument is
written as one string:

    "float32[S,B,H]"         a float32 array of three axes; dimensions that the call leaves open are read off the array
    "uint32[B] < V"          whole numbers from 0 to V - 1
    "float64[B,N] in [0,1)"  numbers of that interval
    "uint32[T?]"             an axis that may be empty; every other dimension is 1 or more
    "float32[T,H] optional written"   may be None; filled by the call, so it is taken as it is and never copied
    "float32[G+] optional"   at least G elements; may be None where G is 0
    "uint8[W+] written aligned"       at least W elements, contiguous, at a multiple of 64 bytes

Inputs of another width or memory order are converted (uint16 to uint32, float64 to float32, slices to dense arrays);
inputs of another kind are refused: floats are no ids. `take` returns the arrays that C may read; the caller holds them
for as long as the call lasts.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.errors import UsageError

Array = npt.NDArray[Any]

_KINDS = {"f": "f", "u": "ui", "i": "ui", "b": "b"}
"""The kinds of NumPy dtypes that an argument of each kind takes."""

_WORDS = {"f": "floats", "u": "whole numbers", "i": "whole numbers", "b": "booleans"}
_SPECIFICATION = re.compile(r"(\w+)\[([^\]]*)\](?: (< \w+|in \[0,1\)))?((?: optional| written| aligned)*)")
_CACHE_LINE = 64
FLOAT = np.dtype(np.float32)
_smallest, _largest = np.minimum.reduce, np.maximum.reduce


@dataclass(frozen=True)
class Argument:
    """What a C function expects of one array; made by `argument` from the notation at the top."""

    name: str
    dtype: np.dtype[Any]
    dimensions: tuple[str, ...]
    may_be_empty: frozenset[str]
    below: str | None
    unit: bool
    optional: bool
    written: bool
    aligned: bool
    at_least: bool
    plain: bool  # whether `fits` says all there is to say

    def fits(self, array: Array, sizes: dict[str, int]) -> bool:
        """Whether an input is already what C reads, without the words for what it is not: most calls end here."""
        if not self.plain or array.dtype != self.dtype or len(array.shape) != len(self.dimensions):
            return False
        flags = array.flags
        if not (flags.c_contiguous and flags.aligned and array.size):
            return False
        for dimension, size in zip(self.dimensions, array.shape, strict=True):
            if sizes.setdefault(dimension, size) != size:
                return False
        if self.below is None:
            return True
        return int(array[0] if array.size == 1 else _largest(array)) < sizes[self.below]

    def take(self, value: Any, sizes: dict[str, int]) -> Array | None:
        """The array C may use, dense and of this dtype. Dimensions not yet in `sizes` are added to it."""
        if value is None and self.optional and not (self.at_least and sizes[self.dimensions[0]]):
            return None
        array = value if type(value) is np.ndarray else self._array(value, sizes)
        if array.dtype != self.dtype and (self.written or array.dtype.kind not in _KINDS[self.dtype.kind]):
            raise self._refusal(array, sizes)
        self._bind(array, sizes)
        if self.below is not None:
            self._in_range(array, sizes[self.below])
        flags = array.flags
        if array.dtype != self.dtype or not (flags.c_contiguous and flags.aligned):
            if self.written:
                raise self._refusal(array, sizes)
            array = np.require(array, self.dtype, ("C", "A"))
        elif self.written and not flags.writeable:
            raise UsageError(f"{self.name} must be writable, got a read-only array")
        if self.unit and not (_smallest(array, axis=None) >= 0 and _largest(array, axis=None) < 1):
            raise UsageError(f"{self.name} must lie in [0, 1), got {array.min()} .. {array.max()}")
        if self.aligned and address(array) % _CACHE_LINE:
            raise UsageError(f"{self.name} must begin at a multiple of {_CACHE_LINE} bytes")
        return array

    def _array(self, value: Any, sizes: Mapping[str, int]) -> Array:
        try:
            if value is None or self.written:
                raise TypeError
            return np.asarray(value)
        except (TypeError, ValueError):
            kind = "None" if value is None else f"a {type(value).__name__}"
            raise UsageError(f"{self.name} must be {self._words(sizes)}, got {kind}") from None

    def _bind(self, array: Array, sizes: dict[str, int]) -> None:
        shape = array.shape
        if self.at_least:
            if len(shape) != 1 or shape[0] < sizes[self.dimensions[0]]:
                raise self._refusal(array, sizes)
            return
        if len(shape) != len(self.dimensions):
            raise self._refusal(array, sizes)
        for dimension, size in zip(self.dimensions, shape, strict=True):
            known = sizes.setdefault(dimension, size)
            if known != size:
                raise self._refusal(array, sizes)
            if size == 0 and dimension not in self.may_be_empty:
                raise UsageError(f"{self.name} must not be empty, got shape {shape}")

    def _in_range(self, array: Array, limit: int) -> None:
        if array.size == 1:
            low = high = int(array.reshape(-1)[0])
        elif array.size:
            high = int(array.max())
            low = int(array.min()) if array.dtype.kind == "i" else 0
        else:
            return
        if low < 0 or high >= limit:
            what = "token ids" if self.name == "ids" else self.name
            raise UsageError(f"{what} must lie in 0 .. {limit - 1}, got {low if low < 0 else high}")

    def _refusal(self, array: Array, sizes: Mapping[str, int]) -> UsageError:
        dense = ", not contiguous" if self.written and not array.flags.c_contiguous else ""
        return UsageError(f"{self.name} must be {self._words(sizes)}, got {array.dtype} {array.shape}{dense}")

    def _words(self, sizes: Mapping[str, int]) -> str:
        shape = ", ".join(str(sizes.get(d, d)) for d in self.dimensions) + ("," if len(self.dimensions) == 1 else "")
        kind = f"dense {self.dtype}" if self.written else _WORDS[self.dtype.kind]
        return f"{kind} of {shape[:-1]} elements or more" if self.at_least else f"{kind} of shape ({shape})"


def argument(name: str, specification: str) -> Argument:
    """The argument that one of the strings at the top describes."""
    match = _SPECIFICATION.fullmatch(specification)
    if match is None:
        raise ValueError(f"argument {name!r} has no specification {specification!r}")
    dtype, dimensions, values, words = match.groups()
    axes = tuple(dimensions.split(","))
    values = values or ""
    plain = not ((values and (len(axes) > 1 or dtype[0] != "u")) or words or axes[0].endswith("+"))
    return Argument(
        name=name,
        dtype=np.dtype(dtype),
        dimensions=tuple(axis.rstrip("?+") for axis in axes),
        may_be_empty=frozenset(axis[:-1] for axis in axes if axis.endswith("?")),
        below=values[2:] if values.startswith("<") else None,
        unit=values.startswith("in"),
        optional="optional" in words,
        written="written" in words,
        aligned="aligned" in words,
        at_least=axes[0].endswith("+"),
        plain=plain,
    )


class Signature:
    """What one C function expects: its arrays by name, checked together because they share dimensions."""

    def __init__(self, **arguments: str) -> None:
        self.arguments = tuple(argument(name, text) for name, text in arguments.items())

    def take(self, sizes: dict[str, int], *values: Any) -> list[Any]:
        """The arrays that C may use, in the order of the signature. `sizes`: the known dimensions; others are added.

        Raises UsageError for an array of another kind, shape or range.
        """
        taken: list[Any] = []
        for argument, value in zip(self.arguments, values, strict=True):
            if type(value) is np.ndarray and argument.fits(value, sizes):
                taken.append(value)
            else:
                taken.append(argument.take(value, sizes))
        return taken


def number(name: str, value: Any, low: float, high: float, whole: bool = False) -> None:
    """Refuse a number that C must not see: raises UsageError where `value` is not in low .. high (NaN never is)."""
    kinds = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    if not isinstance(value, kinds) or not low <= value <= high:
        raise UsageError(f"{name} must be {'a whole number ' if whole else ''}from {low} to {high}, got {value!r}")


def address(array: Array) -> int:
    """Where an array begins. It must stay referenced while the address is in use."""
    place: int = array.__array_interface__["data"][0]
    return place


# The calls on a recurrent model (csrc/decode.cc): S states, B rows, H hidden units, V tokens in the vocabulary,
# T tokens of a text, N draws of a row.
STEP = Signature(ids="uint32[B] < V", state="float32[S,B,H]")
SCORE = Signature(
    ids="uint32[T?] < V", state="float32[S,1,H]", logits="float32[V]", features="float32[T?,H] optional written"
)
READ = Signature(ids="uint32[T] < V", state="float32[S,1,H]")
STARTS = Signature(state="float32[S,1,H]", logits="float32[V]")
TEXT = Signature(ids="uint32[T?] < V")
DECODE = Signature(ids="uint32[B] < V", state="float32[S,B,H]", u="float64[B,N] in [0,1)", lengths="int64[B]")
MASKS = {"forbidden": Signature(forbidden="bool[V]"), "stops": Signature(stops="bool[V]")}
RECENT = Signature(recent="uint32[R?] < V")
SHIFTS = Signature(shifted="uint32[K?] < V", bias="float64[K?]", times="int64[K?]")

# Training (csrc/train.h): T steps, B rows, I inputs, H hidden units, GH = gates times H, N tokens, F features.
_LAYER = {
    "x": "float32[T,B,I]", "w_ih": "float32[GH,I] optional", "w_hh": "float32[GH,H]", "b_ih": "float32[GH] optional",
    "b_hh": "float32[GH] optional", "h0": "float32[B,H] optional", "c0": "float32[B,H] optional",
}  # fmt: skip
LAYER_FORWARD = Signature(
    **_LAYER, y="float32[T,B,H] written", h_last="float32[B,H] written", c_last="float32[B,H] optional written",
    gates="float32[gates+] optional written", cells="float32[cells+] optional written",
    workspace="uint8[workspace+] written aligned",
)  # fmt: skip
LAYER_BACKWARD = Signature(
    **_LAYER, y="float32[T,B,H]", gates="float32[gates+] optional", cells="float32[cells+] optional",
    dh_last="float32[B,H] optional", dc_last="float32[B,H] optional", dx="float32[T,B,I] optional written",
    dw_ih="float32[GH,I] optional written", dw_hh="float32[GH,H] written", db="float32[GH] optional written",
    db_hh="float32[GH] optional written", dh0="float32[B,H] optional written", dc0="float32[B,H] optional written",
    workspace="uint8[workspace+] written aligned",
)  # fmt: skip
_HEAD = {
    "x": "float32[N,F]", "weight": "float32[V,F]", "bias": "float32[V] optional", "targets": "int64[N] < V",
    "losses": "float32[N] written", "workspace": "uint8[workspace+] written aligned",
}  # fmt: skip
HEAD = Signature(**_HEAD)
HEAD_GRADIENTS = Signature(
    **_HEAD, dx="float32[N,F] written", dweight="float32[V,F] written", dbias="float32[V] optional written"
)
ADAM = Signature(
    parameter="float32[P?] written", first="float32[P?] written", second="float32[P?] written", gradient="float32[P?]"
)

# Context mixing (csrc/mixing.h): V tokens in the vocabulary, B rows, S words of a state, of which the first 16 are the
# last tokens read, T tokens of a text.
MIXING_STATES = Signature(states="uint32[B?,S]")
MIXING_HISTORY = Signature(states="uint32[B?,16] < V")
MIXING_FREQUENT = Signature(frequent="uint16[N] optional")
MIXING_ADVANCE = Signature(ids="uint32[B?] < V")
MIXING_READ = Signature(ids="uint32[T?] < V", rates="int32[T?] < R optional")

# N-gram models (csrc/ngram.cc): V tokens in the vocabulary, L n-grams of this order, C contexts of the order below.
NGRAM = Signature(unigram="float64[V]", ids="uint32[T?] < V")
NGRAM_STEP = Signature(ids="int64[B] < V", state="int64[B,N?]")


@functools.cache
def ngram_unigrams(word_type: str) -> Signature:
    """The first order of an n-gram model, whose words are uint16 or uint32."""
    return Signature(words=f"{word_type}[V]", shares="float64[V]", weights="float64[1]")


@functools.cache
def ngram_level(word_type: str, child_type: str) -> Signature:
    """One of the higher orders, whose words are uint16 or uint32 and whose places are uint32 or uint64."""
    return Signature(
        words=f"{word_type}[L?]", children=f"{child_type}[C + 1]", shares="float64[L?]", weights="float64[C?]"
    )
