"""Which saved model a path means, and what is said where it means none."""

import contextlib
import itertools
from pathlib import Path

from ostinato.bases import base_folder
from ostinato.bundle.folder import recover_folder
from ostinato.errors import MissingModelError
from ostinato.files import parse_json, read_regular

_SWEEP = "sweep.json"
"""In the folder of a sweep: its table, which names the best of its runs."""
_LOOKED_AT, _NAMED = 2000, 3
"""At most so many entries of a folder are looked at, and so many of its models are named."""


def find_bundle(path: Path) -> Path:
    """The bundle meant by `path`: the folder itself, `model` inside the output folder of a training run, or a bundled
    base by its name, where there is no such folder.

    Raises BundleError when there is none; of a folder of several runs it says which models are in it.
    """
    for folder in (path, path / "model"):
        recover_folder(folder)
        if (folder / "config.json").is_file():
            return folder
    if not path.exists():
        if (bundled := base_folder(str(path))) is not None:
            return bundled
        raise MissingModelError(
            f"no model at {path}: the folder does not exist; train one with `ostinato train TEXT -o {path}`"
        )
    if inside := _models_inside(path):
        raise MissingModelError(_one_of(path, inside))
    what = "it holds no config.json" if path.is_dir() else "it is a file, and a model is a folder"
    raise MissingModelError(f"no model at {path}: {what}; give a folder that `ostinato train -o` made")


def _models_inside(path: Path) -> list[str]:
    """The names of the folders in `path` that are models, or runs with one."""
    try:
        entries = sorted(itertools.islice(path.iterdir(), _LOOKED_AT))
        return [
            entry.name
            for entry in entries
            if any((folder / "config.json").is_file() for folder in (entry, entry / "model"))
        ]
    except OSError:
        return []


def _one_of(path: Path, inside: list[str]) -> str:
    """The message for a folder with models in folders of their own."""
    best, value = _best(path)
    named = ", ".join(inside[:_NAMED]) + (f" and {len(inside) - _NAMED} more" if len(inside) > _NAMED else "")
    models = "a model" if len(inside) == 1 else f"{len(inside)} models"
    what = f"no model at {path} itself: it holds {models}, {named}"
    if best in inside:
        return f"{what}; give the best by the held-out text ({value}), {path / best}, or another one"
    return f"{what}; give {'it' if len(inside) == 1 else 'one of them'}, such as {path / inside[0]}"


def _best(path: Path) -> tuple[str, str]:
    """The folder of a sweep's best run and the figure that says so, `perplexity 12.3`; empty where none is known."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        best = parse_json(read_regular(path / _SWEEP, limit=64 << 20))["best"]
        return str(best["folder"]), f"{str(best['figure']).replace('_', ' ')} {float(best['value']):.4g}"
    return "", ""
