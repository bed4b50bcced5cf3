"""A saved model as a value: reading it from its folder, and writing it there."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.bundle.folder import FORMAT, FileContent, read_json, recover_folder, verify_folder, write_folder
from ostinato.bundle.tensors import Array, TensorFile, tensor_writer
from ostinato.errors import BundleError

if TYPE_CHECKING:
    from ostinato.text import BaseTokenizer


@dataclass(frozen=True)
class Bundle:
    """A saved model that was read: nothing of it depends on the machine it was made on."""

    path: Path
    config: dict[str, Any]
    tokenizer: "BaseTokenizer"
    tensors: Mapping[str, Array]
    card: str

    @property
    def kind(self) -> str:
        """What kind of model it is: `recurrent`, `ngram`, `mixture`."""
        return str(self.config["kind"])


def write_bundle(
    path: Path,
    *,
    config: Mapping[str, Any],
    tokenizer: "BaseTokenizer",
    tensors: Mapping[str, Array],
    card: str,
    extra: Mapping[str, FileContent] | None = None,
) -> None:
    """Save a model as the folder `path`, atomically. `extra` adds files of the model's kind. Raises BundleError."""
    document = {"format": FORMAT, **config}
    write_folder(
        path,
        {
            "config.json": (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode("utf-8"),
            "tokenizer.json": json.dumps(tokenizer.to_json(), ensure_ascii=False).encode("utf-8"),
            "model.safetensors": tensor_writer(tensors),
            "card.md": card.encode("utf-8"),
            **(extra or {}),
        },
    )


def find_bundle(path: Path) -> Path:
    """The bundle meant by `path`: the folder itself, or `model` inside the output folder of a training run.

    Raises BundleError when there is none.
    """
    for folder in (path, path / "model"):
        recover_folder(folder)
        if (folder / "config.json").is_file():
            return folder
    if not path.exists():
        raise BundleError(
            f"no model at {path}: there is no such folder; train one with `ostinato train TEXT -o {path}`"
        )
    raise BundleError(f"no model at {path}: it holds no config.json; give a folder that `ostinato train -o` made")


def read_bundle(path: Path, *, verify: bool = True) -> Bundle:
    """Read the bundle at `path` (or in `path`/model), checking it against its manifest unless `verify` is False.

    Raises BundleError when it is missing, damaged, or of a format this version does not know.
    """
    from ostinato.text import from_json

    folder = find_bundle(Path(path))
    if verify:
        verify_folder(folder)
    config = read_json(folder / "config.json")
    if config.get("format") != FORMAT:
        raise BundleError(
            f"{folder} has format {config.get('format')!r}, this version reads {FORMAT}; use a newer ostinato"
        )
    if not isinstance(config.get("kind"), str):
        raise BundleError(f"{folder / 'config.json'} does not say what kind of model it is; copy or train it again")
    try:
        tokenizer = from_json(read_json(folder / "tokenizer.json"))
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{folder / 'tokenizer.json'} is not a tokenizer ({error}); copy or train it again") from None
    card = folder / "card.md"
    text = card.read_text("utf-8", errors="replace") if card.is_file() else ""
    return Bundle(folder, config, tokenizer, TensorFile(folder / "model.safetensors"), text)
