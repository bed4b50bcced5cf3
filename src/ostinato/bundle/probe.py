"""A few inputs with the outputs that a model had for them when it was saved: `probe.json` in every new bundle.

A model is its weights and its equations. The manifest guards the weights; the probe guards the equations: where a cell
was changed, or a program reads the weights another way, the outputs differ and the model is refused.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ostinato.errors import BundleError
from ostinato.files import parse_json
from ostinato.protocols import END_OF_DOCUMENT, StepModel, score_many
from ostinato.randomness import mix

PROBE = "probe.json"
_TEXTS, _TOKENS = 4, 3
"""Short texts: over many steps rounding errors grow in a network that is sensitive to its state."""
TOLERANCE = {"fp32": (1e-3, 1e-3), "int8": (0.5, 0.1), "loss": (2e-5, 2e-5)}
"""By how much outputs may differ, absolutely and relatively, by the precision of the weights. Rounding in another order
changes them by less than 1e-4; int8 weights are meant to change them a little. A loss, of tasks, is a mean: it differs
less."""


@dataclass(frozen=True)
class Probe:
    """inputs: texts of token ids (language models), or whatever the kind of model reads. outputs: numbers for each.

    An output that is no finite number is None.
    """

    inputs: list[Any]
    outputs: list[list[float | None]]

    @staticmethod
    def of(model: StepModel) -> "Probe":
        """The log-probabilities that `model` gives the tokens of a few short texts, in nats."""
        inputs = probe_texts(model.vocabulary_size)
        return Probe(inputs, rounded(score_many(model, [np.array(text, np.uint32) for text in inputs])))

    def to_bytes(self) -> bytes:
        """The file."""
        document = {"inputs": self.inputs, "outputs": self.outputs}
        return (json.dumps(document, allow_nan=False, separators=(",", ":")) + "\n").encode("utf-8")


class Saved(Protocol):
    """What a probe asks of the `Bundle` it lies in."""

    @property
    def path(self) -> Path: ...
    @property
    def config(self) -> Mapping[str, Any]: ...
    @property
    def files(self) -> Mapping[str, Any]: ...
    @property
    def probe(self) -> Probe | None: ...


def probe_texts(vocabulary_size: int) -> list[list[int]]:
    """Texts of token ids that depend on nothing but V."""
    first = min(END_OF_DOCUMENT + 1, vocabulary_size - 1)
    size = vocabulary_size - first
    return [[first + mix(text * _TOKENS + at) % size for at in range(_TOKENS)] for text in range(_TEXTS)]


def rounded(rows: Sequence[Any]) -> list[list[float | None]]:
    """Arrays of outputs as numbers with seven digits."""
    return [[float(f"{x:.7g}") if math.isfinite(x) else None for x in np.ravel(row).tolist()] for row in rows]


def read_probe(bundle: "Saved") -> Probe | None:
    """The probe of a bundle; None where it has none, as bundles of before version 0.2. Raises BundleError."""
    if PROBE not in bundle.files:
        return None
    try:
        document = parse_json(bundle.files[PROBE][: 1 << 20].tobytes())
        inputs, outputs = document["inputs"], document["outputs"]
        numbers = all(x is None or type(x) in (int, float) for row in outputs for x in row)
        if not isinstance(inputs, list) or not isinstance(outputs, list) or not numbers:
            raise ValueError("it holds no lists of numbers")
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{bundle.path / PROBE} is no probe ({error}); copy or train the model again") from None
    return Probe(inputs, outputs)


def check_probe(bundle: "Saved", model: StepModel, precision: str = "fp32") -> None:
    """Raise BundleError where `model` computes other outputs than the bundle's probe says."""
    probe = read_probe(bundle)
    if probe is None:
        return
    texts, V = probe.inputs, model.vocabulary_size
    if not all(isinstance(t, list) and t and all(type(i) is int and 0 <= i < V for i in t) for t in texts):
        raise BundleError(f"{bundle.path / PROBE} is no probe of this model; copy or train the model again")
    compare_outputs(bundle, probe, rounded(score_many(model, [np.array(text, np.uint32) for text in texts])), precision)


def compare_outputs(bundle: "Saved", probe: Probe, found: list[list[float | None]], precision: str = "fp32") -> None:
    """Raise BundleError, one line, where `found` is not what the probe says."""
    absolute, relative = TOLERANCE[precision]
    then, now = [x for row in probe.outputs for x in row], [x for row in found for x in row]
    for before, after in zip(then, now, strict=False):
        if before is None or after is None:
            same = before is after
        else:
            same = abs(before - after) <= absolute + relative * abs(before)
        if not same:
            raise _differs(bundle, before, after)
    if len(then) != len(now):
        raise _differs(bundle, None, None)


def _differs(bundle: "Saved", before: float | None, after: float | None) -> BundleError:
    model = bundle.config.get("model", {})
    cell = f"its cell {model['cell']} has" if isinstance(model, dict) and "cell" in model else "it has"
    figures = "" if before is None or after is None else f" ({before:.4f} when it was saved, {after:.4f} now)"
    return BundleError(
        f"{bundle.path} does not compute here what it computed when it was saved{figures}: {cell} another equation in "
        "this installation, and would write and score wrongly; load it with the code that trained it, or train it again"
    )
