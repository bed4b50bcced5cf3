"""A whole sweep: make the runs that are not made yet, then the table and the picture of all.

A run that is finished is not made again: the same command goes on where it was interrupted.
"""

from dataclasses import dataclass
from typing import Any

from ostinato.bundle import RUN_LOCK
from ostinato.files import hold
from ostinato.sweeps.folder import check_same, prepare, save_table
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

    Raises TrainingError for a folder that holds something else, BusyError where another process is at work in it. A
    run that fails is noted in the table and ends nothing.
    """
    plan = asked.runs()
    prepare(asked.out)
    with hold(asked.out / RUN_LOCK, what="training", place=asked.out, wait=1.0):
        check_same(asked.out, asked.command, overwrite=asked.overwrite)
        try:
            make_all(asked, plan, quiet=quiet)
        finally:
            from ostinato.sweeps.picture import draw

            table = summary(plan, asked.command)
            save_table(asked.out, table, sheet_of(table))
            drawn = draw(plan, asked.out / "sweep")
    return Made(plan, table, drawn, has_mixtures(plan))
