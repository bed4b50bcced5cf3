"""Walking an n-gram model's trie from an n-gram to its words and to the shorter n-grams inside it.

`n` is a level's index: its n-grams have n + 1 tokens, and the contexts they continue, n tokens, are nodes
of level n - 1.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.kernels.ngram import UNSEEN, Nodes, find
from ostinato.ngram.model import NgramModel


def parents(model: NgramModel, n: int, nodes: Nodes) -> Nodes:
    """The contexts of the given n-grams of level n >= 1: nodes of level n - 1."""
    starts = model.children[n - 1]
    result: Nodes = np.searchsorted(starts, nodes.astype(starts.dtype), side="right") - 1
    return result


def tokens(model: NgramModel, n: int, nodes: Nodes) -> list[npt.NDArray[Any]]:
    """The n + 1 columns of tokens of the given n-grams of level n."""
    columns: list[npt.NDArray[Any]] = []
    for level in range(n, 0, -1):
        columns.append(model.words[level][nodes])
        nodes = parents(model, level, nodes)
    return [nodes, *reversed(columns)]


def suffixes(model: NgramModel, n: int, below: Nodes) -> Nodes:
    """For every n-gram of level n >= 1, the node of its last n tokens in level n - 1, UNSEEN where that is not held.

    below: the same of level n - 1 (not read for n = 1).
    """
    words = model.words[n].astype(np.int64)
    if n == 1:
        return words
    return find_held(model, n - 1, np.repeat(below, np.diff(model.children[n - 1]).astype(np.intp)), words)


def all_suffixes(model: NgramModel, levels: int) -> list[Nodes]:
    """`suffixes` of the levels 0 .. levels-1; zeros for level 0, whose n-grams have the empty one."""
    result = [np.zeros(model.vocabulary_size, dtype=np.int64)]
    for n in range(1, levels):
        result.append(suffixes(model, n, result[-1]))
    return result


def find_held(model: NgramModel, n: int, contexts: Nodes, words: Nodes) -> Nodes:
    """The nodes in level n >= 1 of (context, word); UNSEEN also where the context is."""
    nodes = np.full(len(contexts), UNSEEN, dtype=np.int64)
    held = contexts >= 0
    nodes[held] = find(model.children[n - 1], model.words[n], contexts[held], words[held])
    return nodes


def probability(
    model: NgramModel, links: list[Nodes], n: int, contexts: Nodes, words: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    """p(word | context) for contexts of n tokens: their nodes in level n - 1, UNSEEN among them. Returns (B,) float64.

    links: `all_suffixes` of the levels below n.
    """
    if n == 0:
        unigram: npt.NDArray[np.float64] = model.unigram()[words]
        return unigram
    held = contexts >= 0
    shorter = np.full(len(contexts), UNSEEN, dtype=np.int64)
    shorter[held] = links[n - 1][contexts[held]]
    result = probability(model, links, n - 1, shorter, words)
    nodes = find_held(model, n, contexts, words.astype(np.int64))
    result[held] *= model.levels[n].weight[contexts[held]]
    result[nodes >= 0] += model.levels[n].share[nodes[nodes >= 0]]
    return result
