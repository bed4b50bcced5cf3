"""A binary tree of the vocabulary in which tokens that stand in the same places are near each other.

A decision high in the tree is then one between kinds of tokens (a vowel? a capital? the end of a line?), about which a
context learns from every token of the kind. Against Huffman's tree this is worth 0.014 nats a character on plays.
"""

import heapq
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.kernels.mixing_tables import Tree
from ostinato.protocols import Ids

_DIMENSIONS = 1024
"""The most frequent tokens, which others are compared by."""
_SELDOM = 3
"""Tokens seen fewer times have no places to be compared by: they hang together at the root, by frequency."""
_BALANCE = 0.9
"""How much the evenness of a split counts against how far apart its halves are."""
_ROUNDS = 40

Vectors = npt.NDArray[np.float32]
Nested = Any
"""A token, or a pair of what hangs below."""


def build_tree(ids: Ids, vocabulary_size: int) -> Tree:
    """The tree of the V tokens (2 or more) of a text, split from the top: each set of tokens where it comes apart best
    along the principal axis of the square roots of their neighbours' frequencies."""
    counts = np.bincount(ids, minlength=vocabulary_size)
    seldom, common = np.flatnonzero(counts < _SELDOM), np.flatnonzero(counts >= _SELDOM)
    halves = [_huffman(seldom, counts)] if len(seldom) else []
    if len(common):
        halves.append(_split_all(common, _neighbours(np.asarray(ids, np.int64), vocabulary_size), counts))
    return Tree.of(_numbered(halves[0] if len(halves) == 1 else (halves[1], halves[0])))


def _neighbours(ids: npt.NDArray[np.int64], size: int) -> Vectors:
    """(V, 2 D) float32: for each token the square roots of the frequencies of what stood before it, and after it."""
    counts = np.bincount(ids, minlength=size)
    place = np.full(size, -1)
    frequent = np.argsort(-counts, kind="stable")[:_DIMENSIONS]
    place[frequent] = np.arange(len(frequent))
    pairs, times = np.unique(ids[:-1] * size + ids[1:], return_counts=True)
    first, second = np.divmod(pairs, size)
    vectors = np.zeros((size, 2, len(frequent)), np.float32)
    for side, (token, other) in enumerate([(second, first), (first, second)]):
        known = place[other] >= 0
        totals = np.bincount(token, times, minlength=size)
        vectors[token[known], side, place[other[known]]] = np.sqrt(times / totals[token])[known]
    return vectors.reshape(size, -1)


def _split_all(tokens: npt.NDArray[np.intp], vectors: Vectors, counts: npt.NDArray[np.intp]) -> Nested:
    """The nested pairs of `tokens`; a stack of its own, since an uneven tree can be deep."""
    root: list[Nested] = [None]
    waiting: list[tuple[npt.NDArray[np.intp], list[Nested], int]] = [(tokens, root, 0)]
    while waiting:
        part, above, at = waiting.pop()
        if len(part) == 1:
            above[at] = int(part[0])
            continue
        pair: list[Nested] = [None, None]
        above[at] = pair
        first, second = _split(part, vectors[part], counts[part].astype(np.float64))
        waiting += [(first, pair, 0), (second, pair, 1)]
    return root[0]


def _split(
    tokens: npt.NDArray[np.intp], x: Vectors, weights: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    centred = x - np.average(x, axis=0, weights=weights).astype(np.float32)
    scaled = centred * np.sqrt(weights, dtype=np.float32)[:, None]
    v = (np.arange(1, len(tokens) + 1) * 0.37 % 1 - 0.5).astype(np.float32)
    for _ in range(_ROUNDS):  # power iteration: the principal axis
        v = scaled @ (v @ scaled)
        v /= max(float(np.linalg.norm(v)), 1e-30)
    along = (centred @ (v @ scaled)).astype(np.float64)
    order = np.argsort(along, kind="stable")
    mass = np.cumsum(weights[order])
    share = mass[:-1] / mass[-1]
    sums = np.cumsum((weights * along)[order])
    apart = share * (1 - share) * (sums[:-1] / mass[:-1] - (sums[-1] - sums[:-1]) / (mass[-1] - mass[:-1])) ** 2
    evenness = -(share * np.log2(share) + (1 - share) * np.log2(1 - share))
    gain = (1 - _BALANCE) * apart / max(float(apart.max()), 1e-30) + _BALANCE * evenness
    cut = int(np.argmax(gain)) + 1
    return tokens[order[:cut]], tokens[order[cut:]]


def _huffman(tokens: npt.NDArray[np.intp], counts: npt.NDArray[np.intp]) -> Nested:
    """Huffman's tree (1952): the two least frequent are joined until one is left."""
    heap: list[tuple[int, int, Nested]] = [(int(counts[t]), int(t), int(t)) for t in tokens]
    heapq.heapify(heap)
    number = len(counts)
    while len(heap) > 1:
        (one, _, left), (other, _, right) = heapq.heappop(heap), heapq.heappop(heap)
        heapq.heappush(heap, (one + other, number := number + 1, (left, right)))
    return heap[0][2]


def _numbered(root: Nested) -> npt.NDArray[np.int32]:
    """(V-1, 2) children of nested pairs, numbered from the root down, level by level."""
    pairs = [root]
    children: list[list[int]] = []
    for pair in pairs:  # grows while it is gone through
        row = []
        for child in pair:
            if isinstance(child, int):
                row.append(-1 - child)
            else:
                pairs.append(child)
                row.append(len(pairs) - 1)
        children.append(row)
    return np.array(children, np.int32)
