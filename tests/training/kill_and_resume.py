"""Trains once undisturbed and once killed at random moments and resumed; prints a digest of both.

    python kill_and_resume.py TEXT FOLDER KILLS SEED

Prints one JSON object: {"kills": how many processes died, "saving": how many of them while a save was under way,
"whole" and "killed": digests of the last checkpoint's tensors and position}. Processes are forked from this one,
which has imported torch but not used it, so that a start costs milliseconds.
"""

import hashlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch  # noqa: F401 - imported before forking, on purpose

from ostinato.runs import train
from ostinato.settings import apply_overrides, load_recipe
from ostinato.training.checkpoint import load_checkpoint
from ostinato.training.metrics import read_metrics

SETTINGS = [
    "model.hidden_size=16", "model.embedding_size=8", "model.dropout=0.3", "model.weight_drop=0.2",
    "training.averaging=0.9",
    "training.steps=200", "training.batch_size=4", "training.window=8", "training.evaluate_every=0.05",
    "training.learning_rate=0.01", "training.precision=fp32",
]  # fmt: skip


def start(text: str, folder: Path) -> int:
    """Start or resume training in a new process; returns its id."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        recipe = apply_overrides(load_recipe("default"), SETTINGS)
        resume = (folder / "checkpoint").exists()
        train([text], out=folder, recipe=recipe, resume=resume, overwrite=not resume, progress=False)
        code = 0
    finally:
        os._exit(code)


def wait(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def running(process: int) -> bool:
    """Whether it has not ended; an ended one is left to be waited for."""
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def digest(folder: Path) -> str:
    checkpoint = load_checkpoint(folder / "checkpoint")
    sha = hashlib.sha256()
    for name in sorted(checkpoint.tensors):
        sha.update(name.encode() + checkpoint.tensors[name].numpy().tobytes())
    checkpoint.position.seconds = 0.0
    sha.update(json.dumps(checkpoint.position.to_json()).encode())
    return sha.hexdigest()


def main(text: str, folder: Path, kills: int, seed: int) -> None:
    rng, died, saving = random.Random(seed), 0, 0
    assert wait(start(text, folder / "whole")) == 0
    seconds = read_metrics(folder / "whole" / "metrics.jsonl")[-1]["seconds"]
    killed = folder / "killed"
    while True:
        process = start(text, killed)
        if died < kills:
            if rng.random() < 0.8:  # else it is killed while it starts
                resumed_at = len(read_metrics(killed / "metrics.jsonl"))
                while len(read_metrics(killed / "metrics.jsonl")) == resumed_at and running(process):
                    time.sleep(0.01)
            time.sleep(rng.uniform(0.0, seconds / kills))
            os.kill(process, signal.SIGKILL)
        code = wait(process)
        if code == 0:
            break
        assert code == -signal.SIGKILL, code
        died += 1
        saving += any(killed.glob(".*.new"))
    print(json.dumps({"kills": died, "saving": saving, "whole": digest(folder / "whole"), "killed": digest(killed)}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
