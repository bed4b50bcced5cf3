"""Stop and resume: words, two layers, a plateau schedule.

A run in two parts ends with the same weights as one in a single part.

Expected: bit for bit the same weights and optimizer state, no pickle anywhere, and the best model beside the
last checkpoint.
"""

import tempfile
from pathlib import Path

import torch

import ostinato
from ostinato.training.checkpoint import load_checkpoint

SETTINGS = {
    "text.limit": 20_000,
    "model.layers": 2,
    "model.hidden_size": 48,
    "model.embedding_size": 32,
    "model.dropout": 0.5,
    "training.batch_size": 8,
    "training.window": 20,
    "training.evaluate_every": 0.25,
    "training.precision": "fp32",
}


def train(folder: Path, steps: int, *, resume: bool = False) -> ostinato.Model:
    return ostinato.train(
        "lyrics-zh",
        out=folder,
        recipe="words",
        steps=steps,
        settings=SETTINGS,
        resume=resume,
        device="cpu",
        progress=False,
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        whole, parts = Path(folder) / "whole", Path(folder) / "parts"
        train(whole, steps=24)
        train(parts, steps=11)
        print(f"stopped at step {load_checkpoint(parts / 'checkpoint').position.step}, within an epoch")
        model = train(parts, steps=24, resume=True)

        one, two = load_checkpoint(whole / "checkpoint"), load_checkpoint(parts / "checkpoint")
        same = all(torch.equal(tensor, two.tensors[name]) for name, tensor in one.tensors.items())
        print(f"resumed to step {two.position.step}: all {len(one.tensors)} tensors the same bit for bit: {same}")
        print("kinds of tensor:", ", ".join(sorted({name.split(".")[0] for name in one.tensors})))
        print("files:", ", ".join(sorted(f.name for f in (parts / "checkpoint").iterdir())))
        print(
            f"the best model is of step {two.position.best_step}:",
            ", ".join(sorted(f.name for f in model.path.iterdir())),
        )


if __name__ == "__main__":
    main()
