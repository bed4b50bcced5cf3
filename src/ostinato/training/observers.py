"""Who is told how training goes: progress bars, pictures, the metrics file, the writer of the best model."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ostinato.settings import ResolvedTraining
    from ostinato.training.checkpoint import Position


@dataclass(frozen=True)
class Row:
    """One evaluation. Losses are nats per token; `heldout_loss` is None when nothing is held out.

    `scores` has what else a task measures, such as accuracy, by name; a language model has none.
    """

    step: int
    epoch: float
    seconds: float
    tokens: int
    train_loss: float
    heldout_loss: float | None
    learning_rate: float
    tokens_per_second: float
    scores: dict[str, float] = field(default_factory=dict)


class Observer:
    """Is told of everything and does nothing: override what you want to hear of."""

    def started(self, settings: "ResolvedTraining", position: "Position") -> None:
        """Training begins, or goes on, at `position`."""

    def stepped(self, position: "Position", loss: float, progress: float) -> None:
        """One minibatch is done; `loss` is its mean in nats per token, `progress` the share of the budget used."""

    def evaluated(self, row: Row, best: bool) -> None:
        """The weights in the model are the ones evaluated; `best` says whether they are the best so far."""

    def logged(self, row: Row) -> None:
        """A row between evaluations: the training loss since the last row; what is held out was not measured."""

    def noted(self, text: str) -> None:
        """Something the user should know."""

    def finished(self) -> None:
        """Training is over: `evaluated` was called for the last time."""


class Observers(Observer):
    """Passes everything on to each of its observers, in order."""

    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        self.all = list(observers)

    def started(self, settings: "ResolvedTraining", position: "Position") -> None:
        """Pass it on."""
        for observer in self.all:
            observer.started(settings, position)

    def stepped(self, position: "Position", loss: float, progress: float) -> None:
        """Pass it on."""
        for observer in self.all:
            observer.stepped(position, loss, progress)

    def evaluated(self, row: Row, best: bool) -> None:
        """Pass it on."""
        for observer in self.all:
            observer.evaluated(row, best)

    def logged(self, row: Row) -> None:
        """Pass it on."""
        for observer in self.all:
            observer.logged(row)

    def noted(self, text: str) -> None:
        """Pass it on."""
        for observer in self.all:
            observer.noted(text)

    def finished(self) -> None:
        """Pass it on."""
        for observer in self.all:
            observer.finished()
