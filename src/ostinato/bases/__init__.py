"""The bundled base models, as package data: `base-en` and `base-zh`, saved models like any other (see docs/base.md).

Nothing is read here: a base is opened where a model of that name is asked for.
"""

from pathlib import Path

BASES = ("base-en", "base-zh")
"""Names of the bundled models; a folder of that name goes first."""


def base_folder(name: str) -> Path | None:
    """The folder of a bundled base; None where `name` is not one's."""
    return Path(__file__).parent / name if name in BASES else None
