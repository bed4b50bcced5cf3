"""Training on records instead of a text: tags, classes, translations, next lines, forecasts."""

from ostinato.training.tasks.data import TaskData, divide
from ostinato.training.tasks.run import train_task

__all__ = ["TaskData", "divide", "train_task"]
