"""Processes that save, load, train and overwrite in one folder, for some minutes.

    python tests/soak_folders.py [MINUTES]

Prints one JSON object: how often each thing succeeded, how often it was refused because another process was at work,
and every other failure, of which there must be none. The exit code is 1 if there was one.
"""

import json
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from ostinato.bundle import read_bundle, write_bundle
from ostinato.errors import BusyError, OstinatoError, TrainingError
from ostinato.runs import train
from ostinato.settings import apply_overrides, load_recipe
from ostinato.text import build
from soaking import left_over, side_by_side

TOKENIZER = build("character", ["歌声歌声"])
TEXT = "the wind and the rain\n風と雨\n" * 200


def save(folder: Path, value: int) -> None:
    """A model whose every file says `value`."""
    tensors = {"a": np.full(20_000, value, np.float32)}
    config = {"kind": "recurrent", "value": value}
    write_bundle(folder, config=config, tokenizer=TOKENIZER, tensors=tensors, card=str(value))


def load(folder: Path) -> None:
    """Raises AssertionError for a mixture of two models."""
    bundle = read_bundle(folder)
    if bundle.kind == "recurrent":
        values = {bundle.config["value"], int(bundle.card), *np.unique(bundle.tensors["a"]).astype(int).tolist()}
        assert len(values) == 1, values


def work(
    what: str, folder: Path, text: Path, seconds: float, seed: int, results: "multiprocessing.Queue[Counter[str]]"
) -> None:
    """Do one thing again and again; count how it ended."""
    counts: Counter[str] = Counter()
    rng = random.Random(seed)
    recipe = apply_overrides(load_recipe("default"), ["ngram.smoothing=kneser-ney", "ngram.order=2"])
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if what == "load":
                load(folder / "saved")
                load(folder / "run" / "model")
            elif what == "save":
                save(folder / "saved", rng.randrange(1 << 20))
            else:
                train([str(text)], out=folder / "run", recipe=recipe, overwrite=what == "overwrite", progress=False)
            counts[f"{what}: done"] += 1
        except BusyError as error:
            named = "process" in str(error) and "\n" not in str(error)
            counts[f"{what}: refused, another process named" if named else f"{what}: FAILED {error}"] += 1
        except TrainingError as error:
            held = "already holds a run" in str(error)
            counts[f"{what}: refused, the folder holds a run" if held else f"{what}: FAILED {error}"] += 1
        except (OstinatoError, AssertionError, OSError) as error:
            counts[f"{what}: FAILED {type(error).__name__} {error}"] += 1
        if what in ("train", "overwrite"):
            time.sleep(rng.uniform(0, 0.05))
    results.put(counts)


def main(minutes: float) -> int:
    """Run all of them side by side."""
    with tempfile.TemporaryDirectory(prefix="ostinato-soak-") as name:
        folder = Path(name)
        (folder / "text.txt").write_text(TEXT, "utf-8")
        save(folder / "saved", 0)
        recipe = apply_overrides(load_recipe("default"), ["ngram.smoothing=kneser-ney", "ngram.order=2"])
        train([str(folder / "text.txt")], out=folder / "run", recipe=recipe, progress=False)
        jobs = ["save", "save", "load", "overwrite", "overwrite", "train"]
        calls = [(what, folder, folder / "text.txt", 60 * minutes, k) for k, what in enumerate(jobs)]
        total = side_by_side(work, calls)
        left = left_over(folder)
    print(json.dumps({**dict(sorted(total.items())), "left over": left}, indent=1, ensure_ascii=False))
    return 1 if left or any("FAILED" in name for name in total) else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0))
