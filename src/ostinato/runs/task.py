"""A whole run of a task: from records to a model on disk, with the trainer, folder and resume of `runs.language`."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ostinato.errors import UsageError
from ostinato.layers import start_output_bias
from ostinato.models.device import prepare_torch, resolve_device
from ostinato.models.task_bundle import build_task_model
from ostinato.models.task_models import ForecastModel, TaskModel, TranslateModel
from ostinato.runs.folder import check_folder, empty_folder
from ostinato.runs.language import Result, result_of, resumed_recipe, settle, stop_on_signals
from ostinato.runs.picture import LossPicture
from ostinato.runs.progress import Progress, Silent
from ostinato.runs.task_data import Part, TaskData, divide
from ostinato.runs.task_defaults import resolve
from ostinato.runs.task_saving import TaskWriter
from ostinato.settings import Recipe, to_toml
from ostinato.text import BaseTokenizer, build
from ostinato.text.records import Records
from ostinato.training.checkpoint import load_checkpoint
from ostinato.training.metrics import Row
from ostinato.training.trainer import Trainer


def train_task(
    records: Records,
    *,
    out: Path,
    recipe: Recipe,
    device: str = "auto",
    resume: bool = False,
    same_recipe: bool = True,
    overwrite: bool = False,
    progress: bool = True,
) -> Result:
    """Train the model of `recipe.task` on records into the folder `out`: as `runs.language.train`, but for `text/`.

    Raises UsageError, TextError, SettingsError, TrainingError, BundleError.
    """
    if recipe.task.name == "language":
        raise UsageError("task.name is language: name another task, or train on texts")
    prepare_torch()
    watcher = Progress() if progress else Silent()
    check_folder(out, resume=resume, overwrite=overwrite)
    where = resolve_device(device)
    recorded = load_checkpoint(out / "checkpoint").run if resume else None
    if recorded is not None:
        recipe = resumed_recipe(recipe, recorded, same_recipe)
    for note in records.notes:
        watcher.noted(note)
    train, heldout = divide(records, recipe.task, recipe.text.heldout)
    resolved = resolve(recipe, len(train))
    resolved, settings, run = settle(recipe, resolved, records.fingerprint, recorded, where, watcher)

    torch.manual_seed(settings.seed)
    model, features = _build(records, train, resolved)
    model.network.to(where)
    data = TaskData(model, train, heldout, settings)
    if isinstance(model, TranslateModel):
        bias = model.network.head.bias
        start_output_bias(bias, data.target_counts(len(bias)), resolved.model.initialisation)
    writer = TaskWriter(out / "model", model, resolved, records, data, features)
    recorder = _Recorder(watcher, writer, out, resolved.task.name)
    trainer = Trainer(model.network, data, settings, folder=out, device=where, watcher=recorder, run=run)
    if overwrite:
        empty_folder(out)
    (out / "recipe.toml").write_text(to_toml(resolved), "utf-8")
    watcher.noted(
        f"{resolved.task.name}: {len(train):,} records to learn from, {len(heldout):,} held out; "
        f"{resolved.model.shape}, {model.network.parameter_count:,} parameters, {settings.precision} on {where}"
    )
    if resume:
        trainer.resume()
        watcher.noted(f"resumed at step {trainer.position.step}")
    with stop_on_signals(trainer) as received:
        outcome = trainer.train()
    recorder.finish()
    return result_of(out, outcome, received)


def _build(records: Records, train: Part, recipe: Recipe) -> tuple[TaskModel[Any], int]:
    """The new model, and the width of its input vectors. It learns vocabulary and scaling from the training part; the
    classes are all there are, so that a rare one is known even where it is held out."""
    task, first = recipe.task, train.inputs[0]
    numeric = isinstance(first, np.ndarray)
    features = first.shape[1] if numeric and first.ndim == 2 else 0
    tokenizer = build("byte", []) if numeric else _tokenizer(train, recipe)
    labels: list[str] = []
    if task.name == "classify":
        labels = sorted(set(records.targets))
    elif task.name == "tag":
        labels = sorted({tag for target in records.targets for tag in target})
    model = build_task_model(task, recipe.model, tokenizer, labels=labels, features=features)
    if isinstance(model, ForecastModel):
        series = records.inputs[0][: len(train) + task.history + task.horizon - 1]
        model.network.check(series)
        model.network.standardise(series)
    elif features:
        model.network.encoder.standardise(np.concatenate(list(train.inputs)))
    return model, features


def _tokenizer(train: Part, recipe: Recipe) -> BaseTokenizer:
    pieces = ["".join(value) if isinstance(value, list) else value for value in train.inputs]
    if recipe.task.name in ("translate", "next-line"):
        pieces += train.targets
    return build(recipe.text.tokenizer, (f"{piece}\n" for piece in pieces), recipe.text.min_count)


class _Recorder:
    """Passes events on to the progress display and saves the best model."""

    def __init__(self, watcher: Progress | Silent, writer: TaskWriter, out: Path, task: str) -> None:
        self.watcher, self.writer = watcher, writer
        unit = "squared error, scaled" if task == "forecast" else "nats per target"
        self.picture = LossPicture(out, watcher.noted, title=f"{task}: {', '.join(writer.records.names)}", unit=unit)
        self.stepped, self.noted = watcher.stepped, watcher.noted

    def evaluated(self, row: Row, best: bool) -> None:
        """Show and save."""
        self.watcher.evaluated(row, best)
        if best:
            self.writer.save(row)

    def finish(self) -> None:
        """The picture of the losses; the display is done."""
        self.picture.draw()
        self.watcher.finished()
