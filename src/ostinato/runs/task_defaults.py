"""The choices of a task's recipe that are "auto"."""

import dataclasses
import math

from ostinato.errors import SettingsError
from ostinato.settings import Recipe

_MODEL = {  # hidden_size, embedding_size, dropout
    "tag": (128, 64, 0.2),
    "classify": (64, 64, 0.2),
    "translate": (256, 128, 0.3),
    "next-line": (256, 128, 0.3),
    "forecast": (32, 0, 0.1),
}
_TRAINING = {  # batch_size, learning_rate, epochs
    "tag": (32, 4e-3, 10.0),
    "classify": (16, 4e-3, 40.0),
    "translate": (64, 3e-3, 12.0),
    "next-line": (64, 3e-3, 8.0),
    "forecast": (16, 4e-3, 60.0),
}
_LARGE = ("translate", "next-line")
"""Tasks whose matrix products are large enough that another precision is worth a thought."""

_STEPS_BETWEEN_EVALUATIONS = 20


def resolve(recipe: Recipe, records: int) -> Recipe:
    """`recipe` with every "auto" decided for a task that learns from so many records. Raises SettingsError."""
    m, t, name = recipe.model, recipe.training, recipe.task.name
    if m.context:
        raise SettingsError(f"model.context is for language models, got {m.context} with task.name={name}: set it to 0")
    if t.candidates:
        raise SettingsError(
            f"training.candidates is for language models, got {t.candidates} with task.name={name}: set it to 0"
        )
    hidden, embedding, dropout = _MODEL[name]
    size, rate, epochs = _TRAINING[name]
    size = t.batch_size or max(1, min(size, records // 4))
    unlimited = t.minutes is None and t.epochs is None and t.steps is None
    steps = -(-records // size)
    every = math.ceil(_STEPS_BETWEEN_EVALUATIONS / steps)
    return dataclasses.replace(
        recipe,
        model=dataclasses.replace(
            m,
            hidden_size=m.hidden_size or hidden,
            embedding_size=embedding if m.embedding_size is None else m.embedding_size,
            dropout=dropout if m.dropout is None else m.dropout,
            weight_drop=m.weight_drop or 0.0,
        ),
        training=dataclasses.replace(
            t,
            batch_size=size,
            window=t.window or 1,
            learning_rate=rate if t.learning_rate is None else t.learning_rate,
            epochs=epochs if unlimited else t.epochs,
            weight_decay=t.weight_decay or 0.0,
            candidates=0,
            evaluate_every=float(every) if t.evaluate_every is None else t.evaluate_every,
            precision="fp32" if t.precision == "auto" and name not in _LARGE else t.precision,
        ),
    )
