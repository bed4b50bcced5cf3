"""A tag for every token: parts of speech, word boundaries."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ostinato.bundle import Bundle, TaskConfig
from ostinato.models.classifier import IGNORED, Tagger
from ostinato.models.counted import CommonestTag
from ostinato.models.padding import lengths_of, pad
from ostinato.models.task_models import Arrays, Example, TaskModel
from ostinato.runs.record_data import SCORED, Part, TaskData, commonest_class
from ostinato.runs.record_saving import Rival, chose_between
from ostinato.runs.record_task import Defaults, RecordTask
from ostinato.settings import ModelSettings, TaskSettings, TextSettings
from ostinato.text import BaseTokenizer
from ostinato.text.records import Records, read_tagged

COUNTED = "commonest tag per word"
"""What is counted beside the network."""


class TagModel(TaskModel[Any]):
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


class CountedModel(TagModel):
    """The commonest tag of each token."""

    def predict(self, inputs: Sequence[Any]) -> list[Any]:
        return [[self.labels[self.network.tag(token)] for token in value] for value in inputs]

    def probe_losses(self) -> list[float]:
        said = [self.predict([value])[0] for value, _ in self.probe_records()]
        return [float(np.mean([p != t for p, t in zip(tags, record[1], strict=True)]))
                for tags, record in zip(said, self.probe_records(), strict=True)]  # fmt: skip


class TagTask(RecordTask):
    """Learn to tag from tagged sequences."""

    title = "A tagger"
    reports = True
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

    def rival(self, model: Any, records: Records, data: TaskData, described: Mapping[str, Any]) -> Rival | None:
        """The commonest tag of each token."""
        pairs = zip(data.train.inputs, data.train.targets, strict=True)
        numbered = ((tokens, [model.label_id(tag) for tag in tags]) for tokens, tags in pairs)
        network = CommonestTag.counted(numbered, len(model.labels))
        other = CountedModel(network, model.tokenizer, model.task, model.labels)
        scores = data.heldout.scores(other, SCORED)
        return Rival(COUNTED, other, scores, lambda row: scores["accuracy"] >= row.scores["heldout_accuracy"])

    def rival_model(self, method: str, bundle: Bundle, task: TaskSettings, described: TaskConfig) -> CountedModel:
        """The table, as long as the saved one is."""
        tags = bundle.tensors.get("tags")
        if method != COUNTED or tags is None or tags.ndim != 1:
            return super().rival_model(method, bundle, task, described)  # type: ignore[return-value]
        return CountedModel(CommonestTag(len(tags), len(described.labels)), bundle.tokenizer, task, described.labels)

    def explained(self, described: Mapping[str, Any]) -> str:
        """What the held-out records chose."""
        return chose_between(super().explained(described), "the commonest tags", described)

    def baseline(self, model: TaskModel[Any], data: TaskData) -> dict[str, dict[str, float]]:
        """The commonest tag everywhere."""
        common = commonest_class(tag for target in data.train.targets for tag in target)
        guesses = [[common] * len(target) for target in data.heldout.targets]
        return {"held-out, commonest class": model.scores(guesses, data.heldout.targets)}


TASK = TagTask()
