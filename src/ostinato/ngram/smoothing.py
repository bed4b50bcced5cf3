"""From counts to probabilities: p(w | h) = share(h w) + weight(h) p(w | h'), h' being h without its first token.

Every smoothing here has that form: `share` is what the n-gram itself brings, `weight` the probability that its context
leaves to the shorter one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ostinato.files import unload
from ostinato.kernels.ngram import Integers
from ostinato.ngram.counts import NgramCounts

Numbers: TypeAlias = npt.NDArray[Any]
Discounts: TypeAlias = tuple[float, float, float]

FALLBACK_DISCOUNTS: Discounts = (0.5, 1.0, 1.5)


@dataclass(frozen=True)
class Interpolation:
    """The probabilities of one order. share: (size of the level,) float64; weight: (number of contexts,) float64."""

    share: npt.NDArray[np.float64]
    weight: npt.NDArray[np.float64]


_AT_ONCE = 1 << 20
"""N-grams whose probabilities are computed at a time."""


Allocate: TypeAlias = Callable[[int], npt.NDArray[np.float64]]
"""Where the probabilities of a level go: a new array of so many."""


def in_memory(size: int) -> npt.NDArray[np.float64]:
    """A new array."""
    return np.empty(size)


def kneser_ney_discounts(counts: Integers) -> Discounts | None:
    """D1, D2, D3+ of one order from its counts of counts (Chen & Goodman 1998, equation 26).

    None where they do not exist: on tiny corpora some count of counts is 0, or a discount is out of range.
    """
    found = np.zeros(6, np.int64)
    for first in range(0, len(counts), _AT_ONCE):
        found += np.bincount(np.minimum(counts[first : first + _AT_ONCE], 5), minlength=6)
        unload(counts)
    t1, t2, t3, t4 = found[1:5].tolist()
    if not (t1 and t2 and t3):
        return None
    y = t1 / (t1 + 2 * t2)
    discounts = (1 - 2 * y * t2 / t1, 2 - 3 * y * t3 / t2, 3 - 4 * y * t4 / t3)
    return discounts if all(0 <= d <= k for k, d in enumerate(discounts, 1)) else None


def kneser_ney(
    counts: NgramCounts, discounts: tuple[Discounts, ...], allocate: Allocate = in_memory
) -> list[Interpolation]:
    """Interpolated modified Kneser-Ney, order 1 first (Chen & Goodman 1998, equations 24 to 27).

    The unigrams mix with the uniform distribution over all V ids: a token never counted keeps a probability.
    """
    levels = []
    for n in range(counts.order):
        starts = counts.children[n - 1] if n else np.array([0, counts.vocabulary_size])
        level = Interpolation(allocate(len(counts.words[n])), allocate(len(starts) - 1))
        for contexts, grams in _pieces(starts):
            count = counts.continuations[n][grams]
            discount = np.array([0.0, *discounts[n]])[np.minimum(count, 3)]
            sizes = np.diff(starts[contexts.start : contexts.stop + 1]).astype(np.intp)
            total, taken = _sums(count, sizes, n), _sums(discount, sizes, n)
            if n and counts.dropped:
                lost = counts.dropped[n - 1][contexts]
                total, taken = total + lost, taken + lost
            weight = np.ones(len(total))
            np.divide(taken, total, out=weight, where=total > 0)
            level.weight[contexts] = weight
            level.share[grams] = (count - discount) / np.repeat(total, sizes)
            for array in (counts.continuations[n], starts, level.weight, level.share):
                unload(array)
        levels.append(level)
    return levels


def _pieces(starts: Numbers) -> Iterator[tuple[slice, slice]]:
    """Contexts and the n-grams that continue them, about _AT_ONCE at a time. starts: (contexts + 1,)."""
    first, contexts = 0, len(starts) - 1
    while first < contexts:
        most = min(int(starts[first]) + _AT_ONCE, int(starts[-1]))
        # a number of the array's own type: for another one NumPy converts all of the array
        reach = int(np.searchsorted(starts, starts.dtype.type(most), side="right")) - 1
        stop = min(max(reach, first + 1), first + _AT_ONCE, contexts)
        yield slice(first, stop), slice(int(starts[first]), int(starts[stop]))
        first = stop


def _sums(values: Numbers, sizes: Numbers, n: int) -> Numbers:
    """The sums of neighbouring values of level n, `sizes` of them each: (len(sizes),)."""
    if n == 0:
        return np.atleast_1d(values.sum())
    totals = np.zeros(len(sizes), dtype=values.dtype)
    if len(values):
        totals[sizes > 0] = np.add.reduceat(values, (np.cumsum(sizes) - sizes)[sizes > 0])
    return totals


def maximum_likelihood(counts: NgramCounts) -> list[Interpolation]:
    """p(w | h) = c(h w) / c(h) where h was seen; a context never seen leaves the word to the shorter one."""
    levels = []
    for n in range(counts.order):
        total = _totals(counts, n, counts.occurrences[n])
        levels.append(Interpolation(counts.occurrences[n] / _spread(counts, n, total), np.where(total > 0, 0.0, 1.0)))
    return levels


def add_k(counts: NgramCounts, k: float) -> list[Interpolation]:
    """p(w | h) = (c(h w) + k) / (c(h) + k V): the shorter context of each order is the uniform distribution."""
    levels = []
    mass = k * counts.vocabulary_size
    for n in range(counts.order):
        total = _totals(counts, n, counts.occurrences[n])
        levels.append(Interpolation(counts.occurrences[n] / _spread(counts, n, total + mass), mass / (total + mass)))
    return levels


def _totals(counts: NgramCounts, n: int, values: Numbers) -> Numbers:
    """The sum of `values` over the n-grams that continue each context of order n + 1: (contexts,)."""
    if n == 0:
        return np.atleast_1d(values.sum())
    starts = counts.children[n - 1]
    totals = np.zeros(len(starts) - 1, dtype=values.dtype)
    continued = starts[1:] > starts[:-1]
    if len(values):
        totals[continued] = np.add.reduceat(values, starts[:-1][continued].astype(np.intp))
    return totals


def _spread(counts: NgramCounts, n: int, values: Numbers) -> Numbers:
    """Each context's value for each of the n-grams that continue it: (size of the level,)."""
    if n == 0:
        return np.full(counts.vocabulary_size, values[0])
    return np.repeat(values, np.diff(counts.children[n - 1]).astype(np.intp))
