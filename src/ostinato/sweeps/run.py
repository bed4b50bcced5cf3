"""A whole sweep: make the runs that are not made yet, then the table and the picture of all.

A run that is finished is not made again: the same command goes on where it was interrupted.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from ostinato.bundle import RUN_LOCK
from ostinato.errors import TrainingError
from ostinato.files import hold
from ostinato.runs.run import nothing_left
from ostinato.runs.signals import ending_signals
from ostinato.sweeps.folder import begin, prepare, save_table
from ostinato.sweeps.making import make_all
from ostinato.sweeps.plan import One, Sweep
from ostinato.sweeps.table import has_mixtures, sheet_of, summary


@dataclass(frozen=True)
class Made:
    """The runs with their results, the table of them, whether it was drawn, and whether any model is a mixture."""

    runs: list[One]
    table: dict[str, Any]
    drawn: bool
    mixed: bool

    @property
    def failed(self) -> list[One]:
        """The runs that have no result."""
        return [one for one in self.runs if one.result is None]


def sweep(asked: Sweep, *, quiet: bool = False) -> Made:
    """Make all runs, `asked.at_a_time` of them side by side, and save the table: also of those that are finished where
    this is interrupted.

    Raises TrainingError for a folder that holds something else, BusyError where another process is at work in it,
    KeyboardInterrupt with the signal's number where Ctrl-C, SIGTERM or SIGHUP ends it. A run that fails is noted in
    the table and ends nothing.
    """
    plan = asked.runs()
    with nothing_left(asked.out):
        prepare(asked.out)
        with _held(asked.out), ending_signals(_interrupt):
            replaced = begin(asked.out, asked.command, [one.folder for one in plan], overwrite=asked.overwrite)
            try:
                make_all(asked, plan, replaced, quiet=quiet)
            finally:
                from ostinato.sweeps.picture import draw

                table = summary(plan, asked.command)
                missing = {one.folder.name for one in plan if one.result is None}
                left = {name: checkpoint for name, checkpoint in replaced.items() if name in missing}
                save_table(asked.out, table, sheet_of(table), left)
                drawn = draw(plan, asked.out / "sweep")
    return Made(plan, table, drawn, has_mixtures(plan))


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(number)


@contextlib.contextmanager
def _held(out: Path) -> Iterator[None]:
    """Inside, the folder is this process's. Raises BusyError, TrainingError."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hold(out / RUN_LOCK, what="training", place=out, wait=1.0))
        except OSError as error:
            raise TrainingError(f"cannot write to the output folder {out}: {error.strerror or error}") from None
        yield
