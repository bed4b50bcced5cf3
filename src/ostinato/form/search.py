"""Candidates for one line of given form: particles that are drawn together, or beams.

Sampling under masks alone would write badly: a line drifts into a corner and is then forced out of it. Here a line is
drawn by sequential importance resampling (a particle filter): every particle draws from what its automaton allows and
is weighted by the share of the model's belief that was allowed. A particle in a corner loses its weight, and its place
goes to one that is not. Drawn in proportion to their weights, finished lines are samples of the model's own
distribution over the lines of that form, but for the finite number of particles.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ostinato.form.automaton import Line, Track
from ostinato.generation.random import uniforms
from ostinato.generation.sampling import Sampler
from ostinato.protocols import State, StepModel

TOKENS_A_UNIT = 16
"""Hard bound on the tokens of a line: so many for each unit of its length, and `TOKENS_A_LINE` more."""
TOKENS_A_LINE = 64
DIVERSITY = 0.5
"""What the n-th likeliest continuation of one beam is held back by, n times, in nats."""


class Draws:
    """The numbers of one text, in the order they are asked for."""

    def __init__(self, seed: int, row: int) -> None:
        self._seed, self._row, self._position = seed, row, 0

    def take(self, n: int) -> npt.NDArray[np.float64]:
        """The next n numbers in [0, 1)."""
        start, self._position = self._position, self._position + n
        return uniforms(self._seed, self._row, np.arange(start, start + n))

    def choose(self, n: int) -> int:
        """A number from 0 to n - 1."""
        return int(self.take(1)[0] * n)


@dataclass(frozen=True)
class Cursor:
    """A place in a text: the state of one row, and ids that are not read yet, at least one."""

    state: State
    unread: tuple[int, ...]

    def read(self, model: StepModel) -> tuple[npt.NDArray[np.floating], State]:
        """Logits of what follows, (1, V), and the state after all ids."""
        state = self.state
        for token_id in self.unread:
            logits, state = model.step(np.array([token_id], np.uint32), state)
        return logits, state


@dataclass(frozen=True)
class Candidate:
    """A finished line: its ids in the order drawn, newline included; log of its weight; where the text goes on.

    log_probability: of its ids under the model at temperature 1, in nats.
    """

    ids: tuple[int, ...]
    log_weight: float
    log_probability: float
    cursor: Cursor


@dataclass
class _Particle:
    line: Line
    track: Track
    log_weight: float = 0.0
    log_probability: float = 0.0
    ids: list[int] = field(default_factory=list)

    @property
    def done(self) -> bool:
        return self.line.done(self.track)

    def copy(self) -> "_Particle":
        return _Particle(self.line, self.track, self.log_weight, self.log_probability, list(self.ids))


def sample_lines(
    model: StepModel, cursor: Cursor, lines: Sequence[Line], sampler: Sampler, draws: Draws, limit: int
) -> list[Candidate]:
    """Draw a candidate for each automaton of `lines`, at most `limit` tokens long; those in dead ends are missing."""
    logits, state = cursor.read(model)
    state = model.select(state, np.zeros(len(lines), np.intp))
    logits = np.repeat(logits, len(lines), axis=0)
    active = [_Particle(line, line.start()) for line in lines]
    finished: list[Candidate] = []
    for _ in range(limit):
        kept = _draw(active, logits, sampler, draws)
        finished.extend(_candidate(active[r], model, state, r) for r in kept if active[r].done)
        kept = [r for r in kept if not active[r].done]
        if not kept:
            break
        kept, active = _resample(active, kept, draws)
        state = model.select(state, np.array(kept, np.intp))
        logits, state = model.step(np.array([p.ids[-1] for p in active], np.uint32), state)
    return finished


def _draw(active: list[_Particle], logits: npt.NDArray[np.floating], sampler: Sampler, draws: Draws) -> list[int]:
    """Draw the next id of every particle that can go on; returns their rows."""
    z = logits.astype(np.float64)
    allowed = np.stack([p.line.allowed(p.track) for p in active])
    u = draws.take(len(active))
    rows = np.flatnonzero(allowed.any(axis=1))
    if not len(rows):
        return []
    z, masked = z[rows], np.where(allowed[rows], z[rows], -np.inf)
    heat = sampler.temperature or 1.0
    belief = _log_sum(masked / heat) - _log_sum(z / heat)
    recent = [active[r].ids[-sampler.recent :] for r in rows] if sampler.remembers else []
    chosen = sampler(masked, u[rows], recent)
    log_p = z[np.arange(len(rows)), chosen] - _log_sum(z)
    for at, row in enumerate(rows):
        particle = active[row]
        particle.log_weight += float(belief[at])
        particle.log_probability += float(log_p[at])
        particle.track = particle.line.advance(particle.track, int(chosen[at]))
        particle.ids.append(int(chosen[at]))
    return [int(r) for r in rows if np.isfinite(active[r].log_weight)]


def _resample(particles: list[_Particle], rows: list[int], draws: Draws) -> tuple[list[int], list[_Particle]]:
    """The particles of `rows`, drawn again in proportion to their weights once fewer than half of them count.

    Systematic resampling; all have the mean weight then.
    """
    log_weights = np.array([particles[r].log_weight for r in rows])
    w = np.exp(log_weights - log_weights.max())
    mean = float(log_weights.max() + np.log(w.mean()))
    w /= w.sum()
    if 1 / np.square(w).sum() >= len(w) / 2:  # the effective sample size (Kong, Liu and Wong 1994)
        return rows, [particles[r] for r in rows]
    points = (np.arange(len(w)) + draws.take(1)[0]) / len(w)
    chosen = [rows[i] for i in np.minimum(np.searchsorted(np.cumsum(w), points, "right"), len(w) - 1)]
    fresh = [particles[r].copy() for r in chosen]
    for particle in fresh:
        particle.log_weight = mean
    return chosen, fresh


def beam_lines(model: StepModel, cursor: Cursor, lines: Sequence[Line], width: int, limit: int) -> list[Candidate]:
    """The likeliest candidates by beam search over the automata of `lines`, at most `width` at a time.

    Beams that share a parent hold each other back (Li, Monroe and Jurafsky, "A simple, fast diverse decoding
    algorithm", 2016), so that not all of them are one line with another last word. Draws nothing.
    """
    logits, state = cursor.read(model)
    distinct = list(dict.fromkeys(lines))
    state = model.select(state, np.zeros(len(distinct), np.intp))
    logits = np.repeat(logits, len(distinct), axis=0)
    active = [_Particle(line, line.start()) for line in distinct]
    finished: list[Candidate] = []
    for _ in range(limit):
        z = logits.astype(np.float64)
        log_p = z - _log_sum(z)[:, None]
        log_p[~np.stack([p.line.allowed(p.track) for p in active])] = -np.inf
        order = np.argsort(-log_p, axis=1, kind="stable")[:, :width]
        step = np.take_along_axis(log_p, order, axis=1)
        total = np.array([p.log_probability for p in active])[:, None] + step
        held = (total - DIVERSITY * np.arange(order.shape[1])).ravel()
        best = [i for i in np.argsort(-held, kind="stable")[:width] if np.isfinite(held[i])]
        fresh, parents = [], []
        for i in best:
            row, rank = divmod(int(i), order.shape[1])
            particle = active[row].copy()
            particle.track = particle.line.advance(particle.track, int(order[row, rank]))
            particle.ids.append(int(order[row, rank]))
            particle.log_probability = particle.log_weight = float(total[row, rank])
            if particle.done:
                finished.append(_candidate(particle, model, state, row))
            else:
                fresh.append(particle)
                parents.append(row)
        if not fresh or len(finished) >= width:
            break
        active = fresh
        logits, state = model.step(
            np.array([p.ids[-1] for p in active], np.uint32), model.select(state, np.array(parents, np.intp))
        )
    return finished


def _candidate(particle: _Particle, model: StepModel, state: State, row: int) -> Candidate:
    cursor = Cursor(model.select(state, np.array([row], np.intp)), (particle.ids[-1],))
    return Candidate(tuple(particle.ids), particle.log_weight, particle.log_probability, cursor)


def _log_sum(z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    top = z.max(axis=1)
    total: npt.NDArray[np.float64] = top + np.log(np.exp(z - top[:, None]).sum(axis=1))
    return total
