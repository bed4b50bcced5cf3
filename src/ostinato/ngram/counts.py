"""How often each sequence of 1 to N tokens occurs: sorted integer arrays, one level an order.

Level n holds the distinct n-grams, sorted by their first n-1 tokens and then by the last one. An n-gram is known by its
place in its level, its *node*; the node of a single token is its id. Because the n-grams that continue one context lie
side by side, two arrays a level say everything: the last token of each n-gram, and where each context's run begins.

A document is read as `0 w1 ... wm 0`: the first 0 is only ever a context (KenLM's `<s>`), the last is only ever
predicted (`</s>`), and no n-gram reaches over a 0.
"""

from dataclasses import dataclass

import numpy as np

from ostinato.errors import UsageError
from ostinato.kernels.ngram import Integers
from ostinato.protocols import END_OF_DOCUMENT, Ids

MAX_ORDER = 10


@dataclass(frozen=True)
class NgramCounts:
    """Counts of the n-grams of orders 1 .. N. Index n of each tuple is order n+1; level 1 is indexed by token id.

    words: N arrays, the last token of each n-gram (level 1: 0 .. V-1), uint16 or uint32.
    children: N-1 arrays (size of level n, plus 1): the n-grams that continue node i are
        children[n][i] .. children[n][i+1] of the next level.
    occurrences: N arrays int64, how often each n-gram occurs.
    continuations: N arrays int64: how many distinct tokens precede it; the occurrences for the highest order and for
        n-grams that begin a document, which nothing can precede (Chen & Goodman 1998, section 4.1.6; KenLM's way).
    dropped: N-1 arrays int64 (size of level n): the `continuations` of pruned n-grams that continued each context, or
        () where nothing was pruned.
    """

    words: tuple[Integers, ...]
    children: tuple[Integers, ...]
    occurrences: tuple[Integers, ...]
    continuations: tuple[Integers, ...]
    dropped: tuple[Integers, ...] = ()

    @property
    def order(self) -> int:
        """N, the number of tokens of the longest n-grams."""
        return len(self.words)

    @property
    def vocabulary_size(self) -> int:
        """V, the number of token ids."""
        return len(self.words[0])


def count_ngrams(ids: Ids, vocabulary_size: int, order: int) -> NgramCounts:
    """Count the n-grams of orders 1 .. `order` of `ids`: (T,) token ids, each document ended by 0.

    Vectorised: the node of each n-gram comes from the node of its first n-1 tokens and its last token by one sort of T
    integers an order. Takes about 60 bytes of memory a token beside the result.

    Raises UsageError for an order outside 1 .. 10, for no tokens, and for an id outside the vocabulary.
    """
    check_countable(ids, order)
    check_ids(ids, vocabulary_size)
    text = np.concatenate([np.array([END_OF_DOCUMENT], dtype=np.int64), ids.astype(np.int64)])
    depth = _tokens_before(text)
    word_type = np.uint16 if vocabulary_size <= 1 << 16 else np.uint32
    words: list[Integers] = [np.arange(vocabulary_size, dtype=word_type)]
    children: list[Integers] = []
    occurrences: list[Integers] = [np.bincount(text[1:], minlength=vocabulary_size)]
    continuations: list[Integers] = []
    nodes = text
    for n in range(2, order + 1):
        ends = np.flatnonzero(depth >= n - 1)
        keys = nodes[ends - 1] * vocabulary_size + text[ends]
        by_key = np.argsort(keys)
        keys = keys[by_key]
        is_first = np.concatenate([[True], keys[1:] != keys[:-1]]) if len(keys) else np.zeros(0, dtype=bool)
        first = np.flatnonzero(is_first)
        contexts, last = np.divmod(keys[first], vocabulary_size)
        words.append(last.astype(word_type))
        children.append(_starts(contexts, len(words[-2])))
        occurrences.append(np.diff(first, append=len(keys)))
        preceding = np.bincount(nodes[ends[by_key[first]]], minlength=len(words[-2]))
        continuations.append(preceding if n == 2 else np.where(preceding > 0, preceding, occurrences[-2]))
        nodes = np.full(len(text), -1, dtype=np.int64)
        nodes[ends[by_key]] = np.cumsum(is_first) - 1
    continuations.append(occurrences[-1])
    return NgramCounts(tuple(words), tuple(children), tuple(occurrences), tuple(continuations))


def check_countable(ids: Ids, order: int) -> None:
    """Raises UsageError for an order outside 1 .. 10 and for no tokens."""
    if not 1 <= order <= MAX_ORDER:
        raise UsageError(f"the order of an n-gram model must be between 1 and {MAX_ORDER}, got {order}")
    if len(ids) == 0:
        raise UsageError("an n-gram model needs text to count, got 0 tokens")


def check_ids(ids: Ids, vocabulary_size: int) -> None:
    """Raises UsageError for an id outside the vocabulary. ids: at least one."""
    if int(ids.max()) >= vocabulary_size:
        raise UsageError(f"token ids must be below the vocabulary size {vocabulary_size}, got {int(ids.max())}")


def prune(counts: NgramCounts, thresholds: tuple[int, ...]) -> NgramCounts:
    """Drop the n-grams of order n that occur `thresholds[n-1]` times or fewer; the last holds for higher orders too.

    What the dropped n-grams counted for is kept in `dropped`, so that their probability goes to the shorter context.
    Raises UsageError unless thresholds start with 0 and never fall: an n-gram cannot be kept without its context.
    """
    allowed = bool(thresholds) and thresholds[0] == 0 and list(thresholds) == sorted(thresholds)
    if not allowed or len(thresholds) > counts.order:
        given = " ".join(map(str, thresholds))
        raise UsageError(
            f"prune needs at most {counts.order} counts, one per order, starting at 0, never decreasing, got: {given}"
        )
    words, children = [counts.words[0]], []
    occurrences, continuations = [counts.occurrences[0]], [counts.continuations[0]]
    dropped = []
    kept_contexts = np.arange(counts.vocabulary_size)
    for n in range(1, counts.order):
        keep = counts.occurrences[n] > thresholds[min(n, len(thresholds) - 1)]
        contexts = np.repeat(np.arange(len(counts.words[n - 1])), np.diff(counts.children[n - 1]))
        lost = np.bincount(contexts[~keep], counts.continuations[n][~keep], minlength=len(counts.words[n - 1]))
        dropped.append(lost[kept_contexts].astype(np.int64))
        new_place = np.zeros(len(counts.words[n - 1]), dtype=np.int64)
        new_place[kept_contexts] = np.arange(len(kept_contexts))
        children.append(_starts(new_place[contexts[keep]], len(kept_contexts)))
        words.append(counts.words[n][keep])
        occurrences.append(counts.occurrences[n][keep])
        continuations.append(counts.continuations[n][keep])
        kept_contexts = np.flatnonzero(keep)
    return NgramCounts(tuple(words), tuple(children), tuple(occurrences), tuple(continuations), tuple(dropped))


def _tokens_before(text: Integers) -> Integers:
    """How many tokens lie between each position and the last 0 before it, that 0 included; 0 for the first one."""
    places = np.arange(len(text))
    last_end = np.maximum.accumulate(np.where(text == END_OF_DOCUMENT, places, 0))
    depth = np.zeros(len(text), dtype=np.int64)
    depth[1:] = places[1:] - last_end[:-1]
    return depth


def _starts(contexts: Integers, size: int) -> Integers:
    """Where each context's run begins in the sorted array `contexts`, and the end of the last: (size + 1,)."""
    sizes = np.bincount(contexts, minlength=size)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    return offsets.astype(np.uint32 if len(contexts) < 1 << 32 else np.uint64)
