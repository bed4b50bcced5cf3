"""The exact state of a run on disk, from which training continues bit for bit. Never pickle."""

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ostinato.bundle import TensorFile, read_snapshot, recover_folder, tensor_writer, write_folder
from ostinato.errors import BundleError, TrainingError
from ostinato.training.schedules import Plateau

STATE, TENSORS = "state.json", "state.safetensors"
_STATE_LIMIT = 64 << 20


@dataclass
class Position:
    """Where a run stands: everything but the tensors. Randomness is a function of (seed, step), so none is kept."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    """Minibatches of this epoch that are done."""
    tokens: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    """Sum of the training loss, in nats, over `loss_tokens`, since the last evaluation or the epoch's start."""
    loss_tokens: int = 0
    best_loss: float = math.inf
    best_step: int = 0
    stale: int = 0
    """Evaluations since the best one."""
    row_sum: float = 0.0
    """The same over `row_tokens`, since the last row of metrics."""
    row_tokens: int = 0
    row_part: int = -1
    """The part of the run (of `trainer.ROWS`) that the last row was in."""
    skipped: int = 0
    """Minibatches whose loss or gradient was not finite."""
    skipped_in_a_row: int = 0
    plateau: Plateau = field(default_factory=Plateau)

    def to_json(self) -> dict[str, Any]:
        """JSON types only; infinities as strings."""
        data = dataclasses.asdict(self)
        return json.loads(json.dumps(data), parse_constant=str)  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Position":
        """The inverse of `to_json`."""
        values = dict(data)
        plateau = values.pop("plateau")
        values["best_loss"] = float(values["best_loss"])
        return cls(**values, plateau=Plateau(plateau["cuts"], plateau["stale"], float(plateau["best"])))


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name (model., optimizer., average., state.), the position, and what run it belongs to."""

    tensors: dict[str, torch.Tensor]
    position: Position
    run: dict[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint as `folder`, atomically. Raises BundleError when it cannot be written."""
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in checkpoint.tensors.items()}
    document = {"position": checkpoint.position.to_json(), "run": checkpoint.run}
    write_folder(
        folder,
        {
            STATE: (json.dumps(document, ensure_ascii=False) + "\n").encode("utf-8"),
            TENSORS: tensor_writer(arrays),
        },
    )


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint. Raises TrainingError when there is none, BundleError when it is damaged."""
    recover_folder(folder)
    if not folder.exists():
        raise TrainingError(f"nothing to resume: no checkpoint at {folder}; start without --resume")
    snapshot = read_snapshot(folder, required=(STATE, TENSORS))
    document = snapshot.document(STATE, limit=_STATE_LIMIT)
    try:
        position = Position.from_json(document["position"])
        run = document["run"]
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{folder / STATE} is not a checkpoint of this version ({error})") from None
    # copied, because the tensors of a file cannot be written to
    saved = TensorFile(folder / TENSORS, snapshot.files[TENSORS])
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in saved.items()}
    return Checkpoint(tensors, position, run)
