"""The saved model on disk: a folder with its settings, tokenizer, weights, card, and a manifest of checksums.

    config.json         format version, model kind and shape, how the text was cut
    tokenizer.json      the tokenizer
    model.safetensors   the weights, or an n-gram model's arrays
    card.md             what it was trained on, for how long, how good it is
    manifest.json       size and SHA-256 of every other file

A folder is written beside its place, flushed to the disk, and then exchanged with the old one: after a crash at any
moment there is either the old folder or the new one, whole. Checkpoints are written the same way.
"""

import contextlib
import ctypes
import hashlib
import json
import math
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ostinato.errors import BundleError

if TYPE_CHECKING:
    from ostinato.text import BaseTokenizer

FORMAT = 1
MANIFEST = "manifest.json"
_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "<b1",
}  # fmt: skip
_HEADER_LIMIT = 100 * 2**20

Array = npt.NDArray[Any]
FileContent = bytes | Callable[[Path], None]


def write_folder(path: Path, files: Mapping[str, FileContent]) -> None:
    """Write `files` (bytes, or a function that writes the file at the path it is given) and their manifest as folder
    `path`, replacing what was there at once or not at all.

    Raises BundleError when the disk is full or not writable; the old folder is then untouched.
    """
    path = path.absolute()
    fresh = path.with_name(f".{path.name}.new")
    if path.exists() and not path.is_dir():
        raise BundleError(f"cannot save {path}: it is a file; name a folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        recover_folder(path)
        _remove(fresh)
        fresh.mkdir()
        manifest = {}
        for name, content in files.items():
            target = fresh / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if callable(content):
                content(target)
            else:
                target.write_bytes(content)
            _flush(target)
            manifest[name] = {"bytes": target.stat().st_size, "sha256": _sha256(target)}
        (fresh / MANIFEST).write_text(json.dumps({"format": FORMAT, "files": manifest}, indent=1) + "\n", "utf-8")
        _flush(fresh / MANIFEST)
        for folder in sorted({(fresh / name).parent for name in files} | {fresh}):
            _flush(folder)
        _exchange(fresh, path)
        _flush(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            _remove(fresh)
        raise BundleError(
            f"cannot save {path}: {error.strerror or error}; what was there before is untouched"
        ) from None


def verify_folder(path: Path) -> None:
    """Check every file of a folder against its manifest. Raises BundleError naming the first damaged file."""
    recover_folder(path)
    manifest = _read_json(path / MANIFEST)
    files = manifest.get("files")
    if not isinstance(files, dict):
        raise BundleError(f"{path / MANIFEST} lists no files: the model is damaged; train or copy it again")
    for name, expected in files.items():
        file = path / name
        if not _inside(path, file) or not isinstance(expected, dict):
            raise BundleError(f"{path / MANIFEST} is damaged at {name!r}; train or copy the model again")
        if not file.is_file():
            raise BundleError(f"{file} is missing: the model is incomplete; copy the whole folder again")
        if file.stat().st_size != expected.get("bytes") or _sha256(file) != expected.get("sha256"):
            raise BundleError(f"{file} does not match its checksum: it was damaged or edited; copy or train it again")


def recover_folder(path: Path) -> None:
    """Finish an exchange that was cut short between its two renames (only where the system has no atomic exchange)."""
    path = path.absolute()
    aside = path.with_name(f".{path.name}.old")
    if aside.is_dir() and not path.exists():
        os.rename(aside, path)


def _inside(folder: Path, file: Path) -> bool:
    return file.resolve().is_relative_to(folder.resolve())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)


def _flush(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a folder for flushing
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _exchange(fresh: Path, path: Path) -> None:
    """Put folder `fresh` in the place of `path`."""
    if not path.exists():
        os.rename(fresh, path)
    elif _exchange_atomically(fresh, path):
        _remove(fresh)
    else:
        aside = path.with_name(f".{path.name}.old")
        _remove(aside)
        os.rename(path, aside)
        os.rename(fresh, path)
        _remove(aside)


def _exchange_atomically(first: Path, second: Path) -> bool:
    """Exchange two paths in one step with Linux's renameat2(RENAME_EXCHANGE). False where there is no such call."""
    if not sys.platform.startswith("linux"):
        return False
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(renameat2(here, os.fsencode(first), here, os.fsencode(second), exchange) == 0)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{path.parent} is not a saved model: it has no {path.name}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path} cannot be read ({error}); copy or train the model again") from None
    if not isinstance(data, dict):
        raise BundleError(f"{path} does not hold a JSON object; copy or train the model again")
    return data


class TensorFile(Mapping[str, Array]):
    """The arrays of a safetensors file, read-only and memory-mapped: opening it reads the header alone.

    Raises BundleError for a file that is truncated or whose header does not fit it.
    """

    def __init__(self, path: Path) -> None:
        self._bytes: Array = np.zeros(0, np.uint8)
        self._entries: dict[str, tuple[str, tuple[int, ...], int]] = {}
        self.metadata: dict[str, str] = {}
        try:
            # All of it is mapped at once: the file may be replaced by a newer one while this one is in use.
            self._bytes = np.memmap(path, np.uint8, "r").view(np.ndarray)
            self._read_header(len(self._bytes))
        except FileNotFoundError:
            raise BundleError(f"{path} is missing: the model is incomplete; copy the whole folder again") from None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise BundleError(f"{path} is not a readable safetensors file ({error}); copy or train it again") from None

    def _read_header(self, size: int) -> None:
        length = int.from_bytes(self._bytes[:8].tobytes(), "little")
        if not 2 <= length <= min(size - 8, _HEADER_LIMIT):
            raise ValueError(f"header of {length} bytes in a file of {size}")
        header = json.loads(self._bytes[8 : 8 + length].tobytes().decode("utf-8"))
        if not isinstance(header, dict):
            raise TypeError("its header is no object")
        self.metadata = header.pop("__metadata__", {})
        start = 8 + length
        for name, entry in header.items():
            dtype, shape, (begin, end) = _DTYPES[entry["dtype"]], tuple(entry["shape"]), entry["data_offsets"]
            if not all(type(n) is int and n >= 0 for n in (*shape, begin, end)):
                raise ValueError(f"tensor {name!r} has a negative or fractional size")
            if end - begin != math.prod(shape) * np.dtype(dtype).itemsize or start + end > size:
                raise ValueError(f"tensor {name!r} does not fit the file")
            self._entries[name] = (dtype, shape, start + begin)

    def __getitem__(self, name: str) -> Array:
        dtype, shape, offset = self._entries[name]
        if 0 in shape:
            return np.zeros(shape, dtype)
        count = math.prod(shape) * np.dtype(dtype).itemsize
        return self._bytes[offset : offset + count].view(dtype).reshape(shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def tensor_writer(tensors: Mapping[str, Array]) -> Callable[[Path], None]:
    """A function for `write_folder` that saves `tensors` as a safetensors file."""

    def write(path: Path) -> None:
        from safetensors import SafetensorError
        from safetensors.numpy import save_file

        try:
            save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, path)
            os.chmod(path, 0o644)  # save_file makes it readable to its owner alone
        except SafetensorError as error:
            raise OSError(str(error)) from error

    return write


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
    config = _read_json(folder / "config.json")
    if config.get("format") != FORMAT:
        raise BundleError(
            f"{folder} has format {config.get('format')!r}, this version reads {FORMAT}; use a newer ostinato"
        )
    if not isinstance(config.get("kind"), str):
        raise BundleError(f"{folder / 'config.json'} does not say what kind of model it is; copy or train it again")
    try:
        tokenizer = from_json(_read_json(folder / "tokenizer.json"))
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{folder / 'tokenizer.json'} is not a tokenizer ({error}); copy or train it again") from None
    card = folder / "card.md"
    text = card.read_text("utf-8", errors="replace") if card.is_file() else ""
    return Bundle(folder, config, tokenizer, TensorFile(folder / "model.safetensors"), text)
