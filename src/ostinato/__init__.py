"""ostinato: recurrent language models for your own words.

    import ostinato
    model = ostinato.train("lyrics.txt", minutes=3)
    print(model.write("分开", lines=8, temperature=0.8, seed=7))

Importing this package imports neither torch nor NumPy; a name that needs them is loaded when it is first used.
"""

from typing import TYPE_CHECKING

from ostinato.errors import (
    BundleError,
    GenerationError,
    MissingExtraError,
    OstinatoError,
    SettingsError,
    TextError,
    TrainingError,
    UsageError,
)
from ostinato.lazy import lazily

if TYPE_CHECKING:
    from ostinato.api import Model, load, train, train_task
    from ostinato.comparing import compare
    from ostinato.form import Form
    from ostinato.generation import Sampler, Stop, WriteRequest
    from ostinato.settings import Recipe

__version__ = "0.1.0"

__all__ = [
    "BundleError",
    "Form",
    "GenerationError",
    "MissingExtraError",
    "Model",
    "OstinatoError",
    "Recipe",
    "Sampler",
    "SettingsError",
    "Stop",
    "TextError",
    "TrainingError",
    "UsageError",
    "WriteRequest",
    "__version__",
    "compare",
    "load",
    "train",
    "train_task",
]

__getattr__ = lazily(
    __name__,
    {
        **dict.fromkeys(("Model", "load", "train", "train_task"), "ostinato.api"),
        "Recipe": "ostinato.settings",
        "compare": "ostinato.comparing",
        "Form": "ostinato.form",
        **dict.fromkeys(("Sampler", "Stop", "WriteRequest"), "ostinato.generation"),
    },
)


def __dir__() -> list[str]:
    return sorted(__all__)
