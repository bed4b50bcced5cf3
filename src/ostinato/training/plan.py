"""The default recipe's choices: every "auto" of a recipe becomes a number that fits the corpus and the time.

The figures behind the rules are in docs/decisions/002-default-recipe.md.
"""

import dataclasses
import math
from dataclasses import dataclass

from ostinato.settings import Recipe

DEFAULT_MINUTES = 3.0
_FLOPS_A_SECOND = 1.2e11
_EVALUATION_SHARE = 0.06
"""Share of the time that evaluations may take."""


@dataclass(frozen=True)
class CorpusSize:
    """What the plan knows of a corpus: its training and held-out tokens and the vocabulary."""

    train_tokens: int
    heldout_tokens: int
    vocabulary_size: int


def resolve(recipe: Recipe, size: CorpusSize) -> Recipe:
    """`recipe` with every "auto" decided, except the precision (it depends on the machine, not on the text)."""
    m, t = recipe.model, recipe.training
    minutes = t.minutes
    if minutes is None and t.epochs is None and t.steps is None:
        minutes = DEFAULT_MINUTES
    hidden = m.hidden_size or _hidden_size(size, minutes)
    embedding = m.embedding_size
    if embedding is None:
        embedding = min(hidden, 192 if size.vocabulary_size > 400 else 64)
    dropout = m.dropout
    if dropout is None:
        dropout = 0.45 if size.train_tokens < 500_000 else 0.25 if size.train_tokens < 3_000_000 else 0.1
    batch_size, window = _minibatch(recipe, size)
    rate = t.learning_rate
    if rate is None:
        rate = {"sgd": 1.0, "adam": 2e-3, "adamw": 4e-3 if hidden <= 768 else 2e-3}[t.optimizer]
    every = t.evaluate_every
    if every is None:
        every = _evaluate_every(size, batch_size * window)
    return dataclasses.replace(
        recipe,
        model=dataclasses.replace(m, hidden_size=hidden, embedding_size=embedding, dropout=dropout),
        training=dataclasses.replace(
            t, minutes=minutes, batch_size=batch_size, window=window, learning_rate=rate, evaluate_every=every
        ),
    )


def _hidden_size(size: CorpusSize, minutes: float | None) -> int:
    """The largest of a few widths that still sees the text often enough within the minutes."""
    passes = 8.0 if size.train_tokens < 3_000_000 else 1.0
    tokens = passes * max(size.train_tokens, 20_000)
    for hidden in (1024, 768, 640, 512, 384, 256, 192):
        weights = 8 * hidden * hidden + hidden * min(size.vocabulary_size, 50_000)
        if minutes is None or 6 * weights * tokens <= 60 * minutes * _FLOPS_A_SECOND:
            return min(hidden, 640) if size.train_tokens < 500_000 else hidden
    return 128


def _minibatch(recipe: Recipe, size: CorpusSize) -> tuple[int, int]:
    """Rows and steps of a minibatch: 32 rows of 64 steps, fewer when the text would give less than 20 minibatches."""
    window = recipe.training.window or max(8, min(64, size.train_tokens // 64))
    rows = size.train_tokens // (20 * (window + 1))
    return recipe.training.batch_size or max(1, min(32, 1 << int(math.log2(max(rows, 1))))), window


def _evaluate_every(size: CorpusSize, batch_tokens: int) -> float:
    """Epochs between evaluations: about ten a pass over a large text, one a pass over a small one."""
    cost = size.heldout_tokens / 3  # a forward pass is a third of a training step
    tokens = max(cost / _EVALUATION_SHARE, 100 * batch_tokens)
    epochs = tokens / max(size.train_tokens, 1)
    return epochs if epochs < 0.75 else float(math.ceil(epochs))
