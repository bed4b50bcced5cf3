"""From a trained network to a bundle: an observer that writes the model whenever it is the best so far."""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class _Best:
    """The best weights so far: when they were measured, and what the config says of them."""

    row: Row
    config: Mapping[str, Any]
    tensors: Mapping[str, NDArray[np.float32]]
    probe: Probe | None


class ModelWriter(Observer, ABC):
    """Saves the best model of a run as `folder`, with a card that says what is known of it."""

    def __init__(self, folder: Path, module: SavedModule, recipe: ResolvedRecipe, tokenizer: BaseTokenizer) -> None:
        self.folder, self.module, self.recipe, self.tokenizer = folder, module, recipe, tokenizer
        self._best: _Best | None = None

    def evaluated(self, row: Row, best: bool) -> None:
        """Save the weights now in the model, if they are the best. Raises BundleError; the old ones then stay."""
        if best:
            with activity("saving the model"):
                self._best = _Best(row, self._config(row), self.weights(), self.probe())
                self._save(self._best)

    def finished(self) -> None:
        """Save the best weights with what is measured only once: the test text, and what takes long.

        The best model may be one that was saved before this run was resumed, by a run that was killed before this.
        """
        best = self._best or self._saved()
        if best is None or not self.unmeasured(best.config):
            return
        config = dict(best.config)
        if tested := self.tested(best.tensors):
            report = config["evaluation"]
            config["evaluation"] = {k: report[k] for k in ("held-out",) if k in report} | {"test": tested} | report
        with activity("measuring int8 weights, saving the model"):
            measured, line = self.measured(config, best.tensors)
            self._save(dataclasses.replace(best, config=config | measured), line)

    def _saved(self) -> _Best | None:
        """The model in the folder; None where it is of another kind, such as a mixture."""
        recover_folder(self.folder)
        saved = read_bundle(self.folder)
        if saved.kind != self.tables()["kind"]:
            return None
        tensors = {name: np.array(saved.tensors[name]) for name in saved.tensors}  # its files are replaced
        done = saved.config["training"]
        row = Row(done["steps_done"], done["epochs_done"], done["seconds"], 0, math.nan, None, 0.0, 0.0)
        return _Best(row, saved.config, tensors, saved.probe)

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """What is saved."""
        return self.module.save_tensors()

    def probe(self) -> Probe | None:
        """What the module computes with the weights that it has."""
        return None

    def _config(self, row: Row) -> dict[str, Any]:
        return {
            **self.tables(),
            "model": {**dataclasses.asdict(self.recipe.model), "vocabulary_size": self.tokenizer.vocabulary_size},
            "training": self._training(row),
            "evaluation": self.evaluation(row),
            **({} if (file := cell_file(self.recipe.model.cell)) is None else {"cell_file": file}),
        }

    def _save(self, best: _Best, line: str = "") -> None:
        card = self.card(best.row, best.config)
        write_bundle(
            self.folder,
            config=dict(best.config),
            tokenizer=self.tokenizer,
            tensors=best.tensors,
            card="\n".join([*card, *(["", line] if line else [])]) + "\n",
            extra=self.extra,
            probe=best.probe,
        )

    @abstractmethod
    def tables(self) -> dict[str, Any]:
        """What the config says beside the model, its training and its evaluation: kind, text, task."""

    @abstractmethod
    def evaluation(self, row: Row) -> dict[str, Any]:
        """What was measured, each number by the split it was measured on."""

    @abstractmethod
    def card(self, row: Row, config: Mapping[str, Any]) -> list[str]:
        """The lines of the model's card, Markdown."""

    @abstractmethod
    def unmeasured(self, config: Mapping[str, Any]) -> bool:
        """Whether `config` lacks something that is measured once, when training is over."""

    def tested(self, tensors: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the model with these weights does on the test text or records; empty where there are none."""
        return {}

    def measured(self, config: dict[str, Any], tensors: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
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
