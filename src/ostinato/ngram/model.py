"""The n-gram model as a StepModel: nodes of a sorted trie in, a full distribution out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.errors import UsageError
from ostinato.kernels import gateway
from ostinato.kernels.ngram import BEYOND, UNSEEN, Integers, NgramSteps, Nodes, find, ngram_probabilities
from ostinato.ngram.smoothing import Interpolation
from ostinato.protocols import END_OF_DOCUMENT, Floats, Ids


@dataclass(frozen=True)
class NgramModel:
    """p(w | h) = share(h w) + weight(h) p(w | h'), for contexts h of up to N-1 tokens that start afresh at each 0.

    words, children: the trie, as NgramCounts has it. levels: N interpolations, order 1 first.
    restart: the shorter context of every order is the uniform distribution, and a context that the model does not hold
        has it alone (add-k smoothing).
    settings, arrays: how it was made and the integers it was made from, as a bundle saves them (`ngram/fit.py`).

    A state is (batch, N-1) int64: the nodes of the last 1 .. N-1 tokens read, UNSEEN where the model does not hold
    them, BEYOND where the document is shorter than that.
    """

    words: tuple[Integers, ...]
    children: tuple[Integers, ...]
    levels: tuple[Interpolation, ...]
    restart: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict, repr=False)

    @property
    def order(self) -> int:
        """N: a token is predicted from the N-1 before it."""
        return len(self.words)

    @property
    def vocabulary_size(self) -> int:
        """V, the number of token ids."""
        return len(self.words[0])

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many n-grams of each order it holds, order 1 first."""
        return tuple(len(level.share) for level in self.levels)

    @property
    def parameter_count(self) -> int:
        """Shares and weights held."""
        return sum(len(level.share) + len(level.weight) for level in self.levels)

    def unigram(self) -> npt.NDArray[np.float64]:
        """The distribution without any context: (V,), sums to 1."""
        level = self.levels[0]
        result: npt.NDArray[np.float64] = level.share + level.weight[0] / self.vocabulary_size
        return result

    @cached_property
    def _steps(self) -> NgramSteps:
        shares, weights = [level.share for level in self.levels], [level.weight for level in self.levels]
        return NgramSteps(self.words, self.children, shares, weights, self.unigram(), restart=self.restart)

    def initial_state(self, batch: int) -> Nodes:
        """Rows that have read nothing: the next token comes from the unigrams."""
        return np.full((batch, self.order - 1), BEYOND, dtype=np.int64)

    def step(self, ids: Ids, state: Nodes) -> tuple[Floats, Nodes]:
        """Read one token a row: ids (batch,), state (batch, N-1). Returns log-probabilities (batch, V) and the state.

        A token of probability 0 (maximum likelihood only) has -inf. Raises UsageError for ids or states of another
        vocabulary, batch or model.
        """
        read, state = gateway.NGRAM_STEP.take({"V": self.vocabulary_size, "N": self.order - 1}, ids, state)
        for n, nodes in enumerate(state.T):
            if nodes.min() < BEYOND or nodes.max() >= len(self.words[n]):
                raise UsageError(f"state must hold nodes of this model, got {nodes.min()} .. {nodes.max()}")
        if self._steps.compiled:
            probabilities, new_state = self._steps.take(read, np.ascontiguousarray(state))
            with np.errstate(divide="ignore"):
                return np.log(probabilities, out=probabilities), new_state
        return self._step(read, state)

    def _step(self, read: Nodes, state: Nodes) -> tuple[Floats, Nodes]:
        """The twin of the compiled kernel: the same bits."""
        new_state = self._advance(read, state)
        probabilities = np.empty((len(new_state), self.vocabulary_size))
        unigram = self.unigram()
        for row, nodes in zip(probabilities, new_state, strict=True):
            row[:] = unigram
            for n, node in enumerate(nodes.tolist(), 1):
                if node == BEYOND:
                    break
                if self.restart:
                    row[:] = 1 / self.vocabulary_size
                if node == UNSEEN:
                    continue
                row *= self.levels[n].weight[node]
                run = slice(int(self.children[n - 1][node]), int(self.children[n - 1][node + 1]))
                row[self.words[n][run]] += self.levels[n].share[run]
        with np.errstate(divide="ignore"):
            return np.log(probabilities, out=probabilities), new_state

    def select(self, state: Nodes, rows: npt.NDArray[np.intp]) -> Nodes:
        """The state of the given rows, in that order."""
        return state[rows]

    def score(self, ids: Ids) -> npt.NDArray[np.float64]:
        """ln P(ids[t] | the N-1 tokens before it in its document) for every t: (T,) float64; -inf where it is 0.

        Raises UsageError for an id outside the vocabulary.
        """
        shares, weights = [level.share for level in self.levels], [level.weight for level in self.levels]
        probabilities = ngram_probabilities(
            self.words, self.children, shares, weights, self.unigram(), ids, restart=self.restart
        )
        with np.errstate(divide="ignore"):
            return np.log(probabilities, out=probabilities)

    def score_many(self, texts: Sequence[Ids]) -> list[npt.NDArray[np.float64]]:
        """`score` of each text, in one call: contexts start afresh at the end of a document, which is put between."""
        end = np.zeros(1, np.uint32)
        parts = [part for ids in texts for part in (np.asarray(ids), end)]
        scores = self.score(np.concatenate(parts)) if parts else np.empty(0)
        starts = np.cumsum([0, *(len(ids) + 1 for ids in texts)])
        return [scores[start : start + len(ids)] for start, ids in zip(starts[:-1], texts, strict=True)]

    def read_on(self, ids: Ids, state: Nodes) -> Nodes:
        """The state of one row after all of `ids`, (T,), without the distributions in between."""
        for token_id in np.asarray(ids, dtype=np.int64)[:, None]:
            state = self._advance(token_id, state)
        return state

    def join(self, states: Sequence[Nodes]) -> Nodes:
        """One state with the rows of all `states`."""
        return np.concatenate(states)

    def _advance(self, ids: Nodes, state: Nodes) -> Nodes:
        """The nodes of the last 1 .. N-1 tokens after one more token a row."""
        new_state = np.full_like(state, BEYOND)
        new_state[:, :1] = ids[:, None]
        for n in range(1, self.order - 1):
            contexts = state[:, n - 1]
            known = contexts >= 0
            new_state[~known, n] = contexts[~known]
            new_state[known, n] = find(self.children[n - 1], self.words[n], contexts[known], ids[known])
        new_state[ids == END_OF_DOCUMENT, 1:] = BEYOND
        return new_state
