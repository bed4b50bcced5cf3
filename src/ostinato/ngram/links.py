"""Walking an n-gram model's trie from an n-gram to its words and to the shorter n-grams inside it.

`n` is a level's index: its n-grams have n + 1 tokens, and the contexts they continue, n tokens, are nodes
of level n - 1.
"""

from dataclasses import dataclass
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

    links: of each level below n, for its n-grams the node of their last n tokens in the level before, UNSEEN where that
    is not held; zeros for level 0, whose n-grams have the empty one.
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


@dataclass(frozen=True)
class Level:
    """A level's n-grams as those of the next one are looked up in it: keys and probabilities, (size,) each.

    keys: context · V + word, ascending. probabilities: of the word given its context.
    """

    keys: Nodes
    probabilities: npt.NDArray[np.float64]

    def find(self, keys: Nodes) -> Nodes:
        """The nodes with these keys, UNSEEN where there is none: (B,) int64. Fastest for keys in ascending order."""
        if not len(self.keys):
            return np.full(len(keys), UNSEEN, np.int64)
        nodes = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[nodes] == keys, nodes, UNSEEN)


def shorter(
    model: NgramModel, links: list[Nodes], below: Level, n: int, contexts: Nodes, words: Nodes
) -> tuple[Nodes, npt.NDArray[np.float64]]:
    """Of n-grams (context, word) of level n >= 1: the node of the last n tokens in level n - 1, UNSEEN where that is
    not held, and the probability of the word given the shorter context, (B,) each.

    contexts: their nodes in level n - 1. links: as `probability` has it. below: level n - 1, which
    spares a walk through the shorter n-grams.
    """
    contexts = links[n - 1][contexts]
    suffix = below.find(contexts * model.vocabulary_size + words)
    result: npt.NDArray[np.float64] = below.probabilities[suffix]
    unseen = np.flatnonzero(suffix < 0)
    if len(unseen):
        result[unseen] = probability(model, links, n - 1, contexts[unseen], words[unseen])
    return suffix, result
