"""The clock of a run: its seconds, on which a team agrees, and when it was last saved and evaluated."""

import math
import time

from ostinato.training.checkpoint import Position
from ostinato.training.team import Team


class Clock:
    """Writes the seconds of a run, those before a resume included, into its position; a team goes by rank 0's."""

    def __init__(self, position: Position, team: Team) -> None:
        self._position, self._team = position, team
        self._started = time.perf_counter() - position.seconds
        self._stop = False
        self.saved = position.seconds if position.step else -math.inf
        """When the last checkpoint was written; a new run has one after its first minibatch."""
        self.evaluated = -1
        """The step of the last evaluation."""
        self._mark = position.tokens, position.seconds

    def read(self, interrupted: bool) -> None:
        """Set the position's seconds; remember whether any member of the team was interrupted."""
        p = self._position
        p.seconds, self._stop = self._team.agree(time.perf_counter() - self._started, interrupted)

    def stops(self, interrupted: bool) -> bool:
        """Whether the team stops before the next step: what all agreed on when the clock was read."""
        return self._stop if self._team.size > 1 else interrupted

    def rate(self) -> float:
        """Tokens per second since the last mark."""
        p = self._position
        return (p.tokens - self._mark[0]) / max(p.seconds - self._mark[1], 1e-9)

    def mark(self) -> None:
        """An evaluation is done."""
        p = self._position
        self._mark, self.evaluated = (p.tokens, p.seconds), p.step
