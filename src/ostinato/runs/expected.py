"""How long a run will take, said before its first step."""

import statistics
import time

from ostinato.runs.progress import duration
from ostinato.settings import ResolvedTraining
from ostinato.training.trainer import Trainer

_FEWEST_STEPS = 50
"""A run of fewer steps is over before it would help to know."""
_SECONDS, _MOST = 2.0, 10
"""A step is rehearsed for so long, or so often."""
_SHORT, _LONG = 30.0, 600.0
"""Seconds: of a shorter run nothing is said; of a longer one, how to have it sooner."""
_OVERHEAD = 1.05
"""What the optimizer, checkpoints and samples take besides."""


def expected_time(trainer: Trainer, evaluation: float) -> str | None:
    """A line about the time until training ends, from rehearsals of a step; None where that is soon, or several
    processes learn. evaluation: what one evaluation costs, in steps."""
    t = trainer.settings
    left, limit = trainer.steps_left(), None if t.minutes is None else 60 * t.minutes - trainer.position.seconds
    if trainer.team.size > 1 or (limit is None and (left is None or left < _FEWEST_STEPS)):
        return None
    if left is None:
        return _line(limit or 0.0, t, "")
    evaluations = left / trainer.evaluate_steps
    seconds = _OVERHEAD * _seconds_per_step(trainer) * (left + evaluation * evaluations)
    if limit is not None and seconds > limit:
        return _line(limit, t, "")
    return _line(seconds, t, f" ({left:,} steps)")


def _line(seconds: float, t: ResolvedTraining, steps: str) -> str | None:
    if seconds < _SHORT:
        return None
    sooner = f"; less if {t.patience} evaluations in a row bring no improvement" if t.patience else ""
    shorter = "; --minutes M ends it sooner" if seconds > _LONG and t.minutes is None else ""
    return f"expected time: {duration(seconds)}{steps}{sooner}{shorter}"


def _seconds_per_step(trainer: Trainer) -> float:
    """The median of a few rehearsals, without the first, which sets things up."""
    trainer.rehearse()
    began, seconds = time.perf_counter(), [trainer.rehearse()]
    while time.perf_counter() - began < _SECONDS and len(seconds) < _MOST:
        seconds.append(trainer.rehearse())
    return statistics.median(seconds)
