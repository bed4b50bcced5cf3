"""A class for every text, or for every series of vectors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ostinato.errors import TextError
from ostinato.models.classifier import Classifier
from ostinato.models.padding import lengths_of, pad
from ostinato.models.task_models import Arrays, Example, TaskModel
from ostinato.runs.record_data import Part, TaskData, commonest_class
from ostinato.runs.record_task import Defaults, RecordTask
from ostinato.settings import ModelSettings, TaskSettings, TextSettings
from ostinato.text import BaseTokenizer
from ostinato.text.records import Records, read_labelled


class ClassifyModel(TaskModel[Classifier]):
    """A class per text or series of vectors."""

    def input_arrays(self, value: Any) -> Example:
        width = self.network.encoder.features
        if isinstance(value, str) != (width == 0):
            given, wanted = ("a text", f"{width} features") if isinstance(value, str) else ("numbers", "texts")
            raise TextError(f"the model was trained on {wanted}, got {given}")
        if isinstance(value, str):
            return (self._text(value),)
        if value.shape[1] != width:
            raise TextError(f"the model was trained on {width} features, got {value.shape[1]}")
        return (value,)

    def example(self, value: Any, target: Any) -> Example:
        return *self.input_arrays(value), np.array(self.label_id(target), np.int64)

    def batch(self, examples: Sequence[Example]) -> Arrays:
        rows = [e[0] for e in examples]
        targets = (np.array([e[1] for e in examples], np.int64),) if len(examples[0]) > 1 else ()
        return pad(rows), lengths_of(rows), *targets

    def targets(self, batch: Sequence[Any]) -> int:
        return len(batch[2])

    def probe_records(self) -> list[tuple[Any, Any]]:
        width = self.network.encoder.features
        value = np.linspace(-1, 1, 4 * width, dtype=np.float32).reshape(4, width) if width else "abc"
        return [(value, self.labels[0]), (value, self.labels[-1])]

    def _outputs(self, tensors: Sequence[Tensor], inputs: Sequence[Any]) -> list[Any]:
        return [self.labels[k] for k in self.network(*tensors).argmax(-1).tolist()]

    def scores(self, predictions: Sequence[Any], targets: Sequence[Any]) -> dict[str, float]:
        return {"accuracy": float(np.mean([p == t for p, t in zip(predictions, targets, strict=True)]))}


class ClassifyTask(RecordTask):
    """Learn to classify from labelled records."""

    title = "A classifier"
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
        return ClassifyModel(classifier, tokenizer, task, labels)

    def prepare(self, model: Any, records: Records, data: TaskData, initialisation: str) -> None:
        """Vectors are scaled by the mean and deviation of the training part."""
        if model.network.encoder.features:
            model.network.encoder.standardise(np.concatenate(list(data.train.inputs)))

    def baseline(self, model: TaskModel[Any], data: TaskData) -> dict[str, dict[str, float]]:
        """The commonest class always."""
        guesses = [commonest_class(data.train.targets)] * len(data.heldout.targets)
        return {"held-out, commonest class": model.scores(guesses, data.heldout.targets)}


TASK = ClassifyTask()
