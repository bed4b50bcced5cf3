"""A recipe in which every value is decided."""

import typing
from dataclasses import dataclass, field
from typing import Any

from ostinato.settings.checking import declared
from ostinato.settings.sections import ModelSettings, Recipe, TrainingSettings


@dataclass(frozen=True)
class ResolvedModel(ModelSettings):
    """[model] with nothing left "auto" but the forget bias, which then is as initialised."""

    hidden_size: int = field(kw_only=True, metadata=declared(ModelSettings, "hidden_size"))
    embedding_size: int = field(kw_only=True, metadata=declared(ModelSettings, "embedding_size"))
    dropout: float = field(kw_only=True, metadata=declared(ModelSettings, "dropout"))
    weight_drop: float = field(kw_only=True, metadata=declared(ModelSettings, "weight_drop"))
    mixture: str = field(kw_only=True, metadata=declared(ModelSettings, "mixture"))


@dataclass(frozen=True)
class ResolvedTraining(TrainingSettings):
    """[training] with nothing left "auto"; of minutes, epochs and steps, those that are None set no limit."""

    batch_size: int = field(kw_only=True, metadata=declared(TrainingSettings, "batch_size"))
    window: int = field(kw_only=True, metadata=declared(TrainingSettings, "window"))
    stride: int = field(default=1, kw_only=True, metadata=declared(TrainingSettings, "stride"))
    learning_rate: float = field(kw_only=True, metadata=declared(TrainingSettings, "learning_rate"))
    weight_decay: float = field(kw_only=True, metadata=declared(TrainingSettings, "weight_decay"))
    schedule: str = field(default="linear", kw_only=True, metadata=declared(TrainingSettings, "schedule"))
    evaluate_every: float = field(kw_only=True, metadata=declared(TrainingSettings, "evaluate_every"))
    patience: int = field(default=0, kw_only=True, metadata=declared(TrainingSettings, "patience"))
    candidates: int = field(kw_only=True, metadata=declared(TrainingSettings, "candidates"))


@dataclass(frozen=True)
class ResolvedRecipe(Recipe):
    """A recipe whose model and training are resolved: what a network is built from and trained by."""

    model: ResolvedModel = field(kw_only=True)
    training: ResolvedTraining = field(kw_only=True)


_NOT_RECORDED: dict[str, dict[str, Any]] = {
    "model": {"weight_drop": 0.0, "mixture": "none"},
    "training": {"weight_decay": 0.0, "candidates": 0, "stride": 1, "schedule": "linear", "patience": 0},
}
"""What older checkpoints leave out, as it was then; and what is "auto" where no rule decides it."""


def decide(
    recipe: Recipe, model: typing.Mapping[str, Any] | None = None, training: typing.Mapping[str, Any] | None = None
) -> ResolvedRecipe:
    """`recipe` with these values of its fields, which leave nothing "auto". Raises SettingsError where something is."""
    tables = {"model": {**vars(recipe.model), **(model or {})},
              "training": {**vars(recipe.training), **(training or {})}}  # fmt: skip
    for section, table in tables.items():
        table |= {name: value for name, value in _NOT_RECORDED[section].items() if table[name] is None}
    return ResolvedRecipe(
        recipe.text,
        ngram=recipe.ngram,
        task=recipe.task,
        name=recipe.name,
        model=ResolvedModel(**tables["model"]),
        training=ResolvedTraining(**tables["training"]),
    )
