"""The networks of a comparison: trained for it, and learning on while they read the held-out text."""

import dataclasses
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ostinato.api import Model
from ostinato.comparing.plan import Measured, Plan
from ostinato.errors import TrainingError, needs
from ostinato.evaluation.compare import ADAPTING
from ostinato.protocols import Ids
from ostinato.settings import ModelSettings, Recipe, TextSettings, recorded_settings
from ostinato.terminal import activity

_WINDOW_SHARE = 0.25
"""Of the minutes for both networks, what the one without a hidden state gets: it sees more tokens per second."""

STOPPING = "stopping: what was measured is kept (a second Ctrl-C stops at once)"


def train_recurrent(texts: Sequence[str], plan: Plan, text: TextSettings) -> Model:
    """The network of the plan's recipe, in the folder `network`. Raises as `_train` does."""
    return _train(texts, plan, text, plan.recipe, "network", 1 - _WINDOW_SHARE if plan.window else 1.0)


def train_window(texts: Sequence[str], plan: Plan, text: TextSettings) -> Model:
    """The network that sees the last plan.window tokens, in the folder `window`. Raises as `_train` does."""
    m = plan.recipe.model
    model = dataclasses.replace(m, context=plan.window, embedding_size=m.embedding_size or None)
    recipe = dataclasses.replace(plan.recipe, model=model)
    return _train(texts, plan, text, recipe, "window", _WINDOW_SHARE if plan.model is None else 1.0)


def _train(texts: Sequence[str], plan: Plan, text: TextSettings, recipe: Recipe, name: str, share: float) -> Model:
    """Train for a share of the recipe's minutes on the text, cut as `text` says.

    Raises KeyboardInterrupt, with the signal's number, where one ended training; what training raises.
    """
    with activity("starting"):
        from ostinato.runs.run import train

    minutes = recipe.training.minutes
    training = dataclasses.replace(recipe.training, minutes=None if minutes is None else minutes * share)
    model = dataclasses.replace(recipe.model, mixture="none")  # the comparison mixes it itself
    recipe = dataclasses.replace(recipe, text=text, training=training, model=model)
    result = train(list(texts), out=plan.out / name, recipe=recipe, device=plan.device, overwrite=plan.overwrite,
                   encoding=plan.encoding, progress=plan.progress, stopping=STOPPING)  # fmt: skip
    if result.signal:
        raise KeyboardInterrupt(result.signal)
    return Model(plan.out / name)


def learning_on(network: Measured, heldout: Ids, train: Ids) -> Measured:
    """Dynamic evaluation of a recurrent network. Raises MissingExtraError without torch, TrainingError where it
    diverges.
    """
    assert network.saved is not None
    with activity("loading torch"), needs("train", "learning while it reads"):
        from ostinato.comparing.dynamic import dynamic_scores
        from ostinato.models.language_model import LanguageModel

    settings = recorded_settings(ModelSettings, {"model": network.saved.model}, network.name)
    model = LanguageModel(settings, network.saved.model["vocabulary_size"])
    model.load_tensors(network.saved.tensors)
    started = time.perf_counter()
    scores: npt.NDArray[np.float64] = dynamic_scores(model, heldout, train)
    elapsed = time.perf_counter() - started
    if not np.isfinite(scores).all():
        raise TrainingError("it diverged, as networks that have learnt little sometimes do")
    name = f"{network.name}, dynamic evaluation"
    return Measured(name, ADAPTING, scores, network.seconds, elapsed, network.parameters, network.bytes)
