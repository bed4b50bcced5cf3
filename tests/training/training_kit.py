"""What the training tests share: a tiny model, a tiny text, a watcher that keeps everything."""

import numpy as np
import torch

from ostinato.models.language_model import LanguageModel
from ostinato.runs.language_data import LanguageData
from ostinato.settings import ModelSettings, ResolvedTraining
from ostinato.training.metrics import MetricsFile
from ostinato.training.observers import Observer
from ostinato.training.team import ALONE
from ostinato.training.trainer import Trainer

IDS = np.random.default_rng(0).integers(0, 3, 700).astype(np.uint16).repeat(2)
HELDOUT = np.random.default_rng(1).integers(0, 3, 60).astype(np.uint16).repeat(2)


class Watcher(Observer):
    """Keeps what it is told."""

    def __init__(self):
        self.losses, self.rows, self.notes = [], [], []

    def stepped(self, position, loss, progress):
        self.losses.append(loss)

    def evaluated(self, row, best):
        self.rows.append((row, best))

    def noted(self, text):
        self.notes.append(text)


def trainer(
    folder,
    *,
    model=None,
    watcher=None,
    heldout=HELDOUT,
    cell="lstm",
    backend="torch",
    dropout=True,
    team=ALONE,
    **settings,
):
    """A trainer of a very small model on a text where every token comes twice."""
    chosen = {"batch_size": 4, "window": 8, "learning_rate": 0.02, "steps": 30, "precision": "fp32", **settings}
    torch.manual_seed(0)
    if model is None:
        model = LanguageModel(
            ModelSettings(
                cell=cell,
                hidden_size=12,
                embedding_size=6,
                dropout=0.2 * dropout,
                weight_drop=0.1 * dropout,
                backend=backend,
            ),
            4,
        )
    chosen.setdefault("evaluate_every", 1.0)
    settings = ResolvedTraining(weight_decay=0.0, candidates=0, **chosen)
    return Trainer(
        model, LanguageData(model, IDS, heldout, settings), settings,
        folder=folder, device=torch.device("cpu"),
        observers=[MetricsFile(folder / "metrics.jsonl"), watcher or Watcher()],
        team=team,
    )  # fmt: skip


def weights(model):
    """All weights of a model in one array."""
    return np.concatenate([p.detach().numpy().ravel() for p in model.parameters()])
