"""A class for every text, or for every series of vectors."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ostinato.bundle import Bundle, TaskConfig
from ostinato.errors import TextError
from ostinato.models.classifier import Classifier
from ostinato.models.counted import (
    Regression,
    fit_ngrams,
    fit_summaries,
    joined,
    ngram_entries,
    summary_entries,
    summary_rows,
    table_size,
)
from ostinato.models.padding import lengths_of, pad
from ostinato.models.task_models import Arrays, Example, TaskModel
from ostinato.protocols import Tokenizer
from ostinato.runs.record_data import SCORED, Part, TaskData, commonest_class
from ostinato.runs.record_saving import Rival, chose_between
from ostinato.runs.record_task import Defaults, RecordTask
from ostinato.settings import ModelSettings, TaskSettings, TextSettings
from ostinato.terminal import activity
from ostinato.text import BaseTokenizer
from ostinato.text.records import Records, read_labelled

NGRAMS, SUMMARIES = "character n-gram regression", "regression on summaries"
"""What is learnt beside the network, of texts and of series."""


class ClassifyModel(TaskModel[Any]):
    """A class per text (features 0) or series of vectors."""

    def __init__(
        self, network: Any, tokenizer: Tokenizer, task: TaskSettings, labels: Sequence[str], features: int
    ) -> None:
        super().__init__(network, tokenizer, task, labels)
        self.features = features

    def check(self, value: Any) -> None:
        """Raises TextError unless a value is a text or has `features`, whichever the model was trained on."""
        width = self.features
        if isinstance(value, str) != (width == 0):
            given, wanted = ("a text", f"{width} features") if isinstance(value, str) else ("numbers", "texts")
            raise TextError(f"the model was trained on {wanted}, got {given}")
        if width and value.shape[1] != width:
            raise TextError(f"the model was trained on {width} features, got {value.shape[1]}")

    def input_arrays(self, value: Any) -> Example:
        self.check(value)
        return (self._text(value) if isinstance(value, str) else value,)

    def example(self, value: Any, target: Any) -> Example:
        return *self.input_arrays(value), np.array(self.label_id(target), np.int64)

    def batch(self, examples: Sequence[Example]) -> Arrays:
        rows = [e[0] for e in examples]
        targets = (np.array([e[1] for e in examples], np.int64),) if len(examples[0]) > 1 else ()
        return pad(rows), lengths_of(rows), *targets

    def targets(self, batch: Sequence[Any]) -> int:
        return len(batch[2])

    def probe_records(self) -> list[tuple[Any, Any]]:
        width = self.features
        value = np.linspace(-1, 1, 4 * width, dtype=np.float32).reshape(4, width) if width else "abc"
        return [(value, self.labels[0]), (value, self.labels[-1])]

    def _outputs(self, tensors: Sequence[Tensor], inputs: Sequence[Any]) -> list[Any]:
        return [self.labels[k] for k in self.network(*tensors).argmax(-1).tolist()]

    def scores(self, predictions: Sequence[Any], targets: Sequence[Any]) -> dict[str, float]:
        return {"accuracy": float(np.mean([p == t for p, t in zip(predictions, targets, strict=True)]))}


class RegressionModel(ClassifyModel):
    """A class by a regression: on the n-grams of texts, or on summaries of series."""

    def input_arrays(self, value: Any) -> Example:
        self.check(value)
        return ngram_entries(value, len(self.network.weight)) if isinstance(value, str) else summary_entries(value)

    def batch(self, examples: Sequence[Example]) -> Arrays:
        targets = (np.array([e[2] for e in examples], np.int64),) if len(examples[0]) > 2 else ()
        return *joined([(e[0], e[1]) for e in examples]), *targets


class ClassifyTask(RecordTask):
    """Learn to classify from labelled records."""

    title = "A classifier"
    reports = True
    defaults = Defaults(hidden_size=64, embedding_size=64, dropout=0.2, batch_size=16, learning_rate=4e-3, epochs=40)

    def records(self, paths: Sequence[str], task: TaskSettings, text: TextSettings, **options: Any) -> Records:
        """A table, JSONL, or `.ts`."""
        return read_labelled(paths, label=task.label, **options)

    def labels(self, records: Records) -> list[str]:
        """All classes, so that a rare one is known even where it is held out."""
        return sorted(set(records.targets))

    def features(self, train: Part) -> int:
        """How wide a vector is; 0 for texts."""
        first = train.inputs[0]
        return first.shape[1] if isinstance(first, np.ndarray) else 0

    def pieces(self, train: Part) -> list[str]:
        """The texts; vectors have none."""
        return [] if self.features(train) else list(train.inputs)

    def model(
        self, task: TaskSettings, model: ModelSettings, tokenizer: BaseTokenizer, labels: Sequence[str], features: int
    ) -> ClassifyModel:
        """With weights from torch's global random generator."""
        classifier = Classifier(
            model,
            len(labels),
            vocabulary_size=0 if features else tokenizer.vocabulary_size,
            features=features,
            bidirectional=task.bidirectional,
            pooling=task.pooling,
        )
        return ClassifyModel(classifier, tokenizer, task, labels, features)

    def prepare(self, model: Any, records: Records, data: TaskData, initialisation: str) -> None:
        """Vectors are scaled by the mean and deviation of the training part."""
        if model.features:
            model.network.encoder.standardise(np.concatenate(list(data.train.inputs)))

    def rival(self, model: Any, records: Records, data: TaskData, described: Mapping[str, Any]) -> Rival | None:
        """A regression on character n-grams, or on summaries of series."""
        name, fit = (SUMMARIES, fit_summaries) if model.features else (NGRAMS, fit_ngrams)
        targets = np.array([model.label_id(target) for target in data.train.targets], np.int64)
        with activity(f"learning {name}"):
            network: Regression = fit(list(data.train.inputs), targets, len(model.labels))
        other = RegressionModel(network, model.tokenizer, model.task, model.labels, model.features)
        scores = data.heldout.scores(other, SCORED)
        return Rival(name, other, scores, lambda row: scores["accuracy"] >= row.scores["heldout_accuracy"])

    def rival_model(self, method: str, bundle: Bundle, task: TaskSettings, described: TaskConfig) -> RegressionModel:
        """A regression of either kind."""
        if method != (SUMMARIES if described.features else NGRAMS):
            return super().rival_model(method, bundle, task, described)  # type: ignore[return-value]
        classes, width = len(described.labels), described.features
        rows = summary_rows(width) if width else table_size(classes)
        return RegressionModel(Regression(rows, classes), bundle.tokenizer, task, described.labels, width)

    def explained(self, described: Mapping[str, Any]) -> str:
        """What the held-out records chose."""
        return chose_between(super().explained(described), "the regression", described)

    def baseline(self, model: TaskModel[Any], data: TaskData) -> dict[str, dict[str, float]]:
        """The commonest class always."""
        guesses = [commonest_class(data.train.targets)] * len(data.heldout.targets)
        return {"held-out, commonest class": model.scores(guesses, data.heldout.targets)}


TASK = ClassifyTask()
