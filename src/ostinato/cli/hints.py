"""What the user probably meant: known names that are close to an unknown one on the command line."""

import argparse
import dataclasses
import os
from pathlib import Path

from ostinato.errors import did_you_mean

_PATHS = ("model", "text", "what", "input", "heldout", "form")
_LOOKED_AT = 2000
"""At most this many names of a folder are compared."""


def hint(args: argparse.Namespace) -> str:
    """`: did you mean ...?` for the first setting, recipe or path that does not exist, else ""."""
    try:
        return _setting(args) or _recipe(args) or _path(args)
    except OSError:  # what cannot be looked at: the error itself is what counts
        return ""


def _setting(args: argparse.Namespace) -> str:
    from ostinato.settings import SECTIONS

    known = [f"{section}.{field.name}" for section, kind in SECTIONS.items() for field in dataclasses.fields(kind)]
    given = (text for option in ("set", "sweep") for text in getattr(args, option, None) or ())
    names = (text.partition("=")[0].strip() for text in given)
    return next((found for name in names if name not in known and (found := did_you_mean(name, known))), "")


def _recipe(args: argparse.Namespace) -> str:
    from ostinato.settings import recipe_names

    recipe = getattr(args, "recipe", None)
    if not recipe or Path(recipe).exists():
        return ""
    known = recipe_names()
    return "" if recipe in known else did_you_mean(recipe, known)


def _path(args: argparse.Namespace) -> str:
    bundled = ("lyrics-en", "lyrics-zh", "base-en", "base-zh")
    for name in _PATHS:
        given = getattr(args, name, None)
        for path in map(str, given if isinstance(given, list) else [given] if given else []):
            if path == "-" or path in bundled or os.path.lexists(path):
                continue
            folder = Path(path).parent
            try:
                beside = [
                    str(folder / entry.name) for entry, _ in zip(folder.iterdir(), range(_LOOKED_AT), strict=False)
                ]
            except OSError:
                beside = []
            return did_you_mean(path, [*bundled, *beside])
    return ""
