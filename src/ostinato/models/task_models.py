"""A network with all that is needed to use it: how inputs become arrays, and what its outputs mean."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ostinato.errors import TextError
from ostinato.models.classifier import IGNORED, Classifier, Tagger
from ostinato.models.decoding import beam_search, greedy
from ostinato.models.encoder_decoder import EncoderDecoder
from ostinato.models.forecaster import Forecaster
from ostinato.models.padding import Array, lengths_of, pad
from ostinato.models.saved import SavedModule
from ostinato.protocols import END_OF_DOCUMENT, Tokenizer
from ostinato.settings import TaskSettings

Example: TypeAlias = tuple[Array, ...]
"""The arrays of one record: the input's, then the target's."""

Arrays: TypeAlias = tuple[npt.NDArray[Any], ...]
"""The arrays of a batch: the arguments of the network's `loss`."""

M = TypeVar("M", bound=SavedModule)
_AT_ONCE = 64
"""Records that are predicted side by side."""


class TaskModel(ABC, Generic[M]):
    """One task's network, tokenizer and settings.

    `inputs` and `targets` are as `text.records.Records` has them; outputs of `predict` are as targets.
    """

    def __init__(self, network: M, tokenizer: Tokenizer, task: TaskSettings, labels: Sequence[str] = ()) -> None:
        self.network, self.tokenizer, self.task, self.labels = network, tokenizer, task, tuple(labels)
        self._label_ids = {label: k for k, label in enumerate(self.labels)}

    @abstractmethod
    def input_arrays(self, value: Any) -> Example:
        """The arrays of an input. Raises TextError where it does not fit the model."""

    @abstractmethod
    def example(self, value: Any, target: Any) -> Example:
        """The arrays of a record with its target."""

    @abstractmethod
    def batch(self, examples: Sequence[Example]) -> Arrays:
        """Examples (or inputs alone) padded to one batch."""

    @abstractmethod
    def targets(self, batch: Sequence[Any]) -> int:
        """How many targets a batch has."""

    @abstractmethod
    def _outputs(self, tensors: Sequence[Tensor], inputs: Sequence[Any]) -> list[Any]:
        """Predictions for a batch of inputs; the network is in evaluation mode and without gradients."""

    @abstractmethod
    def scores(self, predictions: Sequence[Any], targets: Sequence[Any]) -> dict[str, float]:
        """How good predictions are, by the name of the measure."""

    def length(self, example: Example) -> int:
        """By which examples are put side by side."""
        return len(example[0])

    def predict(self, inputs: Sequence[Any]) -> list[Any]:
        """One prediction an input, in order, the same for an input alone and among others. Raises TextError."""
        examples = [self.input_arrays(value) for value in inputs]
        order = sorted(range(len(inputs)), key=lambda k: self.length(examples[k]))
        predictions: list[Any] = [None] * len(inputs)
        with self.evaluating():
            for start in range(0, len(order), _AT_ONCE):
                rows = order[start : start + _AT_ONCE]
                tensors = self.tensors(self.batch([examples[k] for k in rows]))
                for k, value in zip(rows, self._outputs(tensors, [inputs[k] for k in rows]), strict=True):
                    predictions[k] = value
        return predictions

    def tensors(self, batch: Sequence[Any]) -> list[Tensor]:
        """A batch on the network's device."""
        device = next(self.network.parameters()).device
        return [torch.from_numpy(array).to(device) for array in batch]

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Inside, dropout is off and nothing has a gradient."""
        was_training = self.network.training
        self.network.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.network.train(was_training)

    def _text(self, text: str) -> npt.NDArray[np.int64]:
        """The ids of a text and its end: never empty."""
        return np.append(self.tokenizer.encode(text).astype(np.int64), END_OF_DOCUMENT)

    def label_id(self, label: str) -> int:
        """A class's number, IGNORED for one that the training data does not have."""
        return self._label_ids.get(label, IGNORED)


class TagModel(TaskModel[Tagger]):
    """A tag a token. A token of several ids gets its tag at the last of them."""

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

    def _outputs(self, tensors: Sequence[Tensor], inputs: Sequence[Any]) -> list[Any]:
        ids, lengths, ends = tensors
        best = self.network(ids, lengths).argmax(-1).cpu().numpy()
        places = ends.cpu().numpy()
        return [
            [self.labels[k] for k in row[at[: len(value)]]] for row, at, value in zip(best, places, inputs, strict=True)
        ]

    def scores(self, predictions: Sequence[Any], targets: Sequence[Any]) -> dict[str, float]:
        right = [p == t for ps, ts in zip(predictions, targets, strict=True) for p, t in zip(ps, ts, strict=True)]
        whole = [p == t for p, t in zip(predictions, targets, strict=True)]
        return {"accuracy": float(np.mean(right)), "whole_sequences": float(np.mean(whole))}


class ClassifyModel(TaskModel[Classifier]):
    """A class a text or series of vectors."""

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

    def _outputs(self, tensors: Sequence[Tensor], inputs: Sequence[Any]) -> list[Any]:
        return [self.labels[k] for k in self.network(*tensors).argmax(-1).tolist()]

    def scores(self, predictions: Sequence[Any], targets: Sequence[Any]) -> dict[str, float]:
        return {"accuracy": float(np.mean([p == t for p, t in zip(predictions, targets, strict=True)]))}


class TranslateModel(TaskModel[EncoderDecoder]):
    """A text for a text."""

    def input_arrays(self, value: Any) -> Example:
        return (self._text(value),)

    def example(self, value: Any, target: Any) -> Example:
        return self._text(value), self._text(target)

    def batch(self, examples: Sequence[Example]) -> Arrays:
        sources = [e[0] for e in examples]
        if len(examples[0]) == 1:
            return pad(sources), lengths_of(sources)
        targets = [e[1] for e in examples]
        given = pad([np.roll(t, 1) for t in targets])  # the end, last of each target, is also what it starts from
        return pad(sources), lengths_of(sources), given, pad(targets, IGNORED)

    def targets(self, batch: Sequence[Any]) -> int:
        return int((batch[3] != IGNORED).sum())

    def _outputs(self, tensors: Sequence[Tensor], inputs: Sequence[Any]) -> list[Any]:
        source, lengths = tensors
        if self.task.beam == 1:
            written = greedy(self.network, source, lengths)
        else:
            written = beam_search(
                self.network, source, lengths, beam=self.task.beam, length_penalty=self.task.length_penalty
            )
        return [self.tokenizer.decode(np.array(ids, np.uint32)) for ids in written]

    def scores(self, predictions: Sequence[Any], targets: Sequence[Any]) -> dict[str, float]:
        return {"exact": float(np.mean([p == t for p, t in zip(predictions, targets, strict=True)]))}


class ForecastModel(TaskModel[Forecaster]):
    """The next values of a series. As records it has windows: the last values (history,), and those after them."""

    def input_arrays(self, value: Any) -> Example:
        self.network.check(value)
        if len(value) < self.task.history:
            raise TextError(
                f"the series has {len(value)} values, a forecast reads {self.task.history}: give more, "
                "or train with a smaller task.history"
            )
        return (np.asarray(value[-self.task.history :], np.float64),)

    def example(self, value: Any, target: Any) -> Example:
        self.network.check(target)
        return *self.input_arrays(value), np.asarray(target, np.float64)

    def batch(self, examples: Sequence[Example]) -> Arrays:
        return tuple(np.stack(arrays) for arrays in zip(*examples, strict=True))

    def targets(self, batch: Sequence[Any]) -> int:
        return int(batch[1].size)

    def _outputs(self, tensors: Sequence[Tensor], inputs: Sequence[Any]) -> list[Any]:
        return list(self.network(*tensors).double().cpu().numpy())

    def scores(self, predictions: Sequence[Any], targets: Sequence[Any]) -> dict[str, float]:
        errors = np.array(predictions) - np.array(targets)
        return {"mean_absolute_error": float(np.abs(errors).mean()), "rmse": float(np.sqrt(np.square(errors).mean()))}
