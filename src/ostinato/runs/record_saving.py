"""How a task's model is saved: the network, or what does the same without one, whichever is better; and its card."""

import copy
import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from ostinato.bundle import Probe, rounded
from ostinato.cells import BUILT_IN
from ostinato.models.task_models import TaskModel
from ostinato.runs.record_data import SCORED, Part, TaskData
from ostinato.runs.saving import ModelWriter, loss_figures
from ostinato.settings import ResolvedRecipe
from ostinato.terminal import activity
from ostinato.text.records import Records
from ostinato.training.observers import Row

KIND = "task"
"""The kind of these bundles; which task it is stands in config["task"]["name"]."""

NETWORK = "network"
"""The method of a bundle that holds a network; those of before version 0.2 do not name it."""


@dataclass(frozen=True)
class Rival:
    """What does the same without a network. It stands beside it on the card, and is saved in its place where it is
    better.

    name: of the method. scores: on at most SCORED held-out records. wins: whether it is better than the network of a
    row.
    """

    name: str
    model: TaskModel[Any]
    scores: Mapping[str, float]
    wins: Callable[[Row], bool]


def chose_between(before: str, rival: str, described: Mapping[str, Any]) -> str:
    """What the card says of the held-out records after `before`, where they also chose between network and rival."""
    trusted = (
        "the test records chose nothing"
        if described.get("reports")
        else "with more records, half of those held out choose nothing and are reported; or give some with --test"
    )
    return (
        f"{before} They also chose between the network and {rival}, so their figures are slightly too good; {trusted}."
    )


class CardTask(Protocol):
    """What is asked of a task for its card: `record_task.RecordTask` says what each is."""

    title: ClassVar[str]

    def baseline(self, model: Any, data: TaskData) -> dict[str, dict[str, float]]: ...
    def measured(self, described: Mapping[str, Any]) -> dict[str, dict[str, Any]]: ...
    def explained(self, described: Mapping[str, Any]) -> str: ...
    def preferred(self, method: str, described: Mapping[str, Any]) -> str: ...


class RecordWriter(ModelWriter):
    """Saves the best model of a task, with its classes. described: what the checkpoint says of the run."""

    def __init__(
        self, folder: Path, task: CardTask, model: TaskModel[Any], recipe: ResolvedRecipe, records: Records,
        data: TaskData, features: int, test: Part | None = None, rival: Rival | None = None,
        described: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(folder, model.network, recipe, model.tokenizer)  # type: ignore[arg-type]
        self.task, self.model, self.records, self.data, self.features = task, model, records, data, features
        self.rival, self.described = rival, described or {}
        self.heldout_targets = data.heldout_targets()
        self.test = test
        self.baseline = task.baseline(model, data) if len(data.heldout) else {}
        self._winner: Rival | None = None

    def _config(self, row: Row) -> dict[str, Any]:
        """What is saved in the place of a network needs no cell of its maker's own."""
        config = super()._config(row)
        if self._winner is not None and config.pop("cell_file", None) is not None:
            config["model"]["cell"] = BUILT_IN[-1]
        return config

    def evaluated(self, row: Row, best: bool) -> None:
        """Save what is better, the network that was measured or its rival."""
        if best:
            wins = self.rival is not None and self.recipe.task.saved == "best" and self.rival.wins(row)
            self._winner = self.rival if wins else None
        super().evaluated(row, best)

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """Of the network or its rival."""
        return super().weights() if self._winner is None else self._winner.model.network.save_tensors()

    def unmeasured(self, config: Mapping[str, Any]) -> bool:
        """The test records' scores."""
        return self.test is not None and "test" not in config["evaluation"]

    def tested(self, tensors: Mapping[str, Any]) -> Mapping[str, Any]:
        """The saved model's scores on the test records, which nothing was chosen by."""
        if self.test is None:
            return {}
        with activity("scoring the test records"):
            if self.rival is not None and tensors.keys() != self.module.state_dict().keys():
                return self.test.scores(self.rival.model)
            self.module.load_tensors(tensors)
            return self.test.scores(self.model)

    def measured(self, config: dict[str, Any], tensors: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """The rival's scores on the test records beside the network's; of a rival that is saved, they are the model's.

        A network that was not saved has none, since a run that was killed at its end does not have it any more.
        """
        if self.rival is None or self.test is None or tensors.keys() != self.module.state_dict().keys():
            return {}, ""
        scores = self.test.scores(self.rival.model)
        return {"evaluation": config["evaluation"] | {f"test, {self.rival.name}": scores}}, ""

    def replaced(self) -> Sequence[str]:
        """What was saved in the place of the network, if anything was, in a line."""
        table = json.loads((self.folder / "config.json").read_text("utf-8"))["task"]
        method = table.get("method", NETWORK)
        if method == NETWORK:
            return ()
        return (
            f"saved: {method}, {self.task.preferred(method, self.described)}; --set task.saved=network saves the "
            "network anyway",
        )

    def probe(self) -> Probe:
        """The losses of a few records, computed in float32 on the CPU."""
        if self._winner is not None:
            return self._probe_of(self._winner.model)
        on_cpu = next(self.model.network.parameters()).device.type == "cpu"
        model = self.model if on_cpu else copy.deepcopy(self.model)
        model.network.cpu()
        return self._probe_of(model)

    @staticmethod
    def _probe_of(model: TaskModel[Any]) -> Probe:
        return Probe([], rounded([model.probe_losses()]))

    def tables(self) -> dict[str, Any]:
        """Kind, task and records."""
        return {
            "kind": KIND,
            "task": {
                **dataclasses.asdict(self.recipe.task),
                "labels": list(self.model.labels),
                "features": self.features,
                "method": NETWORK if self._winner is None else self._winner.name,
            },
            "text": {
                **{k: v for k, v in dataclasses.asdict(self.recipe.text).items() if not k.endswith("_files")},
                "names": list(self.records.names),
                "fingerprint": self.records.fingerprint,
                "train": len(self.data.train),
                "heldout": len(self.data.heldout),
                **({} if self.test is None else {"test": len(self.test)}),
            },
        }

    def evaluation(self, row: Row) -> dict[str, Any]:
        """The losses, the scores, the rival and the baseline; without an addition, a name is of the saved model."""
        report: dict[str, Any] = {}
        for split, name, loss in (("held-out", "heldout", row.heldout_loss), ("training", "training", row.train_loss)):
            if loss is None or math.isnan(loss):
                continue
            values: dict[str, Any]
            if row.scores:
                values = {k.removeprefix(f"{name}_"): v for k, v in row.scores.items() if k.startswith(f"{name}_")}
                values["loss"] = loss if math.isfinite(loss) else None
            else:
                values = dict(loss_figures(loss)) | ({"tokens": self.heldout_targets} if name == "heldout" else {})
            report[split] = values
        if self._winner is not None:
            report = {"held-out": dict(self._winner.scores)} | {f"{split}, {NETWORK}": v for split, v in report.items()}
        elif self.rival is not None:
            report[f"held-out, {self.rival.name}"] = dict(self.rival.scores)
        return self.task.measured(self.described) | report | self.baseline

    def card(self, row: Row, config: Mapping[str, Any]) -> list[str]:
        """Task, model, records, and a table of what was measured."""
        m, labels, method = self.recipe.model, self.model.labels, config["task"].get("method", NETWORK)
        network = f"{m.shape}; {self.model.network.parameter_count:,} parameters"
        return [
            f"# {self.task.title} learnt from {', '.join(self.records.names)}",
            "",
            f"- task: {self.recipe.task.name}"
            + (f", {len(labels)} classes: {', '.join(labels[:12])}" if labels else "")
            + (" ..." if len(labels) > 12 else ""),
            f"- model: {network}" if method == NETWORK
            else f"- model: {method}, instead of a network ({network}), which was no better",
            f"- records: {len(self.data.train):,} for training, {len(self.data.heldout):,} held out"
            + ("" if self.test is None else f", {len(self.test):,} for testing"),
            f"- training: {self.how_long(row)}",
            "",
            "| measured on | measure | value |",
            "|---|---|---|",
            *(f"| {split} | {name} | {'infinite' if value is None else f'{value:.5g}'} |"
              for split, found in config["evaluation"].items() for name, value in found.items()),
            "",
            f"Scores on training records (at most {SCORED:,}) show how well the model memorised them. "
            + self.task.explained(self.described),
            "",
            "Use it: `ostinato predict MODEL INPUT`.",
        ]  # fmt: skip
