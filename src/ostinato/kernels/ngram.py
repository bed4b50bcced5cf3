"""Probabilities of a token sequence under an n-gram model: the compiled kernel, and its NumPy twin.

The model is raw arrays, entry n for order n + 1: `words[n]` the last token of each n-gram (uint16 or uint32),
`children[n]` where each node's continuations begin in the next level (uint32 or uint64; one entry fewer),
`shares[n]` and `weights[n]` (float64) of p(w | h) = share(h w) + weight(h) p(w | h').
"""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.kernels.load import NUMPY, choose_isa, find_library
from ostinato.protocols import END_OF_DOCUMENT, Ids

UNSEEN = -1
"""The node of an n-gram that the model does not hold."""

BEYOND = -2
"""The node of a context that would begin before its document does."""

Nodes = npt.NDArray[np.int64]
Weights = npt.NDArray[np.float64]
Integers = npt.NDArray[np.integer[Any]]


def ngram_probabilities(
    words: Sequence[Integers],
    children: Sequence[Integers],
    shares: Sequence[Weights],
    weights: Sequence[Weights],
    unigram: Weights,
    ids: Ids,
    *,
    restart: bool = False,
) -> Weights:
    """P(ids[t] | the tokens before it in its document), ids: (T,), each below V. Returns (T,) float64.

    unigram: (V,). restart: the shorter context is always the uniform distribution. Both ways give the same bits.
    """
    library = find_library()[0] if choose_isa().isa != NUMPY else None
    ours = hasattr(library, "ostinato_ngram_probabilities") and all(c.dtype == np.uint32 for c in children)
    if library is None or not ours:
        return ngram_probabilities_numpy(words, children, shares, weights, unigram, ids, restart=restart)
    tokens = np.ascontiguousarray(ids, dtype=np.uint32)
    result = np.empty(len(tokens))
    arrays = [[np.require(a, requirements=("C", "A")) for a in level] for level in (words, children, shares, weights)]
    word_pointers, child_pointers, share_pointers, weight_pointers = map(_pointers, arrays)
    base = np.ascontiguousarray(unigram)
    library.ostinato_ngram_probabilities(
        ctypes.c_int32(len(words)),
        word_pointers,
        ctypes.c_int32(words[0].itemsize),
        child_pointers,
        share_pointers,
        weight_pointers,
        ctypes.c_void_p(base.ctypes.data),
        ctypes.c_double(1 / len(base)),
        ctypes.c_int32(restart),
        ctypes.c_void_p(tokens.ctypes.data),
        ctypes.c_int64(len(tokens)),
        ctypes.c_void_p(result.ctypes.data),
    )
    return result


def ngram_probabilities_numpy(
    words: Sequence[Integers],
    children: Sequence[Integers],
    shares: Sequence[Weights],
    weights: Sequence[Weights],
    unigram: Weights,
    ids: Ids,
    *,
    restart: bool = False,
) -> Weights:
    """The twin of the compiled kernel: one order after the other, all tokens at once."""
    tokens = np.asarray(ids, dtype=np.int64)
    previous = np.concatenate([[END_OF_DOCUMENT], tokens[:-1]])
    contexts = previous
    result = unigram[tokens]
    for n in range(1, len(words)):
        if restart:
            result[contexts != BEYOND] = 1 / len(unigram)
        known = np.flatnonzero(contexts >= 0)
        nodes = find(children[n - 1], words[n], contexts[known], tokens[known])
        weighted = result[known] * weights[n][contexts[known]]
        found = nodes >= 0
        weighted[found] += shares[n][nodes[found]]
        result[known] = weighted
        reached = np.where(contexts == BEYOND, BEYOND, UNSEEN)
        reached[known] = nodes
        contexts = np.concatenate([[BEYOND], reached[:-1]])
        contexts[previous == END_OF_DOCUMENT] = BEYOND
    return result


def find(starts: Integers, words: Integers, contexts: Nodes, wanted: Nodes) -> Nodes:
    """Nodes of the n-grams (context, wanted word), UNSEEN where there is none: (B,) int64.

    starts: where each context's run of `words` begins. contexts, wanted: (B,). A binary search in all runs at once.
    """
    low, end = starts[contexts].astype(np.int64), starts[contexts + 1].astype(np.int64)
    high = end.copy()
    rows = np.flatnonzero(low < high)
    while len(rows):
        middle = (low[rows] + high[rows]) >> 1
        below = words[middle] < wanted[rows]
        low[rows[below]] = middle[below] + 1
        high[rows[~below]] = middle[~below]
        rows = rows[low[rows] < high[rows]]
    inside = np.flatnonzero(low < end)
    found = inside[words[low[inside]] == wanted[inside]]
    nodes = np.full(len(contexts), UNSEEN, dtype=np.int64)
    nodes[found] = low[found]
    return nodes


def _pointers(arrays: Sequence[npt.NDArray[Any]]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
