"""A tag for every token: parts of speech, word boundaries."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ostinato.models.classifier import IGNORED, Tagger
from ostinato.models.padding import lengths_of, pad
from ostinato.models.task_models import Arrays, Example, TaskModel
from ostinato.runs.record_data import Part, TaskData, commonest_class
from ostinato.runs.record_task import Defaults, RecordTask
from ostinato.settings import ModelSettings, TaskSettings, TextSettings
from ostinato.text import BaseTokenizer
from ostinato.text.records import Records, read_tagged


class TagModel(TaskModel[Tagger]):
    """A tag per token. A token of several ids gets its tag at the last of them."""

    def input_arrays(self, value: Any) -> Example:
        pieces = [self.tokenizer.encode(token) for token in value] or [np.zeros(1, np.int64)]
        return np.concatenate(pieces).astype(np.int64), np.cumsum([len(p) for p in pieces]) - 1

    def example(self, value: Any, target: Any) -> Example:
        ids, ends = self.input_arrays(value)
        tags = np.full(len(ids), IGNORED, np.int64)
        tags[ends] = [self.label_id(tag) for tag in target]
        return ids, tags

    def batch(self, examples: Sequence[Example]) -> Arrays:
        ids = [e[0] for e in examples]
        return pad(ids), lengths_of(ids), pad([e[1] for e in examples], IGNORED)

    def targets(self, batch: Sequence[Any]) -> int:
        return int((batch[2] != IGNORED).sum())

    def probe_records(self) -> list[tuple[Any, Any]]:
        return [(["a", "b", "c"], [label] * 3) for label in (self.labels[0], self.labels[-1])]

    def _outputs(self, tensors: Sequence[Tensor], inputs: Sequence[Any]) -> list[Any]:
        ids, lengths, ends = tensors
        best = self.network(ids, lengths).argmax(-1).cpu().numpy()
        places = ends.cpu().numpy()
        return [
            [self.labels[k] for k in row[at[: len(value)]]] for row, at, value in zip(best, places, inputs, strict=True)
        ]

    def line(self, prediction: Any) -> str:
        """Tags side by side where every tag is one character, else parted by blanks, or tabs where one has blanks."""
        between = " " if not any(" " in label for label in self.labels) else "\t"
        return ("" if all(len(label) == 1 for label in self.labels) else between).join(prediction)

    def scores(self, predictions: Sequence[Any], targets: Sequence[Any]) -> dict[str, float]:
        right = [p == t for ps, ts in zip(predictions, targets, strict=True) for p, t in zip(ps, ts, strict=True)]
        whole = [p == t for p, t in zip(predictions, targets, strict=True)]
        return {"accuracy": float(np.mean(right)), "whole_sequences": float(np.mean(whole))}


class TagTask(RecordTask):
    """Learn to tag from tagged sequences."""

    title = "A tagger"
    defaults = Defaults(hidden_size=128, embedding_size=64, dropout=0.2, batch_size=32, learning_rate=4e-3, epochs=10)

    def records(self, paths: Sequence[str], task: TaskSettings, text: TextSettings, **options: Any) -> Records:
        """Lines `text TAB tags`, or JSONL."""
        return read_tagged(paths, **options)

    def labels(self, records: Records) -> list[str]:
        """All tags."""
        return sorted({tag for target in records.targets for tag in target})

    def pieces(self, train: Part) -> list[str]:
        """Tokens as they stand in their sequence."""
        return ["".join(value) for value in train.inputs]

    def model(
        self, task: TaskSettings, model: ModelSettings, tokenizer: BaseTokenizer, labels: Sequence[str], features: int
    ) -> TagModel:
        """With weights from torch's global random generator."""
        network = Tagger(
            model, len(labels), vocabulary_size=tokenizer.vocabulary_size, bidirectional=task.bidirectional
        )
        return TagModel(network, tokenizer, task, labels)

    def baseline(self, model: TaskModel[Any], data: TaskData) -> dict[str, dict[str, float]]:
        """The commonest tag everywhere."""
        common = commonest_class(tag for target in data.train.targets for tag in target)
        guesses = [[common] * len(target) for target in data.heldout.targets]
        return {"held-out, commonest class": model.scores(guesses, data.heldout.targets)}


TASK = TagTask()
