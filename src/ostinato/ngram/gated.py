"""Several models as one: log-linear mixing, with weights that depend on what is known before each token."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ostinato.errors import UsageError
from ostinato.protocols import END_OF_DOCUMENT, Floats, Ids, State, StepModel, join, read_on

Matrix = npt.NDArray[np.float64]

_LEAST = -30.0
"""A log-probability below this counts as this: what one part rules out, another may still want."""
_RIDGE = 3.0
"""How firmly the gate is held to equal weights, in tokens."""
_ROUNDS, _ENOUGH = 20, 1e-6
_FITTED = 48_000_000
"""Numbers that the parts say, (tokens, parts, vocabulary), on which a gate is fitted at most."""
_BLOCK = 128
_PLACES = 32
"""Tokens of a line after which the position in it is not told any more."""
_SMALL = 50_000_000
"""Numbers of what was heard that are kept as float32; of more, float16 keep three digits."""
_ROWS = 16
"""Texts that are scored side by side."""


@dataclass(frozen=True)
class GatedMixture:
    """p(w) = product of p_k(w)^{a_k} / Z, summed over the vocabulary for Z (Klakow, "Log-linear interpolation of
    language models", 1998), with a_k = sum over i of gate[k, i] f_i, linear in features f of what came before:

        1; for each part the entropy of what it says (over ln V) and its largest probability; whether the last token
        ended a line; how far into the line the text is.

    So the likelihood has one maximum, which `fit_gate` finds. parts: K models of one vocabulary. gate: (K, 3 + 2 K)
    float64. newline: the id of the token that ends lines, or -1. A state is the parts' states, and (batch,) int64 of
    tokens read in the line. Raises UsageError where these do not belong together.
    """

    parts: tuple[StepModel, ...]
    gate: Matrix
    newline: int

    def __post_init__(self) -> None:
        if len({part.vocabulary_size for part in self.parts}) != 1:
            sizes = ", ".join(str(part.vocabulary_size) for part in self.parts)
            raise UsageError(f"the parts of a mixture must have the same vocabulary, got sizes {sizes or 'of no part'}")
        expected = len(self.parts), self.features_of(len(self.parts))
        if self.gate.shape != expected or not np.isfinite(self.gate).all():
            raise UsageError(f"the gate of this mixture must be finite numbers {expected}, got {self.gate.shape}")

    @staticmethod
    def features_of(parts: int) -> int:
        """F, how many features the gate of so many parts has."""
        return 3 + 2 * parts

    @property
    def vocabulary_size(self) -> int:
        """V, the number of token ids."""
        return self.parts[0].vocabulary_size

    def initial_state(self, batch: int) -> State:
        """Rows that have read nothing."""
        return tuple(part.initial_state(batch) for part in self.parts), np.zeros(batch, np.int64)

    def step(self, ids: Ids, state: State) -> tuple[Floats, State]:
        """Read one token a row: ids (batch,). Returns log-probabilities (batch, V) float64 and the new state."""
        said, features, state = self.listen(ids, state)
        return _mix(said, features, self.gate), state

    def listen(self, ids: Ids, state: State) -> tuple[Matrix, Matrix, State]:
        """Read one token a row: what each part says, (batch, K, V) log-probabilities, the features of the gate
        (batch, 3 + 2 K), and the new state."""
        before, place = state
        said = np.empty((len(ids), len(self.parts), self.vocabulary_size))
        after = []
        for k, (part, own) in enumerate(zip(self.parts, before, strict=True)):
            logits, own = part.step(ids, own)
            said[:, k] = logits
            after.append(own)
        said -= said.max(axis=2, keepdims=True)
        p = np.exp(said)
        total = p.sum(axis=2, keepdims=True)
        said -= np.log(total)
        np.maximum(said, _LEAST, out=said)
        entropy = -np.einsum("bkv,bkv->bk", p, said) / total[:, :, 0] / np.log(max(self.vocabulary_size, 2))
        tokens = np.asarray(ids, np.int64)
        ended = (tokens == self.newline) | (tokens == END_OF_DOCUMENT)
        place = np.where(ended, 0, place + 1)
        far = np.minimum(place, _PLACES) / _PLACES
        features = np.column_stack([np.ones(len(tokens)), entropy, 1 / total[:, :, 0], ended, far])
        return said, features, (tuple(after), place)

    def select(self, state: State, rows: npt.NDArray[np.intp]) -> State:
        """The state of the given rows, in that order."""
        parts, place = state
        chosen = tuple(part.select(own, rows) for part, own in zip(self.parts, parts, strict=True))
        return chosen, place[rows]

    def read_on(self, ids: Ids, state: State) -> State:
        """The state of one row after all of `ids`, (T,)."""
        parts, place = state
        tokens = np.asarray(ids, np.int64)
        ends = np.flatnonzero((tokens == self.newline) | (tokens == END_OF_DOCUMENT))
        place = place + len(tokens) if not len(ends) else np.full_like(place, len(tokens) - 1 - ends[-1])
        return tuple(read_on(part, ids, own) for part, own in zip(self.parts, parts, strict=True)), place

    def join(self, states: Sequence[State]) -> State | None:
        """One state with the rows of all `states`; None where a part cannot join its own."""
        of_parts = zip(*(parts for parts, _ in states), strict=True)
        joined = tuple(join(part, own) for part, own in zip(self.parts, of_parts, strict=True))
        return None if any(own is None for own in joined) else (joined, np.concatenate([place for _, place in states]))

    def score(self, ids: Ids) -> npt.NDArray[np.float64]:
        """ln P(ids[t] | what came before) for every t: (T,) float64. Needs whole distributions, so goes
        step by step."""
        return self.score_many([ids])[0]

    def score_many(self, texts: Sequence[Ids]) -> list[npt.NDArray[np.float64]]:
        """`score` of each text, a few of them side by side."""
        scores = [np.empty(len(ids)) for ids in texts]
        for rows, t, said, features in self._listen_along(texts):
            wanted = np.array([texts[row][t] for row in rows])
            mixed = _mix(said, features, self.gate)
            for row, value in zip(rows, mixed[np.arange(len(rows)), wanted], strict=True):
                scores[row][t] = value
        return scores

    def _listen_along(self, texts: Sequence[Ids]) -> Iterator[tuple[list[int], int, Matrix, Matrix]]:
        """What is known before token t of the texts of these numbers, as `listen` gives it, for all t."""
        order = sorted((at for at in range(len(texts)) if len(texts[at])), key=lambda at: -len(texts[at]))
        for first in range(0, len(order), _ROWS):
            rows = order[first : first + _ROWS]
            state, ids = self.initial_state(len(rows)), np.full(len(rows), END_OF_DOCUMENT, np.uint32)
            for t in range(len(texts[rows[0]])):
                left = sum(len(texts[row]) > t for row in rows)
                if left < len(rows):
                    rows, ids = rows[:left], ids[:left]
                    state = self.select(state, np.arange(left))
                said, features, state = self.listen(ids, state)
                yield rows, t, said, features
                ids = np.array([texts[row][t] for row in rows], np.uint32)


def _mix(said: Matrix, features: Matrix, gate: Matrix) -> Matrix:
    """Log-probabilities (B, V) from what the parts say (B, K, V) and the features (B, F)."""
    mixed: Matrix = np.matmul((features @ gate.T)[:, None], said)[:, 0]
    mixed -= mixed.max(axis=1, keepdims=True)
    mixed -= np.log(np.exp(mixed).sum(axis=1, keepdims=True))
    return mixed


@dataclass(frozen=True)
class Heard:
    """What the parts of a mixture said over a text: said (T, K, V) float32 or float16, features (T, F) float64,
    columns (T,), where in `said` the token that came is, and scores (K, T) float64, what each part gave it.

    together: so many tokens share the last column, as their mean; 0: every token has its own.
    """

    said: npt.NDArray[np.float32] | npt.NDArray[np.float16]
    features: Matrix
    columns: npt.NDArray[np.int64]
    scores: Matrix
    together: int = 0

    def __len__(self) -> int:
        """T."""
        return len(self.columns)

    def part(self, rows: slice) -> "Heard":
        """That of some of the text."""
        return Heard(self.said[rows], self.features[rows], self.columns[rows], self.scores[:, rows], self.together)

    def of(self, chosen: Sequence[int]) -> "Heard":
        """That of some of the parts."""
        k, parts = self.said.shape[1], list(chosen)
        own = [0, *(1 + part for part in parts), *(1 + k + part for part in parts), 1 + 2 * k, 2 + 2 * k]
        return Heard(self.said[:, parts], self.features[:, own], self.columns, self.scores[parts], self.together)


def untrained(parts: tuple[StepModel, ...], newline: int) -> GatedMixture:
    """The mixture with equal weights everywhere: the geometric mean of its parts."""
    gate = np.zeros((len(parts), GatedMixture.features_of(len(parts))))
    gate[:, 0] = 1 / len(parts)
    return GatedMixture(parts, gate, newline)


def hear(mixture: GatedMixture, ids: Ids, rows: int = 1, common: npt.NDArray[np.integer] | None = None) -> Heard:
    """Let the parts read a text (T,) that none was trained on, as so many rows side by side.

    common: ids that are told apart, with those of the text; all others together, as if each part found them equally
    likely. None: all are told apart. Takes 2 T K V bytes, or twice as much where that is little.

    Raises UsageError for no tokens.
    """
    if not len(ids):
        raise UsageError("the gate of a mixture is fitted on held-out text, got none")
    known = np.arange(mixture.vocabulary_size) if common is None else np.union1d(common, ids).astype(np.intp)
    others = np.setdiff1d(np.arange(mixture.vocabulary_size), known)
    shape = len(ids), len(mixture.parts), len(known) + (len(others) > 0)
    said = np.empty(shape, np.float32 if math.prod(shape) <= _SMALL else np.float16)
    features = np.empty((len(ids), mixture.gate.shape[1]))
    scores = np.empty((len(mixture.parts), len(ids)))
    edges = _edges(np.asarray(ids), rows)
    texts = [ids[first:end] for first, end in itertools.pairwise(edges)]
    for read, t, here, before in mixture._listen_along(texts):
        places = np.array([edges[row] + t for row in read])
        features[places] = before
        scores[:, places] = here[np.arange(len(read)), :, ids[places]].T
        if not len(others):
            said[places] = here
            continue
        said[places, :, :-1] = here[:, :, known]
        said[places, :, -1] = np.log(np.exp(here[:, :, others]).mean(axis=2))
    return Heard(said, features, np.searchsorted(known, ids).astype(np.int64), scores, len(others))


def _edges(ids: Ids, rows: int) -> list[int]:
    """Where each of so many rows of a text begins, and its end: with a document, if one begins near."""
    ends = np.flatnonzero(ids == END_OF_DOCUMENT) + 1
    edges = [0]
    for wanted in np.linspace(0, len(ids), rows + 1).astype(int)[1:-1].tolist():
        near = ends[np.abs(ends - wanted) < len(ids) // (2 * rows)]
        edges.append(int(near[np.argmin(np.abs(near - wanted))]) if len(near) else wanted)
    return [*sorted(set(edges)), len(ids)]


def fit_gate(heard: Heard, start: Matrix) -> Matrix:
    """The gate (K, F) under which a mixture finds the text likeliest, by Newton's method from `start`.

    The log-likelihood is concave in the gate: its second derivative is minus the covariance of what the parts say. Of a
    long text, every n-th token is enough for the few numbers of a gate.
    """
    heard = heard.part(slice(None, None, math.ceil(heard.said.size / _FITTED)))
    gate, held = start.copy(), start
    value = _likelihood(heard, gate, held)
    for _ in range(_ROUNDS):
        slope, curve = _derivatives(heard, gate)
        slope -= _RIDGE * (gate - held)
        move = np.linalg.solve(curve + _RIDGE * np.eye(gate.size), slope.ravel()).reshape(gate.shape)
        size, new = 1.0, _likelihood(heard, gate + move, held)
        while not new >= value and size > 1e-3:
            size /= 2
            new = _likelihood(heard, gate + size * move, held)
        if not new > value + _ENOUGH * len(heard):
            break
        gate, value = gate + size * move, new
    return gate


def mixed_scores(heard: Heard, gate: Matrix) -> npt.NDArray[np.float64]:
    """ln P of each token of what was heard, (T,), under a gate."""
    return np.concatenate([_mixed(block, gate)[0] for block in _blocks(heard)])


def cross_fit_gate(heard: Heard, start: Matrix, middle: int) -> npt.NDArray[np.float64]:
    """ln P of each token, (T,), with a gate that was fitted on the other half of the text than the token is in.

    The halves are [:middle] and [middle:]; where one is empty, the other has the gate `start`.
    """
    halves = heard.part(slice(0, middle)), heard.part(slice(middle, None))
    first, second = (fit_gate(half, start) if len(half) else start for half in halves)
    return np.concatenate([
        mixed_scores(half, gate)
        for half, gate in ((halves[0], second), (halves[1], first))
        if len(half)
    ])  # fmt: skip


class _Block(NamedTuple):
    """Some of what was heard, to be computed with."""

    said: npt.NDArray[np.float32]
    features: Matrix
    columns: npt.NDArray[np.int64]
    together: int


def _blocks(heard: Heard) -> Iterator[_Block]:
    for first in range(0, len(heard), _BLOCK):
        block = heard.part(slice(first, first + _BLOCK))
        yield _Block(block.said.astype(np.float32), block.features, block.columns, heard.together)


def _mixed(block: "_Block", gate: Matrix) -> tuple[Matrix, npt.NDArray[np.float32]]:
    """ln P of each token (B,), and the whole distributions (B, V)."""
    z = np.matmul((block.features @ gate.T).astype(np.float32)[:, None], block.said)[:, 0]
    if block.together:
        z[:, -1] += np.float32(math.log(block.together))
    z -= z.max(axis=1, keepdims=True)
    p = np.exp(z)
    total = p.sum(axis=1, keepdims=True)
    rows = np.arange(len(block.columns))
    scores: Matrix = z[rows, block.columns].astype(np.float64) - np.log(total[:, 0].astype(np.float64))
    p /= total
    return scores, p


def _likelihood(heard: Heard, gate: Matrix, held: Matrix) -> float:
    return float(mixed_scores(heard, gate).sum() - _RIDGE / 2 * np.square(gate - held).sum())


def _derivatives(heard: Heard, gate: Matrix) -> tuple[Matrix, Matrix]:
    """The gradient (K, F), and minus the Hessian (K F, K F), of the log-likelihood."""
    parts, features = gate.shape
    slope, curve = np.zeros((parts, features)), np.zeros((parts, features, parts, features))
    for block in _blocks(heard):
        _, p = _mixed(block, gate)
        weighted = block.said * p[:, None]
        mean = weighted.sum(axis=2, dtype=np.float64)
        square = np.matmul(weighted, block.said.transpose(0, 2, 1)).astype(np.float64)
        covariance = square - mean[:, :, None] * mean[:, None]
        given = np.take_along_axis(block.said, block.columns[:, None, None], axis=2)[:, :, 0]
        slope += (given - mean).T @ block.features
        curve += np.einsum("bkj,bf,bg->kfjg", covariance, block.features, block.features, optimize=True)
    return slope, curve.reshape(parts * features, parts * features)
