"""From a bundle of any kind to the model in it."""

from pathlib import Path
from typing import Any

from ostinato.bundle import Bundle, read_bundle
from ostinato.errors import BundleError, UsageError
from ostinato.protocols import StepModel
from ostinato.runtime.recurrent import load_recurrent
from ostinato.runtime.window import load_window


def load(
    source: Bundle | str | Path, *, precision: str = "fp32", isa: str | None = None, threads: int | None = None
) -> StepModel:
    """The model in a bundle, or in the bundle at a path (which is verified first).

    precision: fp32, or int8 for the weights of recurrent models. isa: the kernels (None: as OSTINATO_ISA says, or the
    best there are). threads: how many share a token's work at most (None: as many as pay). Raises BundleError for
    what is damaged or unknown, UsageError for a choice that cannot be had.
    """
    bundle = source if isinstance(source, Bundle) else read_bundle(Path(source))
    if bundle.kind == "recurrent":
        return load_recurrent(bundle, precision=precision, isa=isa, threads=threads)
    if precision != "fp32" and bundle.kind in ("ngram", "context-mixing", "window"):
        raise UsageError(f"a model of kind {bundle.kind} has no {precision} weights: leave precision at fp32")
    if bundle.kind == "ngram":
        from ostinato.ngram import from_arrays

        return from_arrays(_settings(bundle), bundle.tensors)
    if bundle.kind == "context-mixing":
        from ostinato.mixing import from_tensors

        return from_tensors(_settings(bundle), bundle.tensors)
    if bundle.kind == "mixture":
        from ostinato.ngram import load_mixture

        return load_mixture(bundle, lambda part: load(part, precision=precision, isa=isa, threads=threads))
    if bundle.kind == "window":
        return load_window(bundle)
    if bundle.kind == "task":
        raise BundleError(
            f"{bundle.path} holds no language model but one to {bundle.config.get('task', {}).get('name')}: "
            "use it with `ostinato predict`"
        )
    raise BundleError(
        f"{bundle.path} holds a model of kind {bundle.kind!r}, which this version cannot write or score with"
    )


def _settings(bundle: Bundle) -> dict[str, Any]:
    settings = bundle.config.get("model")
    if not isinstance(settings, dict):
        raise BundleError(f'{bundle.path / "config.json"} has no table "model"; train or copy the model again')
    return settings
