"""Whole runs, from texts or records to a model on disk: read, divide, settle, build, train, evaluate, save."""

from typing import TYPE_CHECKING

from ostinato.lazy import lazily

if TYPE_CHECKING:
    from ostinato.runs.record_data import divide
    from ostinato.runs.record_task import load_task_model
    from ostinato.runs.run import Result, train

__all__ = ["Result", "divide", "load_task_model", "train"]

__getattr__ = lazily(
    __name__,
    {
        "Result": "ostinato.runs.run",
        "divide": "ostinato.runs.record_data",
        "load_task_model": "ostinato.runs.record_task",
        "train": "ostinato.runs.run",
    },
)
