"""The table of formats, and what all of them share: where the export is written, and what is refused."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from ostinato.bundle import Bundle, network_of, read_bundle
from ostinato.cells import BUILT_IN
from ostinato.errors import BundleError, UsageError
from ostinato.files import NotFlushedError, building


@dataclass(frozen=True)
class Format:
    """One format: the module that writes it, the kinds of model it takes, and what the result is called.

    The module has `write(bundle, path)`: it writes the file or folder `path`, which does not exist yet, and returns
    what is to be said of it, if anything.
    """

    module: str
    kinds: tuple[str, ...]
    ending: str
    what: str
    parts: tuple[str, ...] = ()
    """Kinds of parts that a mixture may have, for a format that takes mixtures."""

    def takes(self, bundle: Bundle) -> bool:
        """Whether the format has this kind of model."""
        if bundle.kind != "mixture" or "mixture" not in self.kinds:
            return bundle.kind in self.kinds
        return all(part["kind"] in self.parts for part in bundle.config["model"]["parts"])

    @property
    def write(self) -> Callable[[Bundle, Path], str | None]:
        """The function that writes the format; raises MissingExtraError where its package is not installed."""
        function: Callable[[Bundle, Path], str | None] = import_module(self.module).write
        return function


FORMATS: dict[str, Format] = {
    "html": Format(
        "ostinato.export.html",
        ("recurrent", "ngram", "context-mixing", "mixture"),
        ".html",
        "one HTML file that writes offline",
        ("recurrent", "ngram", "context-mixing"),
    ),
    "onnx": Format("ostinato.export.onnx", ("recurrent",), "-onnx", "a folder with two ONNX graphs"),
    "huggingface": Format("ostinato.export.huggingface", ("recurrent",), "-huggingface", "a folder for transformers"),
    "arpa": Format("ostinato.export.arpa", ("ngram",), ".arpa", "an ARPA file"),
}


def export(
    model: str | Path,
    to: str,
    out: str | Path | None = None,
    *,
    overwrite: bool = False,
    network: bool = False,
    noted: Callable[[str], None] = lambda note: None,
) -> Path:
    """Write the model at `model` in the format `to` as `out`; returns where it is.

    `out` is by default named after the model, beside it. The export appears whole or not at all. Of a mixture that the
    format does not take, or if `network` is asked for, the network alone is exported; `noted` is told what that costs.
    Raises UsageError for an unknown format, a kind of model that the format does not have, a model without a network
    where that is asked for, and a path that exists; BundleError for what cannot be read or written; MissingExtraError
    where a package is missing.
    """
    chosen = FORMATS.get(to)
    if chosen is None:
        raise UsageError(f"the format must be one of {', '.join(FORMATS)}, got {to!r}")
    bundle = read_bundle(Path(model))
    if network or not chosen.takes(bundle):
        alone = network_of(bundle)
        if network and alone is None:
            raise UsageError(f"{bundle.path} holds no network to export alone: leave out --network")
        if alone is not None and alone is not bundle and chosen.takes(alone):
            why = "" if network else f"{to} does not take this mixture: "
            noted(f"{why}the network alone is exported, which predicts less well{_cost(bundle, alone)}")
            bundle = alone
    if not chosen.takes(bundle):
        fitting = [name for name, other in FORMATS.items() if other.takes(bundle)]
        instead = f"; it can be exported to {', '.join(fitting)}" if fitting else ""
        what = f"a model of kind {bundle.kind}"
        if bundle.kind in chosen.kinds:
            what = f"a mixture with other parts than {', '.join(chosen.parts)}"
        if chosen.kinds == ("ngram",):
            instead += "; for an n-gram model of the same text: ostinato train TEXT --recipe kneser-ney"
        raise UsageError(f"{what} cannot be exported to {to}{instead}")
    own = sorted(_cells(bundle.config.get("model", {})) - set(BUILT_IN))
    if own:
        raise UsageError(f"the cell {own[0]!r:.60} is not one of {', '.join(BUILT_IN)}: it cannot be exported to {to}")
    path = Path(out) if out is not None else _beside(Path(model), chosen.ending)
    write = chosen.write
    try:
        if path.exists() and not overwrite:
            raise UsageError(f"{path} exists: name another path with -o, or replace it with --overwrite")
        with building(path) as fresh:
            said = write(bundle, fresh)
    except NotFlushedError as error:
        raise BundleError(f"{path} is saved, but its folder could not be flushed ({error.strerror})") from None
    except OSError as error:
        raise BundleError(
            f"cannot write {path}: {error.strerror or error}; what was there before is untouched"
        ) from None
    if said:
        noted(said)
    return path


def _cost(mixture: Bundle, network: Bundle) -> str:
    """What was measured of both, if it was."""
    bits = [
        one.config.get("evaluation", {}).get("held-out", {}).get("bits_per_character") for one in (network, mixture)
    ]
    if None in bits:
        return ""
    return f": {bits[0]:.3f} bits per held-out character, the mixture has {bits[1]:.3f}"


def _cells(model: Mapping[str, Any]) -> set[str]:
    """The cells of a model and of the parts of a mixture."""
    own = {str(model["cell"])} if "cell" in model else set()
    return own.union(*(_cells(part.get("model", {})) for part in model.get("parts", ())))


def _beside(model: Path, ending: str) -> Path:
    folder = model.resolve()
    return model.with_name(folder.name + ending) if model.name else folder.with_name(folder.name + ending)


def copy_file(bundle: Bundle, name: str, folder: Path) -> None:
    """Copy one file of a bundle into `folder`."""
    shutil.copyfile(bundle.path / name, folder / name)
