"""The settings of a run: dataclasses that a recipe is read into, checked against, and written from.

A recipe is a TOML file with the tables `[text]`, `[model]`, `[training]`, `[ngram]` and `[task]`. Where a field allows
it, the value "auto" (None in Python) leaves the choice to the program, which decides by the corpus and the time given.
"""

from ostinato.settings.reading import (
    SECTIONS,
    apply_overrides,
    from_mapping,
    load_recipe,
    recipe_from_mapping,
    recipe_names,
    recorded_settings,
    to_mapping,
    to_toml,
    with_budget,
)
from ostinato.settings.resolved import ResolvedModel, ResolvedRecipe, ResolvedTraining, decide
from ostinato.settings.sections import (
    BACKENDS,
    CELLS,
    COMPRESSIONS,
    INITIALISATIONS,
    MIXTURES,
    OPTIMIZERS,
    OWN_CELL,
    POOLINGS,
    PRECISIONS,
    SAMPLINGS,
    SCHEDULES,
    SMOOTHINGS,
    TASKS,
    TOKENIZERS,
    VOCABULARIES,
    ModelSettings,
    NgramSettings,
    Recipe,
    TaskSettings,
    TextSettings,
    TrainingSettings,
)

__all__ = [
    "BACKENDS", "CELLS", "COMPRESSIONS", "INITIALISATIONS", "MIXTURES", "OPTIMIZERS", "OWN_CELL", "POOLINGS",
    "PRECISIONS", "SAMPLINGS", "SCHEDULES", "SECTIONS", "SMOOTHINGS", "TASKS", "TOKENIZERS", "VOCABULARIES",
    "ModelSettings", "NgramSettings", "Recipe", "ResolvedModel", "ResolvedRecipe", "ResolvedTraining", "TaskSettings",
    "TextSettings", "TrainingSettings", "apply_overrides", "decide", "from_mapping", "load_recipe",
    "recipe_from_mapping", "recipe_names", "recorded_settings", "to_mapping", "to_toml", "with_budget",
]  # fmt: skip
