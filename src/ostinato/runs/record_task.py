"""What all tasks have in common that learn from records; and their models, from a saved bundle."""

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ostinato.bundle import Bundle, TaskConfig, check_finite, check_tensors, compare_outputs, rounded, task_config
from ostinato.errors import BundleError, OstinatoError, SettingsError, UsageError, counted
from ostinato.models.task_models import TaskModel
from ostinato.runs.finding import named_task
from ostinato.runs.network import Built, NetworkTask, Settled
from ostinato.runs.picture import LossPicture
from ostinato.runs.record_data import Part, TaskData, divide
from ostinato.runs.record_saving import KIND, NETWORK, RecordWriter, Rival
from ostinato.runs.task import Run
from ostinato.runs.texts import check_apart
from ostinato.settings import (
    ModelSettings,
    Recipe,
    ResolvedRecipe,
    TaskSettings,
    TextSettings,
    decide,
    recorded_settings,
)
from ostinato.text import BaseTokenizer, build
from ostinato.text.records import Records
from ostinato.training.observers import Observer
from ostinato.training.team import ALONE, Team

_STEPS_BETWEEN_EVALUATIONS = 20
_MANY_HELD_OUT = 40


@dataclass(frozen=True)
class Defaults:
    """What "auto" means for a task."""

    hidden_size: int
    embedding_size: int
    dropout: float
    batch_size: int
    learning_rate: float
    epochs: float


@dataclass(frozen=True)
class Divided:
    """Records: all, to learn from, held out, and of files to test on. beside: fingerprints of the files' records."""

    records: Records
    train: Part
    heldout: Part
    test: Part | None = None
    beside: tuple[str, ...] = ()


class RecordTask(NetworkTask):
    """A task that learns from records. What differs from task to task is asked of a subclass in `tasks/`."""

    title: ClassVar[str]
    """What its card calls the model."""

    defaults: ClassVar[Defaults]

    unit: ClassVar[str] = "nats per target"
    """Of its loss."""

    takes_files: ClassVar[bool] = True
    """Whether files of their own can be held out and tested on."""

    reports: ClassVar[bool] = False
    """Whether a half of the held-out records, where they are many, chooses nothing: the card's test figures."""

    large: ClassVar[bool] = False
    """Whether its matrix products are large enough that another precision than fp32 is worth a thought."""

    @abstractmethod
    def records(self, paths: Sequence[str], task: TaskSettings, text: TextSettings, **options: Any) -> Records:
        """Read files; options: answers (False: what is to be predicted may be absent), encoding. Raises TextError."""

    @abstractmethod
    def pieces(self, train: Part) -> list[str]:
        """The texts that the vocabulary is made from."""

    @abstractmethod
    def model(
        self, task: TaskSettings, model: ModelSettings, tokenizer: BaseTokenizer, labels: Sequence[str], features: int
    ) -> TaskModel[Any]:
        """A new model with weights from torch's global random generator.

        labels: the classes or tags. features: the width of a step where inputs are vectors, 0 where they are texts.
        """

    def parts(self, records: Records, task: TaskSettings, share: float) -> tuple[Part, Part]:
        """To learn from, and held out: a share of the groups."""
        return divide(records, share)

    def labels(self, records: Records) -> list[str]:
        """The classes in order, of a task that has them."""
        return []

    def features(self, train: Part) -> int:
        """The width of a step where inputs are vectors, 0 where they are not."""
        return 0

    def prepare(self, model: Any, records: Records, data: TaskData, initialisation: str) -> None:
        """What a new model takes from its data before it learns, such as how numbers are scaled."""

    def baseline(self, model: Any, data: TaskData) -> dict[str, dict[str, float]]:
        """What can be had without learning; asked only where something is held out."""
        return {}

    def rival(self, model: Any, records: Records, data: TaskData, described: Mapping[str, Any]) -> Rival | None:
        """What needs no network, learnt from the same data; asked only where something is held out.

        described: what the checkpoint says of the run.
        """
        return None

    def rival_model(self, method: str, bundle: Bundle, task: TaskSettings, described: TaskConfig) -> TaskModel[Any]:
        """The saved model of a rival, before it has its tensors. Raises BundleError for an unknown method."""
        raise BundleError(f"task.method is {method!r:.60}, which this version does not know for {task.name}")

    def measured(self, described: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Figures of the card that come before those of the training, by what they were measured on."""
        return {}

    def explained(self, described: Mapping[str, Any]) -> str:
        """What the card says of its figures."""
        return "The saved weights are those that did best on the held-out records."

    def preferred(self, method: str, described: Mapping[str, Any]) -> str:
        """Why `method` was saved in the place of the network: a clause after its name."""
        return "which does as well or better here"

    def read(self, run: Run) -> Records:
        """The records in the files, or those that were given."""
        if isinstance(run.sources, Records):
            return run.sources
        if run.team is not None and "-" in run.sources:
            raise UsageError("several processes cannot all read the records from standard input: give a file")
        return self.records(run.sources, run.recipe.task, run.recipe.text, encoding=run.encoding)

    def divide(self, run: Run, read: Records) -> Divided:
        """By `parts`; files of their own take the place of a share that is held out."""
        text = run.recipe.text
        if not (text.heldout_files or text.test_files):
            train, heldout = self.parts(read, run.recipe.task, text.heldout)
            if not self.reports or len(heldout) < _MANY_HELD_OUT or (run.recorded and not run.recorded.get("reports")):
                return Divided(read, train, heldout)
            choosing, test = (Part(heldout.inputs[k::2], heldout.targets[k::2]) for k in (0, 1))
            return Divided(read, train, choosing, test)
        if not self.takes_files:
            raise UsageError(
                f"{run.recipe.task.name} holds out the last values of its series: leave out --heldout, --test"
            )
        check_apart(run)
        train, heldout = self.parts(read, run.recipe.task, 0.0 if text.heldout_files else text.heldout)
        others = {
            name: self.records(list(files), run.recipe.task, text, encoding=run.encoding)
            for name, files in (("heldout", text.heldout_files), ("test", text.test_files))
            if files
        }
        parts = {name: Part(other.inputs, other.targets) for name, other in others.items()}
        beside = tuple(other.fingerprint for other in others.values())
        return Divided(read, train, parts.get("heldout", heldout), parts.get("test"), beside)

    def fingerprint(self, data: Divided) -> str:
        """The records'."""
        return ".".join([data.records.fingerprint, *data.beside])

    def resolve(self, run: Run, data: Divided, device: torch.device) -> ResolvedRecipe:
        """By the task's defaults and the number of records."""
        return resolve(run.recipe, self.defaults, len(data.train), large=self.large)

    def settle(self, run: Run, data: Divided) -> Settled:
        """A run that goes on holds out what it did; before version 0.2 nothing was reported of what is held out."""
        settled = super().settle(run, data)
        return settled if data.test is None else dataclasses.replace(
            settled, description={**settled.description, "reports": True}
        )  # fmt: skip

    def finish(self, run: Run, settled: Settled, built: Built) -> Sequence[str]:
        """What was saved in the place of the network, if anything was."""
        writer = next(observer for observer in built.observers if isinstance(observer, RecordWriter))
        return writer.replaced()

    def learner(
        self, settled: Settled, records: Records, train: Part, heldout: Part, team: Team = ALONE
    ) -> tuple[TaskModel[Any], TaskData]:
        """A new model on the run's device, with vocabulary and scaling from the training part; and its data."""
        recipe, training = settled.recipe, settled.training
        torch.manual_seed(training.seed)
        pieces = self.pieces(train)
        tokenizer = (
            build(recipe.text.tokenizer, (f"{piece}\n" for piece in pieces), recipe.text.min_count)
            if pieces
            else build("byte", [])
        )
        model = self.model(recipe.task, recipe.model, tokenizer, self.labels(records), self.features(train))
        data = TaskData(model, train, heldout, training, team)
        self.prepare(model, records, data, recipe.model.initialisation)
        model.network.to(settled.device)
        return model, data

    def build(self, run: Run, settled: Settled, data: Divided) -> Built:
        """A `learner`, and beside it what needs no network."""
        recipe, training = settled.recipe, settled.training
        model, learnt = self.learner(settled, data.records, data.train, data.heldout, run.team or ALONE)
        if not run.leads:  # the weights are the first one's
            return Built(model.network, learnt, "", [])
        rival = self.rival(model, data.records, learnt, settled.description) if len(data.heldout) else None
        writer = RecordWriter(
            run.out / "model", self, model, recipe, data.records, learnt, self.features(data.train), data.test, rival,
            settled.description,
        )  # fmt: skip
        name = recipe.task.name
        picture = _Picture(run, title=f"{name}: {', '.join(data.records.names)}", unit=self.unit)
        headline = (
            f"{name}: {counted(len(data.train), 'record')} to learn from, {len(data.heldout):,} held out"
            f"{'' if data.test is None else f', {len(data.test):,} to test on'}; "
            f"{recipe.model.shape}, {model.network.parameter_count:,} parameters, "
            f"{training.precision} on {settled.device}"
        )
        return Built(model.network, learnt, headline, [writer, picture])


def resolve(recipe: Recipe, defaults: Defaults, records: int, *, large: bool = False) -> ResolvedRecipe:
    """`recipe` with every "auto" decided for a task that learns from so many records. Raises SettingsError."""
    m, t, name = recipe.model, recipe.training, recipe.task.name
    if m.context:
        raise SettingsError(f"model.context is for language models, got {m.context} with task.name={name}: set it to 0")
    if t.candidates:
        raise SettingsError(
            f"training.candidates is for language models, got {t.candidates} with task.name={name}: set it to 0"
        )
    size = t.batch_size or max(1, min(defaults.batch_size, records // 4))
    unlimited = t.minutes is None and t.epochs is None and t.steps is None
    every = math.ceil(_STEPS_BETWEEN_EVALUATIONS / -(-records // size))
    return decide(
        recipe,
        model={
            "hidden_size": m.hidden_size or defaults.hidden_size,
            "embedding_size": defaults.embedding_size if m.embedding_size is None else m.embedding_size,
            "dropout": defaults.dropout if m.dropout is None else m.dropout,
        },
        training={
            "batch_size": size,
            "window": t.window or 1,
            "learning_rate": defaults.learning_rate if t.learning_rate is None else t.learning_rate,
            "epochs": defaults.epochs if unlimited else t.epochs,
            "evaluate_every": float(every) if t.evaluate_every is None else t.evaluate_every,
            "precision": "fp32" if t.precision == "auto" and not large else t.precision,
        },
    )


class _Picture(Observer):
    """The picture of the losses, when training is over."""

    def __init__(self, run: Run, *, title: str, unit: str) -> None:
        self._picture = LossPicture(run.out, run.seen.noted, title=title, unit=unit)

    def finished(self) -> None:
        """Draw it."""
        self._picture.draw()


def load_task_model(bundle: Bundle) -> TaskModel[Any]:
    """The model in a bundle, on the CPU. Raises BundleError for another kind and for what does not fit."""
    if bundle.kind != KIND:
        raise BundleError(
            f"{bundle.path} is a language model ({bundle.kind}), which cannot predict: write with it "
            "(ostinato write) or score a text (ostinato score)"
        )
    where = str(bundle.path / "config.json")
    described = task_config(bundle)
    task = recorded_settings(TaskSettings, bundle.config, where)
    model = recorded_settings(ModelSettings, bundle.config, where)
    method = NETWORK if described.method is None else described.method
    try:
        known: RecordTask = named_task(task.name)
        if method == NETWORK:
            loaded = known.model(task, model, bundle.tokenizer, described.labels, described.features)
        else:
            loaded = known.rival_model(method, bundle, task, described)
    except BundleError as error:
        raise BundleError(f"{where}: {error}; train or copy it again") from None
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError, OstinatoError) as error:
        what = f"there is no {error}" if isinstance(error, KeyError) else error
        raise BundleError(f"{where} does not describe a task's model ({what})") from None
    expected = {name: tuple(tensor.shape) for name, tensor in loaded.network.state_dict().items()}
    check_tensors(bundle.path, expected, bundle.tensors)
    check_finite(bundle.path, bundle.tensors)
    try:
        loaded.network.load_tensors(bundle.tensors)
    except BundleError as error:
        raise BundleError(f"{bundle.path}: {error}; copy or train it again") from None
    loaded.network.eval()
    if (probe := bundle.probe) is not None:
        compare_outputs(bundle, probe, rounded([loaded.probe_losses()]), "loss")
    return loaded
