"""From a trained network to a bundle: an observer that writes the model whenever it is the best so far."""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.bundle import Probe, read_bundle, recover_folder, write_bundle
from ostinato.cells import cell_file
from ostinato.evaluation import perplexity
from ostinato.models.saved import SavedModule
from ostinato.runs.progress import duration
from ostinato.settings import ResolvedRecipe
from ostinato.terminal import activity
from ostinato.text import BaseTokenizer
from ostinato.training.observers import Observer, Row


class ModelWriter(Observer, ABC):
    """Saves the best model of a run as `folder`, with a card that says what is known of it."""

    measures: bool = False
    """Whether `measured` has something to say when training is over."""
    last: str = ""
    """The field of the config that `measured` always adds: a saved model without it was killed before that."""

    def __init__(self, folder: Path, module: SavedModule, recipe: ResolvedRecipe, tokenizer: BaseTokenizer) -> None:
        self.folder, self.module, self.recipe, self.tokenizer = folder, module, recipe, tokenizer
        self._best: tuple[Row, dict[str, NDArray[np.float32]], Probe | None] | None = None

    def evaluated(self, row: Row, best: bool) -> None:
        """Save the weights now in the model, if they are the best. Raises BundleError; the old ones then stay."""
        if best:
            with activity("saving the model"):
                self._best = row, self.module.save_tensors(), self.probe()
                self._save(*self._best, finished=False)

    def finished(self) -> None:
        """Save the best weights with what is measured only once because it takes long."""
        if not self.measures:
            return
        with activity("measuring int8 weights, saving the model"):
            if self._best is not None:
                self._save(*self._best, finished=True)
            else:
                self._finish_saved()

    def _finish_saved(self) -> None:
        """The best model is one that was saved before this run was resumed: it may have been killed before this."""
        recover_folder(self.folder)
        saved = read_bundle(self.folder)
        if not self.last or saved.kind != self.tables()["kind"] or self.last in saved.config:
            return
        tensors = {name: np.array(saved.tensors[name]) for name in saved.tensors}
        measured, line = self.measured(dict(saved.config), tensors)
        write_bundle(
            self.folder,
            config={**saved.config, **measured},
            tokenizer=self.tokenizer,
            tensors=tensors,
            card=f"{saved.card}\n{line}\n",
            extra=self.extra,
            probe=saved.probe,
        )

    def probe(self) -> Probe | None:
        """What the module computes with the weights that it has."""
        return None

    def _save(self, row: Row, tensors: dict[str, NDArray[np.float32]], probe: Probe | None, *, finished: bool) -> None:
        evaluation = self.evaluation(row)
        config = {
            **self.tables(),
            "model": {**dataclasses.asdict(self.recipe.model), "vocabulary_size": self.tokenizer.vocabulary_size},
            "training": self._training(row),
            "evaluation": evaluation,
            **({} if (file := cell_file(self.recipe.model.cell)) is None else {"cell_file": file}),
        }
        card = self.card(row, evaluation)
        measured, line = self.measured(config, tensors) if finished else ({}, "")
        write_bundle(
            self.folder,
            config=config | measured,
            tokenizer=self.tokenizer,
            tensors=tensors,
            card="\n".join([*card, *(["", line] if line else [])]) + "\n",
            extra=self.extra,
            probe=probe,
        )

    @abstractmethod
    def tables(self) -> dict[str, Any]:
        """What the config says beside the model, its training and its evaluation: kind, text, task."""

    @abstractmethod
    def evaluation(self, row: Row) -> dict[str, Any]:
        """What was measured, each number by the split it was measured on."""

    @abstractmethod
    def card(self, row: Row, evaluation: dict[str, Any]) -> list[str]:
        """The lines of the model's card, Markdown."""

    def measured(self, config: dict[str, Any], tensors: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """What else is measured of a model before it is saved: fields of the config, and a line of the card."""
        return {}, ""

    @property
    def extra(self) -> Mapping[str, bytes]:
        """Files of the model's kind."""
        return {}

    def _training(self, row: Row) -> dict[str, Any]:
        """The training settings (not those of the machine) and how far the run had come."""
        settings = dataclasses.asdict(self.recipe.training)
        del settings["precision"]
        return {
            **settings,
            "steps_done": row.step,
            "epochs_done": round(row.epoch, 3),
            "seconds": round(row.seconds, 1),
        }

    @staticmethod
    def how_long(row: Row) -> str:
        """`1,200 steps, 3.1 epochs, 2:05`."""
        return f"{row.step:,} steps, {row.epoch:.1f} epochs, {duration(row.seconds)}"


def loss_figures(loss: float) -> dict[str, float | None]:
    """A mean loss, and its perplexity: null where it is infinite, as JSON has no infinity."""
    value = perplexity(loss)
    return {"nats_per_token": loss if math.isfinite(loss) else None, "perplexity": None if math.isinf(value) else value}
