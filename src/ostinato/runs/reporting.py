"""Metrics for other programs that show them: TensorBoard and Weights & Biases, each an observer of training."""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ostinato.errors import UsageError, needs
from ostinato.training.observers import Observer, Row

_NAMES = {
    "train_loss": "loss/training",
    "heldout_loss": "loss/held-out",
    "learning_rate": "training/learning_rate",
    "tokens_per_second": "training/tokens_per_second",
    "epoch": "training/epoch",
}


def figures(row: Row) -> dict[str, float]:
    """The finite figures of a row, by the names they are shown under."""
    values = {name: getattr(row, key) for key, name in _NAMES.items()}
    values |= {f"scores/{name}": value for name, value in row.scores.items()}
    return {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}


class TensorBoard(Observer):
    """Writes event files into `folder`/tensorboard, which `tensorboard --logdir` reads.

    Raises MissingExtraError where the package tensorboard is not installed.
    """

    def __init__(self, folder: Path, recipe: Mapping[str, Any]) -> None:
        with needs("tensorboard", "--report tensorboard"):
            from torch.utils.tensorboard import SummaryWriter
        place = folder / "tensorboard" / time.strftime("%Y%m%d-%H%M%S")  # a resumed run is shown beside its beginning
        self._writer: Any = SummaryWriter(str(place))
        self._writer.add_text("recipe", "\n".join(f"    {line}" for line in _lines(recipe)))

    def evaluated(self, row: Row, best: bool) -> None:
        """Write the row."""
        self.logged(row)

    def logged(self, row: Row) -> None:
        """Write the row."""
        for name, value in figures(row).items():
            self._writer.add_scalar(name, value, row.step)
        self._writer.flush()

    def finished(self) -> None:
        """Close the files."""
        self._writer.close()


class WeightsAndBiases(Observer):
    """Sends the metrics to a run of Weights & Biases, whose own settings (WANDB_PROJECT, WANDB_MODE) are in force.

    Only figures and the recipe are sent, no text. Raises MissingExtraError where the package wandb is not installed.
    """

    def __init__(self, folder: Path, recipe: Mapping[str, Any]) -> None:
        with needs("wandb", "--report wandb"):
            import wandb
        self._run: Any = wandb.init(name=folder.name, dir=str(folder), config=dict(recipe))

    def evaluated(self, row: Row, best: bool) -> None:
        """Send the row."""
        self.logged(row)

    def logged(self, row: Row) -> None:
        """Send the row."""
        self._run.log(figures(row), step=row.step)

    def finished(self) -> None:
        """End the run there."""
        self._run.finish()


REPORTS = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases}
"""The observers by the name that `--report` gives them."""


def reports(names: Sequence[str], folder: Path, recipe: Mapping[str, Any]) -> list[Observer]:
    """The observers of these names. Raises UsageError for an unknown name, and MissingExtraError."""
    for name in names:
        if name not in REPORTS:
            raise UsageError(f"--report must be one of {', '.join(REPORTS)}, got {name!r}")
    return [REPORTS[name](folder, recipe) for name in dict.fromkeys(names)]


def _lines(recipe: Mapping[str, Any]) -> list[str]:
    return [f"{section}.{key} = {value}" for section, table in recipe.items() for key, value in table.items()]
