"""The arrays of a context-mixing model: what is learnt, and the fixed tables of its integer arithmetic."""

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.errors import BundleError

KINDS = 20
"""Contexts that a token is predicted from (contexts() in csrc/mixing_context.h)."""
INPUTS = 2 * KINDS + 1
SETS = 4
SET_ROWS = 32 + 1024 + 1024 + 256
FINAL_ROWS = 32
APM_STEPS, APM_ROWS = 33, 1 << 16
LINE, HISTORY = 24, 16
STATE_SIZE = HISTORY + 9 + 2 * LINE
"""Words of a state (struct State in csrc/mixing.h)."""
PROBE = 8
LEAST_P = 16
"""Of a counter: probabilities lie between it and 65536 less it."""
LARGEST_WEIGHT = 1 << 30
NEWLINE, OTHER, LETTER = 1, 2, 3
"""Classes of tokens; END_OF_DOCUMENT has 0."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Tree:
    """A binary tree whose leaves are the V tokens. Node 0 is the root, and every node comes before its children.

    children: (V-1, 2) int32, a node, or -1-token. starts: (V+1,) int32, where the path of each token begins in `nodes`
    (int32, from the root down) and in `bits` (uint8, the decision taken there).
    """

    children: Array
    starts: Array
    nodes: Array
    bits: Array

    @classmethod
    def of(cls, children: Array) -> "Tree":
        """The tree with these `children`. Raises BundleError where they are no such tree."""
        count = len(children)
        if children.shape != (count, 2) or count < 1:
            raise BundleError(f"the tree of a context-mixing model must have two children a node, got {children.shape}")
        paths: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {}
        above: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {0: ((), ())}
        for node, pair in enumerate(children.tolist()):
            if node not in above:
                break
            nodes, bits = above.pop(node)
            for bit, child in enumerate(pair):
                place, key = (paths, -1 - child) if child < 0 else (above, child)
                if key in place or (child >= 0 and not node < child < count):
                    raise BundleError("the tree of a context-mixing model is damaged; train or copy the model again")
                place[key] = (*nodes, node), (*bits, bit)
        if above or sorted(paths) != list(range(count + 1)):
            raise BundleError("the tree of a context-mixing model is damaged; train or copy the model again")
        ordered = [paths[token] for token in range(count + 1)]
        starts = np.cumsum([0, *(len(nodes) for nodes, _ in ordered)], dtype=np.int32)
        flat_nodes = np.array([n for nodes, _ in ordered for n in nodes], np.int32)
        return cls(
            np.ascontiguousarray(children, np.int32),
            starts,
            flat_nodes,
            np.array([b for _, bits in ordered for b in bits], np.uint8),
        )


@dataclass(frozen=True)
class MixingArrays:
    """A context-mixing model of V tokens. The shapes and types are checked; BundleError otherwise.

    tree: of the vocabulary. folded: (V,) uint32, each token in lower case. classes: (V,) uint8. ranks: (V,) uint8, how
    frequent a token is. records: (R, 2) and slots: (S, 3) uint16, hash tables of a power of two places. maps: (KINDS,
    256) uint32. weights: (SET_ROWS, INPUTS) and final_weights: (FINAL_ROWS, SETS) int32. apm: (V-1, 33) and apm_last:
    (65536, 33) uint16. What is what: csrc/mixing.h.
    """

    tree: Tree
    folded: Array
    classes: Array
    ranks: Array
    records: Array
    slots: Array
    maps: Array
    weights: Array
    final_weights: Array
    apm: Array
    apm_last: Array

    def __post_init__(self) -> None:
        size = self.vocabulary_size
        expected = {
            "folded": (np.uint32, (size,)),
            "classes": (np.uint8, (size,)),
            "ranks": (np.uint8, (size,)),
            "records": (np.uint16, (_power(len(self.records)), 2)),
            "slots": (np.uint16, (_power(len(self.slots)), 3)),
            "maps": (np.uint32, (KINDS, 256)),
            "weights": (np.int32, (SET_ROWS, INPUTS)),
            "final_weights": (np.int32, (FINAL_ROWS, SETS)),
            "apm": (np.uint16, (size - 1, APM_STEPS)),
            "apm_last": (np.uint16, (APM_ROWS, APM_STEPS)),
        }
        for name, (kind, shape) in expected.items():
            array = getattr(self, name)
            if array.dtype != kind or array.shape != shape or not array.flags.c_contiguous:
                raise BundleError(
                    f"{name} of a context-mixing model must be dense {np.dtype(kind)} {shape}, got {array.dtype} "
                    f"{array.shape}; train or copy the model again"
                )
        tokens = self.records[:, 1] & 0x7FFF
        if size > 0x8000 or int(self.folded.max()) >= size or int(self.classes.max()) > LETTER:
            raise BundleError("the tokens of a context-mixing model are damaged; train or copy the model again")
        if len(tokens) and int(tokens.max()) >= size:
            raise BundleError("the records of a context-mixing model name no token; train or copy the model again")
        used = self.slots[self.slots[:, 0] > 0, 1]
        if len(used) and not LEAST_P <= int(used.min()) <= int(used.max()) <= 65536 - LEAST_P:
            raise BundleError("the counters of a context-mixing model are damaged; train or copy the model again")
        for weights in (self.weights, self.final_weights):
            if max(int(weights.max()), -int(weights.min())) > LARGEST_WEIGHT:
                raise BundleError("the weights of a context-mixing model are damaged; train or copy the model again")

    @property
    def vocabulary_size(self) -> int:
        """V, the number of token ids."""
        return len(self.tree.children) + 1

    @staticmethod
    def straight_apm() -> Array:
        """apm_last before it has learnt: (65536, 33) uint16, every probability as it is."""
        return np.tile(_straight(), (APM_ROWS, 1))

    def copy(self) -> "MixingArrays":
        """One that learns without changing this one."""
        learnt = ("records", "slots", "maps", "weights", "final_weights", "apm", "apm_last")
        return MixingArrays(**{**vars(self), **{name: getattr(self, name).copy() for name in learnt}})


def _straight() -> Array:
    return np.array([squash_table()[min(4095, 128 * i)] for i in range(APM_STEPS)], np.uint16)


def _power(size: int) -> int:
    return 1 << max(4, (size - 1).bit_length())


@functools.cache
def stretch_table() -> Array:
    """(4096,) int16: ln(p / (1 - p)) in 1/256 for p in 1/4096, within ±2047."""
    values = [256 * math.log(p / (4096 - p)) if p else -2047 for p in range(4096)]
    return np.array([max(-2047, min(2047, round(v))) for v in values], np.int16)


@functools.cache
def squash_table() -> Array:
    """(4096,) uint16: 1 / (1 + exp(-x)) in 1/65536 for x from -2048/256."""
    values = [65536 / (1 + math.exp(-(x - 2048) / 256)) for x in range(4096)]
    return np.array([max(1, min(65535, round(v))) for v in values], np.uint16)


@functools.cache
def rate_table() -> Array:
    """(256,) int32: how far a counter that has seen n moves, in 1/65536."""
    return np.array([round(65536 / (n + 1.5)) for n in range(256)], np.int32)


@functools.cache
def certain_table() -> Array:
    """(16,) uint16: p of a counter that has seen nothing but n ones."""
    values = [32768]
    for n in range(15):
        values.append(min(max(values[-1] + (((65535 - values[-1]) * int(rate_table()[n])) >> 16), 16), 65520))
    return np.array(values, np.uint16)


@functools.cache
def logarithm_table() -> Array:
    """(65536,) float64: ln(p / 65536), the first as the second."""
    return np.array([math.log(max(p, 1) / 65536) for p in range(65536)])


def untaught(tree: Tree, folded: Array, classes: Array, ranks: Array, *, records: int, slots: int) -> MixingArrays:
    """A model that has learnt nothing, with tables of so many places (powers of two, 16 or more)."""
    history = np.arange(256)
    zeros, ones = history >> 4, history & 15
    start = ((ones + 0.4) / (zeros + ones + 0.8) * (1 << 22)).astype(np.uint32) << 10
    weights = np.full((SET_ROWS, INPUTS), round(0.15 * 2**20), np.int32)
    weights[:, -1] = 0
    return MixingArrays(
        tree,
        folded,
        classes,
        ranks,
        np.zeros((records, 2), np.uint16),
        np.zeros((slots, 3), np.uint16),
        np.tile(start.astype(np.uint32), (KINDS, 1)),
        weights,
        np.full((FINAL_ROWS, SETS), 2**18, np.int32),
        np.tile(_straight(), (len(tree.children), 1)),
        MixingArrays.straight_apm(),
    )
