"""From a bundle of any kind to the model in it."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ostinato.bundle import AnyConfig, Bundle, MixtureConfig, check_probe, model_config, read_bundle
from ostinato.errors import BundleError, UsageError
from ostinato.protocols import StepModel
from ostinato.runtime.recurrent import load_recurrent
from ostinato.runtime.window import load_window

_TASKS = {
    "classify": "a classifier", "forecast": "a forecaster", "next-line": "a model that proposes next lines",
    "tag": "a tagger", "translate": "a translator",
}  # fmt: skip


def load(
    source: Bundle | str | Path, *, precision: str = "fp32", isa: str | None = None, threads: int | None = None
) -> StepModel:
    """The model in a bundle, or in the bundle at a path (which is verified first).

    precision: fp32, or int8 for the weights of recurrent models. isa: the kernels (None: as OSTINATO_ISA says, or the
    best there are). threads: how many share a token's work at most (None: as many as pay). Raises BundleError for
    what is damaged or unknown, or computes other outputs than when it was saved, UsageError for a choice that cannot
    be had.
    """
    bundle = source if isinstance(source, Bundle) else read_bundle(Path(source))
    loader = _LOADERS.get(bundle.kind)
    if loader is not None:
        model = loader(bundle, _Choice(precision, isa, threads))
        check_probe(bundle, model, precision)
        return model
    if bundle.kind == "task":
        name = bundle.config.get("task", {}).get("name")
        kind = _TASKS.get(name, f"a model for the task {name}")
        raise BundleError(f"{bundle.path} is {kind}, not a language model: use it with `ostinato predict`")
    raise BundleError(
        f"{bundle.path} holds a model of kind {bundle.kind!r:.60}, which this version cannot write or score with"
    )


@dataclass(frozen=True)
class _Choice:
    """How a model is to be run."""

    precision: str
    isa: str | None
    threads: int | None

    def refuse_precision(self, kind: str) -> None:
        if self.precision != "fp32":
            raise UsageError(f"a model of kind {kind} has no {self.precision} weights: leave precision at fp32")


def _recurrent(bundle: Bundle, choice: _Choice) -> StepModel:
    return load_recurrent(bundle, precision=choice.precision, isa=choice.isa, threads=choice.threads)


def _window(bundle: Bundle, choice: _Choice) -> StepModel:
    choice.refuse_precision("window")
    return load_window(bundle)


def _ngram(bundle: Bundle, choice: _Choice) -> StepModel:
    from ostinato.ngram import load_ngram

    choice.refuse_precision("ngram")
    return load_ngram(bundle)


def _context_mixing(bundle: Bundle, choice: _Choice) -> StepModel:
    from ostinato.mixing import from_tensors

    choice.refuse_precision("context-mixing")
    model_config(AnyConfig, bundle)
    return from_tensors(bundle.config["model"], bundle.tensors)


def _mixture(bundle: Bundle, choice: _Choice) -> StepModel:
    from ostinato.ngram import load_mixture

    parts = model_config(MixtureConfig, bundle).parts
    if not _WITH_INT8 & {_kind(part) for part in parts}:
        choice.refuse_precision("mixture without a recurrent network")

    def load_part(part: Bundle) -> StepModel:
        own = choice if part.kind in _WITH_INT8 else dataclasses.replace(choice, precision="fp32")
        return load(part, **dataclasses.asdict(own))

    return load_mixture(bundle, load_part)


def _kind(part: Mapping[str, Any]) -> Any:
    """That of a part of a mixture, or of the network that a continuous cache belongs to."""
    own = part["model"].get("of", part)
    return own.get("kind") if isinstance(own, Mapping) else None


_WITH_INT8 = {"recurrent"}
"""Kinds with weights that can be int8; the other parts of a mixture are as they are."""


_LOADERS: dict[str, Callable[[Bundle, _Choice], StepModel]] = {
    "recurrent": _recurrent,
    "window": _window,
    "ngram": _ngram,
    "context-mixing": _context_mixing,
    "mixture": _mixture,
}
"""What loads each kind of language model: a new kind needs a line here and a config in `bundle/config.py`."""
