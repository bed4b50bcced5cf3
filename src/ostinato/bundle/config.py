"""What `config.json` says of a model, as a value: one frozen class per kind, and the one place where it is checked.

Every loader goes through `model_config` and, for the arrays, `check_tensors`: config, tokenizer and tensors belong
together, or they are refused with a line that says which does not fit.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ostinato.bundle.reading import CONFIG, Bundle
from ostinato.errors import BundleError
from ostinato.settings import CELLS, OWN_CELL

_AGAIN = "train or copy it again"
LARGEST_VOCABULARY = 1 << 28


def _whole(low: int, high: int) -> Any:
    return field(metadata={"low": low, "high": high})


def _among(*names: str) -> Any:
    return field(metadata={"among": names, "cure": f"; {_AGAIN}"})


def _cell() -> Any:
    return field(metadata={"among": CELLS, "cure": OWN_CELL})


def _is_a(kind: type, *, optional: bool = False) -> Any:
    return field(metadata={"type": kind, "optional": optional})


@dataclass(frozen=True)
class RecurrentConfig:
    """Kind `recurrent`: `embedding_size` 0 is one-hot input, which cannot be tied."""

    layers: int = _whole(1, 64)
    hidden_size: int = _whole(1, 1 << 16)
    embedding_size: int = _whole(0, 1 << 16)
    vocabulary_size: int = _whole(1, LARGEST_VOCABULARY)
    cell: str = _cell()
    tied: bool = _is_a(bool)

    def __post_init__(self) -> None:
        if self.tied and not self.embedding_size:
            raise ValueError("model.tied cannot be True here")


@dataclass(frozen=True)
class WindowConfig:
    """Kind `window`: a network without a hidden state over the last `context` tokens."""

    context: int = _whole(1, 1024)
    hidden_size: int = _whole(1, 1 << 16)
    embedding_size: int = _whole(1, 1 << 16)
    vocabulary_size: int = _whole(1, LARGEST_VOCABULARY)
    tied: bool = _is_a(bool)

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the weights, all float32."""
        V, E, H = self.vocabulary_size, self.embedding_size, self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "embedding.weight": (V, E), "window.weight": (H, self.context * E), "window.bias": (H,), "head.bias": (V,)
        }  # fmt: skip
        if not self.tied:
            shapes["head.weight"] = (V, H)
        elif E != H:
            shapes["projection.weight"] = (E, H)
        return shapes


@dataclass(frozen=True)
class NgramConfig:
    """Kind `ngram`; what else a smoothing keeps is checked with its arrays (`ngram/fit.py`)."""

    smoothing: str = _among("kneser-ney", "add-k", "maximum-likelihood", "arpa")
    order: int = _whole(1, 10)
    vocabulary_size: int = _whole(1, LARGEST_VOCABULARY)


@dataclass(frozen=True)
class AnyConfig:
    """What every kind has; for `context-mixing`, whose own settings are checked with its arrays (`mixing/`)."""

    vocabulary_size: int = _whole(1, LARGEST_VOCABULARY)


@dataclass(frozen=True)
class MixtureConfig:
    """Kind `mixture`: parts, each with its own kind and model table, and their weights, unless a gate has them."""

    vocabulary_size: int = _whole(1, LARGEST_VOCABULARY)
    parts: list[dict[str, Any]] = _is_a(list)  # noqa: RUF009
    weights: list[float] | None = _is_a(list, optional=True)  # noqa: RUF009

    def __post_init__(self) -> None:
        weights = [1.0] * len(self.parts) if self.weights is None else self.weights
        if not 1 <= len(self.parts) <= 64 or len(weights) != len(self.parts):
            raise ValueError("it is not a complete mixture: model.parts must be 1 to 64, with a weight for each")
        if not all(type(weight) in (int, float) and 0 <= weight <= 1 for weight in weights):
            raise ValueError("it is not a complete mixture: model.weights must be numbers from 0 to 1")
        for part in self.parts:
            kind, model = (part.get("kind"), part.get("model")) if isinstance(part, dict) else (None, None)
            if not isinstance(kind, str) or not isinstance(model, dict) or kind == "mixture":
                raise ValueError("it is not a complete mixture: every one of model.parts needs a kind and a model")


@dataclass(frozen=True)
class TaskConfig:
    """Table `task` of kind `task`: the classes or tags, the numbers per step of a series, and what the model is: a
    network, or what the task has in its place. The settings beside them are a recipe's."""

    labels: list[str] = _is_a(list)  # noqa: RUF009
    features: int = _whole(0, 1 << 16)
    method: str | None = _is_a(str, optional=True)

    def __post_init__(self) -> None:
        if not all(isinstance(label, str) for label in self.labels) or len(set(self.labels)) != len(self.labels):
            raise ValueError("task.labels must be texts, each one once")


C = TypeVar("C", RecurrentConfig, WindowConfig, NgramConfig, MixtureConfig, AnyConfig)
T = TypeVar("T", RecurrentConfig, WindowConfig, NgramConfig, MixtureConfig, AnyConfig, TaskConfig)


def model_config(kind: type[C], bundle: Bundle) -> C:
    """The bundle's table `model` as a value, whose vocabulary is the tokenizer's. Raises BundleError."""
    table, file = bundle.config.get("model"), bundle.config.get("cell_file")
    if isinstance(file, str) and isinstance(table, Mapping) and table.get("cell", CELLS[0]) not in CELLS:
        raise BundleError(
            f"{bundle.path} has a cell of its maker's own, {table.get('cell')!r:.60}, from the file {file!r:.80}: name "
            "that file with --cell-file (in Python: ostinato.cells.load_cell_file)"
        )
    config = read_table(kind, table, bundle.path / CONFIG)
    if config.vocabulary_size != bundle.tokenizer.vocabulary_size:
        raise BundleError(
            f"{bundle.path} has a model of {config.vocabulary_size} tokens and a tokenizer of "
            f"{bundle.tokenizer.vocabulary_size}: they do not belong together; copy or train it again"
        )
    return config


def task_config(bundle: Bundle) -> TaskConfig:
    """The bundle's table `task` as a value; the vocabulary of its model is the tokenizer's. Raises BundleError."""
    model_config(AnyConfig, bundle)
    return read_table(TaskConfig, bundle.config.get("task"), bundle.path / CONFIG, section="task")


def read_table(kind: type[T], table: Any, where: Path, *, section: str = "model") -> T:
    """A table of a config as a value; names that the kind does not have are left out. Raises BundleError."""
    if not isinstance(table, Mapping):
        raise BundleError(f'{where} has no table "{section}"; train or copy the model again')
    values: dict[str, Any] = {}
    for setting in dataclasses.fields(kind):
        value, limits = table.get(setting.name), setting.metadata
        name, given = f"{where}: {section}.{setting.name}", f"{value!r:.60}"
        if "among" in limits and not (isinstance(value, str) and value in limits["among"]):
            among = ", ".join(limits["among"])
            raise BundleError(f"{name} must be one of {among}, got {given}{limits['cure']}")
        if "low" in limits and (type(value) is not int or not limits["low"] <= value <= limits["high"]):
            raise BundleError(f"{name} must be {limits['low']} to {limits['high']}, got {given}; {_AGAIN}")
        if "type" in limits and type(value) is not limits["type"] and not (limits["optional"] and value is None):
            raise BundleError(f"{name} cannot be {given}; {_AGAIN}")
        values[setting.name] = value
    try:
        return kind(**values)
    except ValueError as error:
        raise BundleError(f"{where}: {error}; {_AGAIN}") from None


def check_tensors(path: Path, expected: Mapping[str, tuple[int, ...]], tensors: Mapping[str, npt.NDArray[Any]]) -> None:
    """Raise BundleError unless the tensors are exactly the expected ones, float32."""
    if expected.keys() != set(tensors):
        missing, extra = sorted(expected.keys() - set(tensors)), sorted(set(tensors) - expected.keys())
        names = f"the model lacks {', '.join(missing)}" if missing else f"the model also has {', '.join(extra)}"
        raise BundleError(f"{path}: {names:.200}, unlike what its config.json describes; copy or train it again")
    for name, size in expected.items():
        tensor = tensors[name]
        if tensor.shape != size or tensor.dtype != np.float32:
            raise BundleError(
                f"{path}: tensor {name} is {tensor.dtype} {tensor.shape}, but config.json asks for float32 {size}; "
                "copy or train it again"
            )


def check_finite(path: Path, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
    """Raise BundleError for a number that is not finite. (The kernels look themselves when they build a network.)"""
    for name in tensors:
        if not np.isfinite(tensors[name]).all():
            raise BundleError(f"{path}: tensor {name} holds a value that is no finite number; train it again")
