"""The table of what can be learnt: from a recipe, or a task's name, to its steps."""

from importlib import import_module
from typing import Any

from ostinato.errors import needs
from ostinato.runs.task import Task
from ostinato.settings import Recipe


def find_task(recipe: Recipe) -> Task:
    """What the recipe says is to be learnt. Raises MissingExtraError where torch is needed and not installed."""
    if recipe.ngram.smoothing == "context-mixing":
        from ostinato.runs.mixing import TASK as MIXING

        return MIXING
    if recipe.ngram.smoothing != "none":
        from ostinato.runs.ngram import TASK

        return TASK
    task: Task = named_task(recipe.task.name)
    return task


def named_task(name: str, purpose: str = "training") -> Any:
    """The `TASK` in `tasks/` that `task.name` names. Raises MissingExtraError as `find_task`."""
    with needs("train", purpose):
        return import_module(f"ostinato.runs.tasks.{name.replace('-', '_')}").TASK
