"""From a trained task model to a bundle: settings, classes, weights, and a card with what was measured."""

import dataclasses
import math
from collections import Counter
from pathlib import Path
from typing import Any

from ostinato.bundle import write_bundle
from ostinato.models.task_bundle import KIND
from ostinato.models.task_models import ForecastModel, TaskModel
from ostinato.runs.progress import duration
from ostinato.runs.task_data import SCORED, TaskData
from ostinato.settings import Recipe
from ostinato.text import BaseTokenizer
from ostinato.text.records import Records
from ostinato.training.metrics import Row

_TITLES = {
    "tag": "A tagger",
    "classify": "A classifier",
    "translate": "A translator",
    "next-line": "A writer of the next line",
    "forecast": "A forecaster",
}


class TaskWriter:
    """Saves the best model of a run as `folder`."""

    def __init__(
        self, folder: Path, model: TaskModel[Any], recipe: Recipe, records: Records, data: TaskData, features: int
    ) -> None:
        self.folder, self.model, self.recipe, self.records = folder, model, recipe, records
        self.data, self.features = data, features
        self.heldout_targets = data.heldout_targets()
        self.baseline = _baseline(model, data)

    def save(self, row: Row) -> None:
        """Write the bundle with the weights now in the model. Raises BundleError; the old one then stays."""
        tokenizer = self.model.tokenizer
        assert isinstance(tokenizer, BaseTokenizer)
        evaluation = self.evaluation(row)
        training = dataclasses.asdict(self.recipe.training)
        del training["precision"]
        done = {"steps_done": row.step, "epochs_done": round(row.epoch, 3), "seconds": round(row.seconds, 1)}
        sizes = {"train": len(self.data.train), "heldout": len(self.data.heldout)}
        config = {
            "kind": KIND,
            "task": {
                **dataclasses.asdict(self.recipe.task),
                "labels": list(self.model.labels),
                "features": self.features,
            },
            "model": {**dataclasses.asdict(self.recipe.model), "vocabulary_size": tokenizer.vocabulary_size},
            "text": {
                **dataclasses.asdict(self.recipe.text),
                "names": list(self.records.names),
                "fingerprint": self.records.fingerprint,
                **sizes,
            },
            "training": {**training, **done},
            "evaluation": evaluation,
        }
        write_bundle(
            self.folder,
            config=config,
            tokenizer=tokenizer,
            tensors=self.model.network.save_tensors(),
            card=self.card(row, evaluation),
        )

    def evaluation(self, row: Row) -> dict[str, dict[str, float]]:
        """What was measured, by the split it was measured on."""
        report: dict[str, dict[str, float]] = {}
        for split, name, loss in (("held-out", "heldout", row.heldout_loss), ("training", "training", row.train_loss)):
            values = {k.removeprefix(f"{name}_"): v for k, v in row.scores.items() if k.startswith(f"{name}_")}
            if loss is None or math.isnan(loss):
                continue
            if not row.scores:
                values = {"nats_per_token": loss, "perplexity": math.exp(min(loss, 700))}
                values |= {"tokens": self.heldout_targets} if name == "heldout" else {}
            else:
                values["loss"] = loss
            report[split] = values
        return report | self.baseline

    def card(self, row: Row, evaluation: dict[str, dict[str, float]]) -> str:
        """The model's card, Markdown."""
        m, task = self.recipe.model, self.recipe.task
        labels = self.model.labels
        lines = [
            f"# {_TITLES[task.name]} learnt from {', '.join(self.records.names)}",
            "",
            f"- task: {task.name}" + (f", {len(labels)} classes: {', '.join(labels[:12])}" if labels else "")
            + (" ..." if len(labels) > 12 else ""),
            f"- model: {m.shape}; {self.model.network.parameter_count:,} parameters",
            f"- records: {len(self.data.train):,} to learn from, {len(self.data.heldout):,} held out",
            f"- training: {row.step:,} steps, {row.epoch:.1f} epochs, {duration(row.seconds)}",
            "",
            "| measured on | measure | value |",
            "|---|---|---|",
            *(f"| {split} | {name} | {value:.5g} |" for split, found in evaluation.items()
              for name, value in found.items()),
            "",
            f"Scores on training records (at most {SCORED:,}) say how well they were learnt by heart. "
            "The saved weights are those that did best on the held-out records.",
            "",
            "Use it: `ostinato predict MODEL INPUT`.",
        ]  # fmt: skip
        return "\n".join(lines) + "\n"


def _baseline(model: TaskModel[Any], data: TaskData) -> dict[str, dict[str, float]]:
    """What can be had without learning: the commonest class, or the last season again."""
    if not len(data.heldout):
        return {}
    if isinstance(model, ForecastModel):
        naive = [model.network.naive(series) for series in data.heldout.inputs]
        name = "last season again" if model.task.season else "last value again"
        return {f"held-out, {name}": model.scores(naive, data.heldout.targets)}
    if not model.labels:
        return {}
    tags = model.task.name == "tag"
    flat = [tag for target in data.train.targets for tag in (target if tags else [target])]
    common = Counter(flat).most_common(1)[0][0]
    guesses = [[common] * len(t) if tags else common for t in data.heldout.targets]
    return {"held-out, commonest class": model.scores(guesses, data.heldout.targets)}
