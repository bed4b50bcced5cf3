"""How the learning rate changes over a run: a factor of its peak, as a function of the share of training done."""

import math
from dataclasses import dataclass

_ONE_CYCLE_START, _ONE_CYCLE_END = 1 / 25, 1e-4


def schedule_factor(schedule: str, progress: float, warmup: float) -> float:
    """The factor (0 .. 1) at `progress` (0: start, 1: end), after a rise over the first `warmup` of the run.

    - `constant`, `plateau`: 1 (a plateau is cut by `Plateau`);
    - `linear`: a straight line to 0;
    - `cosine`: half a cosine to 0 (Loshchilov and Hutter 2017, without restarts);
    - `one-cycle`: half a cosine up from 1/25, then half a cosine down to 0.0001 (Smith and Topin 2018).
    """
    progress = min(max(progress, 0.0), 1.0)
    if schedule in ("constant", "plateau"):
        return 1.0
    rising = progress < warmup
    share = progress / warmup if rising else (progress - warmup) / max(1.0 - warmup, 1e-9)
    if schedule == "one-cycle":
        low = _ONE_CYCLE_START if rising else _ONE_CYCLE_END
        turn = 0.5 - 0.5 * math.cos(math.pi * (share if rising else 1.0 - share))
        return low + (1.0 - low) * turn
    if rising:
        return share
    return 1.0 - share if schedule == "linear" else 0.5 + 0.5 * math.cos(math.pi * share)


@dataclass
class Plateau:
    """Cuts the learning rate when an evaluation has not improved more than `patience` times in a row."""

    cuts: int = 0
    stale: int = 0
    best: float = math.inf

    def observe(self, loss: float, patience: int) -> None:
        """Take note of one evaluation."""
        if loss < self.best:
            self.best, self.stale = loss, 0
            return
        self.stale += 1
        if self.stale > patience:
            self.cuts, self.stale = self.cuts + 1, 0


@dataclass(frozen=True)
class Budget:
    """How long to train: a number of steps, a number of seconds, or both (whichever ends first)."""

    steps: int | None
    seconds: float | None

    def progress(self, step: int, seconds: float) -> float:
        """The share of training done, 0 .. 1."""
        by_steps = step / self.steps if self.steps else 0.0
        by_seconds = seconds / self.seconds if self.seconds else 0.0
        return min(max(by_steps, by_seconds), 1.0)
