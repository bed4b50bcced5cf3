"""A model as one HTML file that opens from disk, offline: its weights, its tokenizer, and a page to write with.

The file holds the weights as `--precision int8` has them (whole numbers and a scale per row), so the page computes what
the compiled kernels compute, with the same random numbers: see docs/export.md for what can differ. All is inline, the
scripts are classic ones, and nothing is fetched: browsers allow neither modules nor requests to a page from disk.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.bundle import Bundle
from ostinato.errors import BundleError, MissingExtraError
from ostinato.form.lexicon import Lexicon, language_of_vocabulary
from ostinato.kernels.shape import Shape, check_tensor
from ostinato.kernels.twin import quantize
from ostinato.ngram import NgramModel, from_arrays
from ostinato.text.known_words import WORDS_FILE, read_words
from ostinato.text.openings import read_opening
from ostinato.text.sounds import LIGHT, Sounds, language_of

Array = npt.NDArray[Any]

_FILES = Path(__file__).parent / "files"
SCRIPTS = (
    "kernels.js",
    "recurrent.js",
    "ngram.js",
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


def write(bundle: Bundle, path: Path) -> None:
    """Write the file `path`. Needs no package besides ostinato. Raises BundleError where the weights do not fit."""
    if bundle.config.get("text", {}).get("direction") == "backward":
        raise BundleError(
            "a model that reads from right to left cannot be exported to html; export one that reads forward"
        )
    arrays = dict(_model(bundle.kind, bundle.config["model"], bundle.tensors))
    path.write_text(page(bundle, arrays), "utf-8", newline="\n")


def page(bundle: Bundle, arrays: Mapping[str, Array]) -> str:
    """The whole file: the template with everything in its places."""
    text = bundle.config.get("text", {})
    places, data, end = {}, [], 0
    for name, array in arrays.items():
        raw = np.ascontiguousarray(array).tobytes()
        places[name] = {"type": array.dtype.name, "at": end, "size": array.size}
        padding = -len(raw) % 8
        data.append(raw + bytes(padding))
        end += len(raw) + padding
    model = {
        "version": version("ostinato"),
        "name": _name(bundle.path),
        "kind": bundle.kind,
        "model": _described(bundle.kind, bundle.config["model"]),
        "tokenizer": bundle.tokenizer.to_json(),
        "heading": str(text.get("heading", "")),
        "lineDocuments": text.get("documents") == "lines" or text.get("newlines") == "blank",
        "opening": read_opening(text, bundle.tokenizer.vocabulary_size).to_json(),
        "form": _form(bundle),
        "card": bundle.card,
        "arrays": places,
    }
    parts = {
        "title": _escaped(str(model["name"])),
        "style": _read("page.css"),
        "script": "\n".join(_read(name) for name in SCRIPTS),
        "kernels": _base64((_FILES / "kernels.wasm").read_bytes()),
        "model": json.dumps(model, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
        "weights": _base64(b"".join(data)),
    }
    first, *others = _read("page.html").split("{{")
    pieces = [first]
    for part in others:
        name, _, after = part.partition("}}")
        pieces += [parts[name], after]
    return "".join(pieces)


def _described(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What the page needs to know of a model besides its arrays."""
    if kind == "mixture":
        parts = [{"kind": part["kind"], "model": _described(part["kind"], part["model"])} for part in config["parts"]]
        return {"parts": parts, "weights": config["weights"], "vocabulary_size": config["vocabulary_size"]}
    if kind == "ngram":
        restart = config["smoothing"] == "add-k"
        return {"order": config["order"], "vocabulary_size": config["vocabulary_size"], "restart": restart}
    return {name: config[name] for name in Shape.__dataclass_fields__}


def _model(kind: str, config: Mapping[str, Any], tensors: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    """The arrays of a model; those of part k of a mixture have `k.` before their names."""
    if kind == "recurrent":
        yield from _recurrent(config, tensors)
    elif kind == "ngram":
        yield from _ngram(from_arrays(dict(config), tensors))
    else:
        for k, part in enumerate(config["parts"]):
            own = {name.removeprefix(f"{k}."): tensors[name] for name in tensors if name.startswith(f"{k}.")}
            yield from ((f"{k}.{name}", array) for name, array in _model(part["kind"], part["model"], own))


def _ngram(model: NgramModel) -> Iterator[tuple[str, Array]]:
    """The trie and the interpolations of an n-gram model; shares and weights as float32."""
    for n, (words, level) in enumerate(zip(model.words, model.levels, strict=True)):
        yield f"words_{n}", words
        yield f"share_{n}", level.share.astype(np.float32)
        yield f"weight_{n}", level.weight.astype(np.float32)
    for n, children in enumerate(model.children):
        yield f"children_{n}", children.astype(np.uint32)


def _recurrent(config: Mapping[str, Any], tensors: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    """The arrays of a recurrent model: int8 matrices with a scale per row, biases as the kernels add them.

    A matrix and its scales are NAME and NAME.scale. With one-hot input the first layer's weights stay float32,
    (V, G H), as `--precision int8` has them.
    """
    shape = Shape(**{name: config[name] for name in Shape.__dataclass_fields__})
    for name, size in shape.tensors().items():
        if name not in tensors:
            raise BundleError(f"the model lacks {name}; train or copy it again")
        check_tensor(name, tensors[name], size)
    rows, hidden = shape.gates * shape.hidden_size, shape.hidden_size
    for k in range(shape.layers):
        bias = tensors[f"recurrent.bias_ih_l{k}"].astype(np.float32)
        other = tensors[f"recurrent.bias_hh_l{k}"].astype(np.float32)
        if shape.cell == "gru":
            yield f"candidate_l{k}", other[2 * hidden :]
            other = np.where(np.arange(rows) < 2 * hidden, other, np.float32(0))
        yield f"bias_l{k}", bias + other
    yield "head.bias", tensors["head.bias"].astype(np.float32)
    for name in shape.tensors():
        if "bias" in name:
            continue
        weights = tensors[name].astype(np.float32)
        if name == "recurrent.weight_ih_l0" and shape.embedding_size == 0:
            yield name, weights.T
            continue
        whole, scale = quantize(weights)
        yield name, whole.astype(np.int8)
        yield f"{name}.scale", scale.astype(np.float32)


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
