from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import UsageError
from ostinato.ngram.counts import NgramCounts, count_ngrams, prune

texts = st.lists(st.integers(0, 4), min_size=1, max_size=60)


def documents_of(ids):
    """`ids` cut after each 0, each document with the 0 it starts from."""
    documents, current = [], [0]
    for token in ids:
        current.append(token)
        if token == 0:
            documents.append(current)
            current = [0]
    return [*documents, current]


def occurrences_of(ids, order):
    """Counted the plain way; a single token is never the 0 that a document starts from."""
    counts = Counter()
    for document in documents_of(ids):
        for start in range(1 if order == 1 else 0, len(document) - order + 1):
            counts[tuple(document[start : start + order])] += 1
    return counts


def as_dict(counts: NgramCounts, n, values):
    """{n-gram: value} of level n (index), read off the trie."""
    grams = [(int(word),) for word in counts.words[0]]
    for level in range(1, n + 1):
        starts = counts.children[level - 1]
        grams = [
            (*gram, int(counts.words[level][child]))
            for node, gram in enumerate(grams)
            for child in range(starts[node], starts[node + 1])
        ]
    assert len(grams) == len(values)
    return {gram: int(value) for gram, value in zip(grams, values, strict=True)}


@given(texts, st.integers(1, 5))
def test_occurrences_are_those_of_a_plain_count(ids, order):
    counts = count_ngrams(np.array(ids, dtype=np.uint16), 6, order)
    for n in range(order):
        found = as_dict(counts, n, counts.occurrences[n])
        assert {gram: c for gram, c in found.items() if c} == occurrences_of(ids, n + 1)
        assert list(found) == sorted(found)


@given(texts, st.integers(2, 5))
def test_continuations_count_distinct_preceding_tokens(ids, order):
    counts = count_ngrams(np.array(ids, dtype=np.uint16), 6, order)
    for n in range(order):
        expected = occurrences_of(ids, n + 1)
        if n < order - 1:
            preceded = Counter(gram[1:] for gram in occurrences_of(ids, n + 2))
            expected = {g: c if n and g[0] == 0 else preceded[g] for g, c in expected.items()}
        found = as_dict(counts, n, counts.continuations[n])
        assert {gram: c for gram, c in found.items() if c} == expected


@given(texts, st.integers(2, 4), st.lists(st.integers(0, 3), min_size=0, max_size=3).map(sorted))
def test_pruning_keeps_what_is_above_the_threshold_and_remembers_the_rest(ids, order, higher):
    counts = count_ngrams(np.array(ids, dtype=np.uint16), 6, order)
    thresholds = (0, *higher[: order - 1])
    pruned = prune(counts, thresholds)
    for n in range(order):
        limit = thresholds[min(n, len(thresholds) - 1)]
        before = as_dict(counts, n, counts.continuations[n])
        often = as_dict(counts, n, counts.occurrences[n])
        after = as_dict(pruned, n, pruned.continuations[n])
        assert after == {gram: c for gram, c in before.items() if n == 0 or often[gram] > limit}
        if n:
            lost = as_dict(pruned, n - 1, pruned.dropped[n - 1])
            expected = Counter()
            for gram in before.keys() - after.keys():
                expected[gram[:-1]] += before[gram]
            assert {gram: c for gram, c in lost.items() if c} == {g: c for g, c in expected.items() if g in lost}


def test_large_vocabularies_have_wider_words():
    counts = count_ngrams(np.array([70_000, 0], dtype=np.uint32), 70_001, 2)
    assert counts.words[1].tolist() == [70_000, 0]
    assert counts.words[1].dtype == np.uint32


def test_a_text_shorter_than_the_order_has_empty_levels():
    counts = count_ngrams(np.array([1], dtype=np.uint16), 2, 4)
    assert [len(level) for level in counts.words] == [2, 1, 0, 0]


@pytest.mark.parametrize(
    ("ids", "order", "message"),
    [
        ([1], 0, "between 1 and 10, got 0"),
        ([1], 11, "between 1 and 10, got 11"),
        ([], 2, "got 0 tokens"),
        ([7], 2, "below the vocabulary size 6, got 7"),
    ],
)
def test_refuses(ids, order, message):
    with pytest.raises(UsageError, match=message):
        count_ngrams(np.array(ids, dtype=np.uint16), 6, order)


@pytest.mark.parametrize("thresholds", [(), (1,), (0, 2, 1), (0, 0, 0, 0)])
def test_refuses_thresholds(thresholds):
    counts = count_ngrams(np.array([1, 2, 0], dtype=np.uint16), 3, 3)
    with pytest.raises(UsageError, match="starting at 0, never decreasing"):
        prune(counts, thresholds)
