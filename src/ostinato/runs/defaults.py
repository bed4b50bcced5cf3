"""The default recipe's choices: every "auto" of a recipe becomes a number that fits the corpus and the time.

The figures behind the rules are in docs/decisions/002-default-recipe.md.
"""

import dataclasses
import math
from dataclasses import dataclass

from ostinato.cells import CELLS
from ostinato.settings import ModelSettings, Recipe, ResolvedRecipe, TrainingSettings, decide

DEFAULT_MINUTES = 3.0
_SMALL, _MIDDLE = 500_000, 3_000_000
"""Tokens: below the first a text is small (a few hundred songs), from the second on large."""
_WIDTHS = (1024, 768, 640, 512, 384, 256, 192, 128)
_TOKENS_A_WEIGHT = 12
"""Tokens read in training per recurrent weight: with fewer, a narrower network learns more in the same time."""
_LARGE_VOCABULARY, _CANDIDATES = 12_000, 4096
LESSON_WIDTH = 512
"""Of the recipe `words` at most, whose windows are made to fit (`fitting.py`)."""
_RATE_TIMES_WIDTH, _HIGHEST_RATE, _RATE_WITHOUT_GATES = 6.0, 0.016, 4e-3
"""AdamW's peak learning rate: inverse to the width for LSTM and GRU, fixed for others."""
_START_RATE = 1e-3
"""Peak learning rate where the weights are another model's, unless that model names its own."""
_EVALUATION_SHARE = 0.06
"""Share of the time that evaluations may take."""


@dataclass(frozen=True)
class CorpusSize:
    """What the defaults depend on of a corpus: its training and held-out tokens and the vocabulary."""

    train_tokens: int
    heldout_tokens: int
    vocabulary_size: int


_CORE_SPEEDS = {
    ("amx", "bf16"): 190e9, ("vnni", "bf16"): 150e9,
    ("amx", "fp32"): 75e9, ("vnni", "fp32"): 75e9, ("avx512", "fp32"): 75e9, ("avx2", "fp32"): 75e9,
    ("mmla", "bf16"): 80e9,
    ("neon", "fp32"): 40e9, ("dotprod", "fp32"): 40e9, ("mmla", "fp32"): 40e9,
}  # fmt: skip
_CORE_SPEED = 50e9
"""Where torch's own layers train, or nothing was measured."""


def machine_speed(threads: int, isa: str, precision: str) -> float:
    """Operations per second that a training step gets on a CPU with the kernels of `isa`, in "fp32" or "bf16".

    By kind and not by clock, so that the same machine plans alike: whole steps of an LSTM as measured
    (docs/decisions/124-shares-of-the-peak.md); ARM64 estimated from instruction counts.
    """
    return threads * _CORE_SPEEDS.get((isa, precision), _CORE_SPEED)


def resolve(
    recipe: Recipe, size: CorpusSize, speed: float, *, started: bool = False, start_rate: float | None = None
) -> ResolvedRecipe:
    """`recipe` with every "auto" decided but the precision; `speed` as `machine_speed` says.

    started: the weights are another model's, which large steps would destroy; start_rate: the learning rate that it
    names, if any (docs/decisions/156-bases.md).
    """
    m, t = recipe.model, recipe.training
    minutes = t.minutes
    if minutes is None and t.epochs is None and t.steps is None:
        minutes = DEFAULT_MINUTES
    embedding = m.embedding_size
    if embedding is None:
        embedding = 192 if size.vocabulary_size > 400 else 64
    candidates = t.candidates
    if candidates is None:
        candidates = _CANDIDATES if size.vocabulary_size > _LARGE_VOCABULARY else 0
    softmax = min(candidates, size.vocabulary_size) or size.vocabulary_size
    hidden = m.hidden_size or _hidden_size(recipe, size, embedding, softmax, minutes, speed)
    if m.embedding_size is None:
        embedding = min(hidden, embedding)
    batch_size, window = _minibatch(recipe, size)
    passes = _passes(
        t, size, batch_size * window, minutes, speed / _operations(recipe, size, embedding, softmax, hidden)
    )
    dropout, weight_drop, weight_decay = _regularisation(size, passes, hidden)
    rate = t.learning_rate
    if rate is None:
        rate = {"sgd": 1.0, "adam": 2e-3, "adamw": _adamw_rate(m, hidden)}[t.optimizer]
        if started and t.optimizer == "adamw":
            rate = _START_RATE if start_rate is None else start_rate
    every = t.evaluate_every
    if every is None:
        every = _evaluate_every(size, batch_size * window)
    return decide(
        recipe,
        model={
            "hidden_size": hidden,
            "embedding_size": embedding,
            "dropout": dropout if m.dropout is None else m.dropout,
            "weight_drop": weight_drop if m.weight_drop is None else m.weight_drop,
            "mixture": m.mixture or "best",
        },
        training={
            "minutes": minutes,
            "batch_size": batch_size,
            "window": window,
            "learning_rate": rate,
            "evaluate_every": every,
            "weight_decay": t.weight_decay
            if t.weight_decay is not None
            else weight_decay
            if t.optimizer == "adamw"
            else 0.0,
            "candidates": candidates,
        },
    )


def reason(
    recipe: Recipe, resolved: ResolvedRecipe, size: CorpusSize, speed: float, machine: str, start: str | None = None
) -> str:
    """Why `recipe` became `resolved`, on one line; `machine` says what gives the speed, `start` is the name of the
    model whose weights it begins with."""
    m, t = resolved.model, resolved.training
    rate = 1 / pass_seconds(resolved, size, speed)
    asked, windows = t, recipe.training.sampling == "windows"
    if windows and t.epochs is not None:  # an epoch of windows reads each token several times
        asked = dataclasses.replace(t, epochs=min(t.epochs * max(t.window / t.stride, 1.0), 1e9))
    passes = _passes(asked, size, t.batch_size * t.window, t.minutes, rate)
    largest = min(_largest(size), LESSON_WIDTH) if windows and recipe.training.stride is None else _largest(size)
    if start is not None:
        why = ""
    elif recipe.model.hidden_size is not None:
        why = "as set"
    elif m.hidden_size >= largest:
        why = "the widest for a text of this size"
    elif m.hidden_size == _WIDTHS[-1]:
        why = "the narrowest, since the time is short for this text"
    else:
        why = "the widest that the time allows"
    text = "it" if "text" in why else "the text"
    often = f"about {f'{passes:.1f}' if passes < 10 else f'{passes:,.0f}'} passes over {text}"
    if t.minutes is not None and passes >= 60 * t.minutes * rate:
        often += f" in {t.minutes:g} minute{'' if t.minutes == 1 else 's'} on {machine}"
    return f"{m.hidden_size} units: {why}; {often}" if why else f"{m.hidden_size} units, like {start}: {often}"


def _adamw_rate(m: ModelSettings, hidden: int) -> float:
    """AdamW's peak learning rate: inverse to the width for LSTM and GRU; fixed, and halved above 768 units, for others
    (docs/decisions/212-learning-rates.md)."""
    if m.cell in ("lstm", "gru") and not m.context:
        return min(_HIGHEST_RATE, _RATE_TIMES_WIDTH / hidden)
    return _RATE_WITHOUT_GATES if hidden <= 768 else _RATE_WITHOUT_GATES / 2


def _largest(size: CorpusSize) -> int:
    """The widest network that a text of this size has use for."""
    return 640 if size.train_tokens < _SMALL else 768 if size.train_tokens < _MIDDLE else 1024


def _hidden_size(
    recipe: Recipe, size: CorpusSize, embedding: int, softmax: int, minutes: float | None, speed: float
) -> int:
    """The largest of a few widths that reads enough text within the minutes, with `softmax` logits: twelve or eight
    passes over it, or as many tokens as a network of that width needs."""
    passes = 12.0 if size.train_tokens < _SMALL else 8.0
    for hidden in _WIDTHS:
        embedded = min(embedding, hidden)
        enough = min(passes * size.train_tokens, _TOKENS_A_WEIGHT * _recurrent(recipe, size, embedded, hidden))
        cost = enough / size.train_tokens * _operations(recipe, size, embedded, softmax, hidden)
        if hidden <= _largest(size) and (minutes is None or cost <= 60 * minutes * speed):
            return hidden
    return _WIDTHS[-1]


def _recurrent(recipe: Recipe, size: CorpusSize, embedding: int, hidden: int) -> int:
    """The recurrent weights of all layers."""
    m = recipe.model
    return CELLS[m.cell].gates * hidden * (hidden + (embedding or size.vocabulary_size) + 2 * hidden * (m.layers - 1))


def _operations(recipe: Recipe, size: CorpusSize, embedding: int, softmax: int, hidden: int) -> float:
    """Of a pass over the training text, forward and backward: six a weight and token."""
    m = recipe.model
    head = softmax * embedding + hidden * embedding if m.tied else softmax * hidden
    return 6.0 * (_recurrent(recipe, size, embedding, hidden) + head) * size.train_tokens


def _passes(t: TrainingSettings, size: CorpusSize, batch_tokens: int, minutes: float | None, rate: float) -> float:
    """How often the text will be read, at `rate` passes a second."""
    limits = [
        math.inf if t.epochs is None else t.epochs,
        math.inf if t.steps is None else t.steps * batch_tokens / size.train_tokens,
        math.inf if minutes is None else 60 * minutes * rate,
    ]
    return min(limits)


def _regularisation(size: CorpusSize, passes: float, hidden: int) -> tuple[float, float, float]:
    """Dropout, weight-drop and weight decay: what is read often is learnt by heart without them, the sooner the wider
    the network; what is read seldom needs less. Small texts have no use for all three, large ones for hardly any."""
    if size.train_tokens >= _MIDDLE:
        return 0.1, 0.0, 0.0
    if size.train_tokens >= _SMALL:
        return (0.2 if passes < 10 else 0.3), 0.0, (0.0 if passes < 5 else 0.1)
    return (0.4, 0.0, 0.0) if passes < (12 if hidden >= 512 else 18) else (0.5, 0.4, 0.0)


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


def pass_seconds(recipe: ResolvedRecipe, size: CorpusSize, speed: float) -> float:
    """How long a pass over the training text takes at `speed`, as `machine_speed` says."""
    m = recipe.model
    softmax = min(recipe.training.candidates, size.vocabulary_size) or size.vocabulary_size
    return _operations(recipe, size, m.embedding_size, softmax, m.hidden_size) / speed
