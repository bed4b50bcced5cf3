"""A saved model as a value: reading it from its folder, and writing it there."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ostinato.bundle.finding import find_bundle
from ostinato.bundle.folder import FORMAT, FileContent, write_folder
from ostinato.bundle.probe import PROBE, Probe, read_probe
from ostinato.bundle.snapshot import Bytes, read_snapshot
from ostinato.bundle.storage import packed, unpacked
from ostinato.bundle.tensors import Array, TensorFile, tensor_writer
from ostinato.errors import BundleError

if TYPE_CHECKING:
    from ostinato.text import BaseTokenizer


CONFIG, TOKENIZER, TENSORS, CARD = "config.json", "tokenizer.json", "model.safetensors", "card.md"
TOKENIZER_DIGEST = "tokenizer_sha256"
"""Of `tokenizer.json`: another one, of as many tokens, does not belong to the weights. Older models do not have it."""

_CONFIG_LIMIT, _TOKENIZER_LIMIT, _CARD_LIMIT = 16 << 20, 512 << 20, 16 << 20


@dataclass(frozen=True)
class Bundle:
    """A saved model that was read: nothing of it depends on the machine it was made on."""

    path: Path
    config: dict[str, Any]
    tokenizer: "BaseTokenizer"
    tensors: Mapping[str, Array]
    card: str
    files: Mapping[str, Bytes] = field(default_factory=dict, repr=False)
    """Every file as it was read and checked, without the manifest: what a copy of the model is made of."""

    @property
    def kind(self) -> str:
        """What kind of model it is: `recurrent`, `ngram`, `mixture`."""
        return str(self.config["kind"])

    @property
    def probe(self) -> Probe | None:
        """What the model computed when it was saved; None in bundles of before version 0.2. Raises BundleError."""
        return read_probe(self)


def write_bundle(
    path: Path,
    *,
    config: Mapping[str, Any],
    tokenizer: "BaseTokenizer",
    tensors: Mapping[str, Array],
    card: str,
    extra: Mapping[str, FileContent] | None = None,
    storage: str = "float32",
    probe: Probe | None = None,
) -> None:
    """Save a model as the folder `path`, atomically. `extra` adds files of the model's kind.

    probe: what the model computes, with the weights as they are stored.

    storage: how the weights are kept, `float32`, `float16` or `int8` (see `storage`). Raises BundleError.
    """
    cut = json.dumps(tokenizer.to_json(), ensure_ascii=False).encode("utf-8")
    document = _finite({"format": FORMAT, **config, TOKENIZER_DIGEST: hashlib.sha256(cut).hexdigest()})
    document.pop("storage", None)  # of the model that the config was read from
    if storage != "float32":
        document["storage"] = storage
    write_folder(
        path,
        {
            CONFIG: (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8"),
            TOKENIZER: cut,
            TENSORS: tensor_writer(packed(tensors, storage)),
            CARD: card.encode("utf-8"),
            **({PROBE: probe.to_bytes()} if probe is not None else {}),
            **(extra or {}),
        },
    )


def read_bundle(path: Path, *, verify: bool = True) -> Bundle:
    """Read the bundle at `path` (or in `path`/model), checking it against its manifest unless `verify` is False.

    Raises BundleError when it is missing, damaged, or of a format this version does not know.
    """
    try:
        return _read_bundle(Path(path), verify)
    except OSError as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"the model at {path} cannot be read: {error.strerror or error}") from None


def _read_bundle(path: Path, verify: bool) -> Bundle:
    from ostinato.text import from_json

    folder = find_bundle(path)
    snapshot = read_snapshot(folder, required=(CONFIG, TOKENIZER, TENSORS), verify=verify)
    config = snapshot.document(CONFIG, limit=_CONFIG_LIMIT)
    if config.get("format") != FORMAT:
        raise BundleError(
            f"{folder} has format {config.get('format')!r:.40}, this version reads {FORMAT}; use a newer ostinato"
        )
    if not isinstance(config.get("kind"), str):
        raise BundleError(f"{folder / CONFIG} does not say what kind of model it is; copy or train it again")
    try:
        tokenizer = from_json(snapshot.document(TOKENIZER, limit=_TOKENIZER_LIMIT))
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{folder / TOKENIZER} is not a tokenizer ({error}); copy or train it again") from None
    if config.get(TOKENIZER_DIGEST) not in (None, hashlib.sha256(snapshot.files[TOKENIZER].data).hexdigest()):
        raise BundleError(
            f"{folder / TOKENIZER} is not the tokenizer that the model was saved with: they do not belong together; "
            "copy the whole folder again"
        )
    card = snapshot.files.get(CARD, np.zeros(0, np.uint8))[:_CARD_LIMIT].tobytes().decode("utf-8", "replace")
    stored = TensorFile(folder / TENSORS, snapshot.files[TENSORS])
    tensors = unpacked(stored, config.get("storage"), folder)
    return Bundle(folder, config, tokenizer, tensors, card, snapshot.files)


def _finite(value: Any) -> Any:
    """`value` as JSON can hold it: numbers that are not finite become null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
