"""A network with all that is needed to use it: how inputs become arrays, and what its outputs mean."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ostinato.models.classifier import IGNORED
from ostinato.models.padding import Array
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
    """One task's network, tokenizer and settings; `runs/tasks/` has one for each.

    `inputs` and `targets` are as `text.records.Records` has them; outputs of `predict` are as targets.
    """

    quick: ClassVar[bool] = True
    """Whether predicting is quick enough to be scored at every evaluation."""

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

    def probe_records(self) -> list[tuple[Any, Any]]:
        """Records that depend on nothing but the shape of the model: their losses are kept with it (`bundle.probe`)."""
        return []

    def probe_losses(self) -> list[float]:
        """The loss of each of `probe_records` alone."""
        network: Any = self.network
        with self.evaluating():
            batches = [self.batch([self.example(*record)]) for record in self.probe_records()]
            return [float(network.loss(*self.tensors(batch))[0]) for batch in batches]

    def line(self, prediction: Any) -> str:
        """A prediction as one line of text."""
        return str(prediction)

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
