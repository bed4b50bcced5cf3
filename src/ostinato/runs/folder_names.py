"""What in an output folder is a run's: the names that runs give, and whether what bears one was made by a run."""

import contextlib
import os
from pathlib import Path

from ostinato.bundle import MANIFEST, RUN_LOCK, discard_folder, first_stranger, tidy_folder
from ostinato.files import is_unique, parse_json, read_regular
from ostinato.settings import TOKENIZERS

MARK = ".run.json"
"""In every folder that a run fills: the files that a run makes there."""
COMPARISON = ".comparison"
"""An empty file in every folder that a comparison fills: the networks in it are the comparison's, too."""
NETWORK = "network"
"""Where a run whose `model/` is a mixture keeps the network alone, as a comparison does: `network/model`."""
OTHERS = ("heldout", "test")
"""Where a run keeps the ids of texts that it was given beside the one it learns from."""
OWN = ".part-of-run"
"""An empty file in those folders: they are the run's own."""
PART = ".part-of-mixture"
"""An empty file in `network/`: the network in it is the mixture's."""
MARKS = (MARK, COMPARISON, OWN, PART)
"""The hidden files that stay in the folders of a run that has ended."""
ASIDE, WAS, NEW = ".replaced", ".was.json", ".new"
PROBE = ".writable."

FILES = ("recipe.toml", "metrics.jsonl", "samples.jsonl", "loss.svg", "loss.png")
COMPARED_FILES = ("compare.json", "compare.csv", "compare.svg", "compare.png")
SAVED = ("model", "checkpoint")
_BESIDE = frozenset(f".{name}.{what}" for name in SAVED for what in ("lock", "new", "old"))
"""What killed saves leave in a fixed place: locks, and the half-built folders of version 0.1.0."""
CORPORA = ("text", "heldout", "test")
RUNS = ("window", "network", "adapting")
IN_CORPUS = ("train.ids", "heldout.ids", "corpus.json", "suffixes.u32")


def made_files(out: Path) -> set[str]:
    """The single files in `out` that a run made: those its mark lists; without a mark, the usual ones of a run of
    version 0.1.0, if it is one."""
    with contextlib.suppress(OSError, ValueError):
        files = parse_json(read_regular(out / MARK, limit=1 << 16)).get("files")
        return {name for name in files if isinstance(name, str)} if isinstance(files, list) else set()
    old = (out / COMPARISON).exists() or any((out / name / MANIFEST).is_file() for name in SAVED)
    return {*FILES, *COMPARED_FILES} if old or _is_metrics(out / "metrics.jsonl") else set()


def _is_metrics(path: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return "step" in parse_json(read_regular(path, limit=1 << 26).split(b"\n", 1)[0])
    return False


def find_stranger(out: Path) -> str | None:
    """The first thing under a name of ours in `out` that no run made, as a path inside it."""
    made = made_files(out)
    name: str
    for name in [*FILES, *(COMPARED_FILES if (out / COMPARISON).exists() else ())]:
        if os.path.lexists(out / name) and name not in made:
            return name
    for name in own_folders(out):
        folder = out / name
        if not os.path.lexists(folder):
            continue
        inside = "" if not folder.is_dir() else _stranger_inside(folder, name)
        if inside is not None:
            return f"{name}/{inside}" if inside else name
    return None


def _stranger_inside(folder: Path, name: str) -> str | None:
    if name in SAVED:
        return first_stranger(folder)
    if name in CORPORA:
        known = {*IN_CORPUS, OWN}
    else:
        known = {*FILES, *COMPARED_FILES, *own_folders(folder), *MARKS, ASIDE, RUN_LOCK}
    inside = sorted(entry.name for entry in folder.iterdir() if not is_left_over(entry.name))
    unknown: str | None = next((entry for entry in inside if entry not in known), None)
    return unknown if unknown or name in CORPORA else find_stranger(folder)


def is_left_over(name: str) -> bool:
    """What a killed process was writing, or held."""
    return name.startswith((".part.", ".suffixes.", PROBE)) or is_unique(name) or name in _BESIDE


def own_folders(out: Path) -> list[str]:
    """The names of folders that the run in `out` makes; networks and tokenizers go where a comparison made them."""
    if not (out / COMPARISON).exists():
        others = [name for name in OTHERS if (out / name / OWN).is_file()]
        return [*SAVED, "text", *others, *([NETWORK] if (out / NETWORK / PART).is_file() else [])]
    return [*SAVED, *CORPORA, *RUNS, *(name for name in TOKENIZERS if (out / name / COMPARISON).exists())]


def remove(path: Path) -> None:
    """Remove what a run made under this name, and what its saves left; anything else in it stays. Never raises."""
    with contextlib.suppress(OSError):
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
        elif (path / MANIFEST).is_file():
            discard_folder(path)
        else:
            for name in (*IN_CORPUS, *FILES, *COMPARED_FILES, RUN_LOCK):
                (path / name).unlink(missing_ok=True)
            for name in SAVED:
                tidy_folder(path / name)
            for entry in sorted(path.iterdir()):
                if entry.name in (*SAVED, *CORPORA, *RUNS, *TOKENIZERS, ASIDE):
                    remove(entry)
                elif is_left_over(entry.name) and not entry.is_dir():
                    entry.unlink()
            for name in (*MARKS, WAS):  # as long as anything is there, they say what it is
                (path / name).unlink(missing_ok=True)
            path.rmdir()
