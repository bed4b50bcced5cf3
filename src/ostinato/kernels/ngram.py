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

from ostinato.errors import UsageError
from ostinato.kernels import gateway
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
    Raises UsageError for arrays that do not fit each other. That `children` point inside `words` is checked where a
    model is made or read (`ngram.fit`), not in every call.
    """
    arrays, base, tokens = _taken(words, children, shares, weights, unigram, ids)
    library = find_library()[0] if choose_isa().isa != NUMPY else None
    ours = all(starts.dtype == np.uint32 for starts in arrays[1])
    if library is None or not ours or not hasattr(library, "ostinato_ngram_probabilities"):
        return ngram_probabilities_numpy(words, children, shares, weights, unigram, ids, restart=restart)
    result = np.empty(len(tokens))
    word_pointers, child_pointers, share_pointers, weight_pointers = map(_pointers, arrays)
    library.ostinato_ngram_probabilities(
        ctypes.c_int32(len(words)),
        word_pointers,
        ctypes.c_int32(arrays[0][0].itemsize),
        child_pointers,
        share_pointers,
        weight_pointers,
        ctypes.c_void_p(gateway.address(base)),
        ctypes.c_double(1 / len(base)),
        ctypes.c_int32(restart),
        ctypes.c_void_p(gateway.address(tokens)),
        ctypes.c_int64(len(tokens)),
        ctypes.c_void_p(gateway.address(result)),
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
    (words, children, shares, weights), unigram, ids = _taken(words, children, shares, weights, unigram, ids)
    tokens = ids.astype(np.int64)
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


class NgramSteps:
    """`NgramModel.step` of one model in C++: its arrays are checked once. None of them may change."""

    def __init__(
        self,
        words: Sequence[Integers],
        children: Sequence[Integers],
        shares: Sequence[Weights],
        weights: Sequence[Weights],
        unigram: Weights,
        *,
        restart: bool,
    ) -> None:
        """The arrays of `ngram_probabilities`. Raises UsageError where they do not fit each other."""
        self._arrays, self._unigram, _ = _taken(words, children, shares, weights, unigram, np.empty(0, np.uint32))
        library = find_library()[0] if choose_isa().isa != NUMPY else None
        ours = all(starts.dtype == np.uint32 for starts in self._arrays[1])
        self._library = library if ours and hasattr(library, "ostinato_ngram_step") else None
        self._pointers = [_pointers(level) for level in self._arrays]
        self._restart = restart

    @property
    def compiled(self) -> bool:
        """Whether there is a kernel for this model; `take` may be called only then."""
        return self._library is not None

    def take(self, ids: Integers, nodes: Nodes) -> tuple[Weights, Nodes]:
        """One more token a row: ids (B,) below V, nodes (B, N-1) int64 of this model, C order, all of them checked.

        Returns probabilities (B, V) float64 and the new nodes.
        """
        assert self._library is not None
        tokens = np.ascontiguousarray(ids, np.uint32)
        after, out = np.empty_like(nodes), np.empty((len(tokens), len(self._unigram)))
        words, children, shares, weights = self._pointers
        self._library.ostinato_ngram_step(
            ctypes.c_int32(len(self._arrays[0])), words, ctypes.c_int32(self._arrays[0][0].itemsize), children, shares,
            weights, *_places(self._unigram), ctypes.c_int64(len(self._unigram)), ctypes.c_int32(self._restart),
            ctypes.c_int64(len(tokens)), *_places(tokens, nodes, after, out),
        )  # fmt: skip
        return out, after


def _places(*arrays: npt.NDArray[Any]) -> list[ctypes.c_void_p]:
    return [ctypes.c_void_p(gateway.address(array)) for array in arrays]


def _taken(
    words: Sequence[Integers],
    children: Sequence[Integers],
    shares: Sequence[Weights],
    weights: Sequence[Weights],
    unigram: Weights,
    ids: Ids,
) -> tuple[list[list[npt.NDArray[Any]]], Weights, npt.NDArray[np.uint32]]:
    """The levels' arrays, the unigrams and the ids as the kernel reads them."""
    order = len(words)
    given = {"words": order, "children": len(children) + 1, "shares": len(shares), "weights": len(weights)}
    if order < 1 or set(given.values()) != {order}:
        raise UsageError(f"an n-gram model has as many words, children (and one), shares and weights, got {given}")
    base, tokens = gateway.NGRAM.take({}, unigram, ids)
    word_type = _type(words[0], "uint16", "uint32")
    sizes = {"V": len(base), "1": 1}
    first, share, weight = gateway.ngram_unigrams(word_type).take(sizes, words[0], shares[0], weights[0])
    arrays: list[list[npt.NDArray[Any]]] = [[first], [], [share], [weight]]
    for n in range(1, order):
        contexts = len(arrays[0][-1])
        signature = gateway.ngram_level(word_type, _type(children[n - 1], "uint64", "uint32"))
        level = (words[n], children[n - 1], shares[n], weights[n])
        for held, array in zip(arrays, signature.take({"C": contexts, "C + 1": contexts + 1}, *level), strict=True):
            held.append(array)
    return arrays, base, tokens


def _type(array: Any, *types: str) -> str:
    """The array's dtype where it is one of `types`, else the last of them: the gateway converts, or refuses."""
    name = getattr(getattr(array, "dtype", None), "name", "")
    return name if name in types else types[-1]


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
    return (ctypes.c_void_p * len(arrays))(*map(gateway.address, arrays))
