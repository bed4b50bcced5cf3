"""What minutes mean for a recipe that learns from windows of a text (`words`): the lesson's network, made to fit.

The figures behind the rules are in docs/decisions/201-words-that-fit.md.
"""

import dataclasses
from typing import Any

from ostinato.runs.defaults import LESSON_WIDTH, CorpusSize, pass_seconds, resolve
from ostinato.settings import Recipe

_LESSON: dict[str, dict[str, Any]] = {
    "model": {"hidden_size": LESSON_WIDTH},
    "training": {"batch_size": 64, "stride": 1, "schedule": "plateau", "evaluate_every": 1.0, "patience": 3},
}
"""What is "auto" where no minutes are given."""
_ROWS = _LESSON["training"]["batch_size"]
_FEWEST_ROWS, _STEPS = 16, 3000
"""Rows are halved until so many steps fit; fewer would not be read faster."""
_PASSES = 24.0
"""More passes over a text learn it by heart."""
_EVALUATIONS = 12
_FEWEST_MINIBATCHES = 4


def fitted(recipe: Recipe, size: CorpusSize, speed: float) -> Recipe:
    """`recipe` with what its windows leave "auto"; others as they are. speed: as `machine_speed` says.

    With minutes: the width as the default recipe's, up to the lesson's; as many passes over the text as fit and pay; as
    few rows as make steps enough; windows half their length apart; a rate that falls in a straight line. Without: the
    lesson's values.
    """
    t = recipe.training
    if t.sampling != "windows" or t.stride is not None:
        return recipe
    if t.minutes is None:
        return _filled(recipe, _LESSON)
    hidden = min(LESSON_WIDTH, resolve(recipe, size, speed).model.hidden_size)
    recipe = _filled(recipe, {"model": {"hidden_size": hidden}})
    decided = resolve(recipe, size, speed)
    window, tokens = decided.training.window, size.train_tokens
    passes = 60 * t.minutes / pass_seconds(decided, size, speed)
    rows = _ROWS
    while rows > _FEWEST_ROWS and min(passes, _PASSES) * tokens < _STEPS * rows * window:
        rows //= 2
    stride = min(max(1, window // 2), max(1, (tokens - 1 - window) // (_FEWEST_MINIBATCHES * rows)))
    epochs = _PASSES * stride / window  # an epoch reads each token window / stride times
    training: dict[str, Any] = {"batch_size": rows, "stride": stride, "schedule": "linear", "patience": 0,
                                "evaluate_every": min(passes * stride / window, epochs) / _EVALUATIONS}  # fmt: skip
    if passes > _PASSES and t.epochs is None:
        training["epochs"] = epochs
    return _filled(recipe, {"training": training})


def _filled(recipe: Recipe, values: dict[str, dict[str, Any]]) -> Recipe:
    """`recipe` with these values for what is "auto"."""
    tables = {}
    for section, table in values.items():
        settings = getattr(recipe, section)
        chosen = {name: value for name, value in table.items() if getattr(settings, name) is None}
        tables[section] = dataclasses.replace(settings, **chosen)
    return dataclasses.replace(recipe, **tables)
