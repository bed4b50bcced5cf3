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
    from ostinato.api import Model, load, train

__version__ = "0.1.0"

__all__ = [
    "BundleError",
    "GenerationError",
    "MissingExtraError",
    "Model",
    "OstinatoError",
    "SettingsError",
    "TextError",
    "TrainingError",
    "UsageError",
    "__version__",
    "load",
    "train",
]

__getattr__ = lazily(__name__, {"Model": "ostinato.api", "load": "ostinato.api", "train": "ostinato.api"})


def __dir__() -> list[str]:
    return sorted(__all__)
