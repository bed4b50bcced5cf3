"""Four processes in one folder: one trains a network, one resumes, one overwrites, one loads; some are killed.

    python tests/soak_networks.py [MINUTES] [SEED]

Every attempt at training is a process of its own, and a third of them end by SIGKILL at any moment. Prints one JSON
object: how often each thing was done, killed, or refused because another process was at work, and every other failure,
of which there must be none: no load fails, no checkpoint is broken, every refusal is one line. The exit code is 1 if
there was one.
"""

import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch  # noqa: F401 - imported before forking, so that a start costs milliseconds

from ostinato.bundle import read_bundle, read_snapshot
from ostinato.errors import BundleError, BusyError, OstinatoError, TrainingError
from ostinato.runs import train
from ostinato.runtime import load
from ostinato.settings import apply_overrides, load_recipe
from soaking import left_over, side_by_side

TEXT = "the wind and the rain\n風と雨\n" * 100
JOBS = ("train", "resume", "overwrite", "load")
EXPECTED = {
    "train": ("already holds a run",),
    "resume": ("nothing to resume", "cannot resume with another recipe"),
    "overwrite": (),
}
"""What is refused because of what the others have left in the folder."""


def attempt(what: str, folder: Path, text: Path, steps: int, chance: random.Random) -> str:
    """Train once, in a process of its own; how it ended."""
    read, write = os.pipe()
    process = os.fork()
    if not process:
        os.close(read)
        said = b"FAILED it ended early"
        try:
            said = _train(what, folder, text, steps).encode()
        except BaseException as error:
            said = f"FAILED {type(error).__name__} {error}".encode()
        finally:
            os.write(write, said)
            os._exit(0)
    os.close(write)
    if chance.random() < 1 / 3:
        time.sleep(chance.uniform(0, 1.5))
        os.kill(process, signal.SIGKILL)
    with open(read, "rb") as pipe:
        said = pipe.read()
    os.waitpid(process, 0)
    return said.decode() or "killed"


def _train(what: str, folder: Path, text: Path, steps: int) -> str:
    settings = [
        "model.hidden_size=8", "model.embedding_size=4", "training.batch_size=2", "training.window=8",
        "training.evaluate_every=0.05", "training.precision=fp32", f"training.steps={steps}",
    ]  # fmt: skip
    recipe = apply_overrides(load_recipe("default"), settings)
    try:
        train(
            [str(text)], out=folder, recipe=recipe, progress=False,
            resume=what == "resume", same_recipe=False, overwrite=what == "overwrite",
        )  # fmt: skip
        return "done"
    except BusyError as error:
        named = "process" in str(error) and "\n" not in str(error)
        return "refused, another process named" if named else f"FAILED {error}"
    except TrainingError as error:
        said = [words for words in EXPECTED[what] if words in str(error) and "\n" not in str(error)]
        return f"refused, {said[0]}" if said else f"FAILED {error}"


def look(folder: Path, counts: "Counter[str]") -> None:
    """Load the model and score with it; read the checkpoint, if there is one."""
    model = load(read_bundle(folder / "model"))
    if not np.isfinite(model.score(np.arange(model.vocabulary_size, dtype=np.int64))).all():
        counts["load: FAILED a score that is no number"] += 1
    counts["load: models"] += 1
    try:
        read_snapshot(folder / "checkpoint")
        counts["load: checkpoints"] += 1
    except BundleError as error:
        if "damaged" in str(error) or "manifest" in str(error):
            counts[f"load: FAILED {error}"] += 1
        else:
            counts["load: no checkpoint at the moment"] += 1


def work(what: str, folder: Path, text: Path, seconds: float, seed: int, results: Any) -> None:
    """Do one thing again and again; count how it ended."""
    counts: Counter[str] = Counter()
    chance = random.Random(f"{what} {seed}")
    end = time.monotonic() + seconds
    steps = 20
    while time.monotonic() < end:
        if what == "load":
            try:
                look(folder, counts)
            except (OstinatoError, OSError) as error:
                counts[f"load: FAILED {type(error).__name__} {error}"] += 1
            time.sleep(0.002)  # the others have work to do
            continue
        steps = steps + 10 if what == "resume" else chance.choice((10, 40, 80))
        counts[f"{what}: {attempt(what, folder, text, steps, chance)}"] += 1
        time.sleep(chance.uniform(0, 0.3))
    results.put(counts)


def main(minutes: float, seed: int) -> int:
    """Run all of them side by side; a last run must find the folder in order."""
    with tempfile.TemporaryDirectory(prefix="ostinato-soak-") as name:
        folder, text = Path(name) / "run", Path(name) / "text.txt"
        text.write_text(TEXT, "utf-8")
        assert attempt("train", folder, text, 10, random.Random(2)) == "done"
        total = side_by_side(work, [(job, folder, text, 60 * minutes, seed) for job in JOBS])
        look(folder, total)
        ended = _train("overwrite", folder, text, 10)
        total[f"at the end, overwrite: {ended}"] += 1
        look(folder, total)
        left = left_over(folder)
    print(json.dumps({**dict(sorted(total.items())), "left over": left}, indent=1, ensure_ascii=False))
    return 1 if left or ended != "done" or any("FAILED" in name for name in total) else 0


if __name__ == "__main__":
    sys.exit(main(float((sys.argv[1:] or ["10"])[0]), int((sys.argv[2:] or ["0"])[0])))
