"""A model as one HTML file that opens from disk, offline: its weights, its tokenizer, and a page to write with.

The file holds the weights as `--precision int8` has them (whole numbers and a scale per row), so the page computes what
the compiled kernels compute, with the same random numbers: see docs/export.md for what can differ. All is inline, the
scripts are classic ones, and nothing is fetched: browsers allow neither modules nor requests to a page from disk.
"""

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.bundle import Bundle, network_of
from ostinato.errors import BundleError, MissingExtraError
from ostinato.export.page_models import describe
from ostinato.form.lexicon import Lexicon, language_of_vocabulary
from ostinato.text.known_words import WORDS_FILE, read_words
from ostinato.text.openings import read_opening
from ostinato.text.sounds import LIGHT, Sounds, language_of

Array = npt.NDArray[Any]

_FILES = Path(__file__).parent / "files"
SCRIPTS = (
    "kernels.js",
    "recurrent.js",
    "ngram.js",
    "mixing.js",
    "mixture.js",
    "tokenizers.js",
    "sampling.js",
    "writing.js",
    "lexicon.js",
    "form.js",
    "opening.js",
    "words.js",
    "page.js",
)
"""The page's scripts, in the order they stand in it."""


def write(bundle: Bundle, path: Path) -> str:
    """Write the file `path`, and return how large it is. Needs no package besides ostinato.

    Raises BundleError where the weights do not fit.
    """
    if bundle.config.get("text", {}).get("direction") == "backward":
        raise BundleError(
            "a model that reads from right to left cannot be exported to html; export one that reads forward"
        )
    model, arrays = describe(bundle.kind, bundle.config["model"], bundle.tensors)
    packed = pack(arrays)
    path.write_text(page(bundle, model, packed), "utf-8", newline="\n")
    return f"the page is {path.stat().st_size / 1e6:.1f} MB{_of_counts(bundle, arrays, packed)}"


def _of_counts(bundle: Bundle, arrays: Mapping[str, Array], packed: "Packed") -> str:
    """How much of a page is a mixture's models of counts."""
    if network_of(bundle) in (None, bundle):
        return ""
    parts = bundle.config["model"]["parts"]
    networks = tuple(f"{k}." for k, part in enumerate(parts) if part["kind"] == "recurrent")
    rest = sum(array.nbytes for name, array in arrays.items() if name.startswith(networks))
    size = (len(packed.data) - rest) * 4 / 3e6
    return f", of which the count-based models take {size:.1f} MB (--network leaves them out)"


@dataclass(frozen=True)
class Packed:
    """Arrays one after the other, each from a multiple of 8 on: where they are, and the bytes, deflated where that is
    worth that older browsers cannot inflate them."""

    places: Mapping[str, Mapping[str, Any]]
    data: bytes
    deflated: bool


def pack(arrays: Mapping[str, Array]) -> Packed:
    """The arrays of a page. The tables of a context-mixing model are deflated."""
    places, data, end = {}, [], 0
    for name, array in arrays.items():
        raw = np.ascontiguousarray(array).tobytes()
        places[name] = {"type": array.dtype.name, "at": end, "size": array.size}
        padding = -len(raw) % 8
        data.append(raw + bytes(padding))
        end += len(raw) + padding
    deflated = any(name.endswith("records.used") for name in arrays)
    joined = b"".join(data)
    return Packed(places, zlib.compress(joined) if deflated else joined, deflated)


def page(bundle: Bundle, described: Mapping[str, Any], packed: Packed) -> str:
    """The whole file: the template with everything in its places."""
    text = bundle.config.get("text", {})
    model = {
        "version": version("ostinato"),
        "name": _name(bundle.path),
        "kind": bundle.kind,
        "model": described,
        "tokenizer": bundle.tokenizer.to_json(),
        "heading": str(text.get("heading", "")),
        "lineDocuments": text.get("documents") == "lines" or text.get("newlines") == "blank",
        "opening": read_opening(text, bundle.tokenizer.vocabulary_size).to_json(),
        "form": _form(bundle),
        "card": bundle.card,
        "arrays": packed.places,
        "deflated": packed.deflated,
    }
    parts = {
        "title": _escaped(str(model["name"])),
        "style": _read("page.css"),
        "script": "\n".join(_read(name) for name in SCRIPTS),
        "kernels": _base64((_FILES / "kernels.wasm").read_bytes()),
        "model": json.dumps(model, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
        "weights": _base64(packed.data),
    }
    first, *others = _read("page.html").split("{{")
    pieces = [first]
    for part in others:
        name, _, after = part.partition("}}")
        pieces += [parts[name], after]
    return "".join(pieces)


def _form(bundle: Bundle) -> dict[str, Any] | None:
    """The words that the page may write in form, with lengths and rhymes; None where they are not known.

    They are the words of the vocabulary, or for a model that spells those of its training text. Sounds come from the
    dictionaries of the extra `form`; without it the page writes freely only.
    """
    spelled = read_words(bundle.path / WORDS_FILE) if bundle.tokenizer.kind in ("character", "byte") else None
    language = language_of_vocabulary(bundle.tokenizer) or (language_of(" ".join(spelled)) if spelled else None)
    if language is None or (language == "en" and bundle.tokenizer.kind == "character" and spelled is None):
        return None
    try:
        lexicon = Lexicon(bundle.tokenizer, Sounds(), language, words=spelled)
        rhymes = lexicon.rhymes()
    except MissingExtraError:
        return None
    every = lexicon.every_key()
    names = sorted(frozenset().union(*rhymes, *every))
    number = {name: at for at, name in enumerate(names)}
    others = {row: sorted(number[key] for key in every[row] - own) for row, own in enumerate(rhymes)}
    return {
        "language": language,
        "marksFirst": lexicon.marks_first,
        "words": "\n".join(lexicon.texts),
        "units": lexicon.units.tolist(),
        "rhymes": [sorted(number[key] for key in keys) for keys in rhymes],
        "others": {row: keys for row, keys in others.items() if keys},
        "light": sorted(LIGHT[language]),
        "names": names if language == "zh" else [],
        "inside": list(lexicon.inside),
        "ending": list(lexicon.ending),
    }


def _name(path: Path) -> str:
    folder = path.resolve()
    return folder.parent.name if folder.name in ("model", "checkpoint") else folder.name


def _read(name: str) -> str:
    return (_FILES / name).read_text("utf-8").strip()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
