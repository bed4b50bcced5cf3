"""The arrays of a saved model: one safetensors file, checked when it is opened."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.bundle.snapshot import Bytes, read_file
from ostinato.errors import BundleError
from ostinato.files import UnsafeFileError, parse_json, unload

_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "<b1",
}  # fmt: skip
_ORDER = ("U64", "I64", "F64", "F32", "U32", "I32", "F16", "U16", "I16", "I8", "U8", "BOOL")
"""In which the arrays of a file follow each other: large numbers first, so that all lie at multiples of their size."""
_PIECE = 1 << 21
"""Numbers that are written at a time."""
_HEADER_LIMIT = 100 * 2**20

Array = npt.NDArray[Any]


class TensorFile(Mapping[str, Array]):
    """The arrays of a safetensors file, read-only views of its bytes.

    content: the bytes, where they have been read; else the file at `path` is read.
    Raises BundleError for a file that is truncated or whose header does not fit it: the tensors must fill it one after
    the other, without gaps and without sharing a byte.
    """

    def __init__(self, path: Path, content: Bytes | None = None) -> None:
        self._entries: dict[str, tuple[str, tuple[int, ...], int]] = {}
        self.metadata: dict[str, str] = {}
        try:
            given = read_file(path) if content is None else content
            self._bytes = given.view()
            self._bytes.flags.writeable = False
            self._read_header(len(self._bytes))
        except FileNotFoundError:
            raise BundleError(f"{path} is missing: the model is incomplete; copy the whole folder again") from None
        except (OSError, ValueError, KeyError, TypeError, UnsafeFileError) as error:
            raise BundleError(
                f"{path} is not a readable safetensors file ({error!s:.300}); copy or train it again"
            ) from None

    def _read_header(self, size: int) -> None:
        length = int.from_bytes(self._bytes[:8].tobytes(), "little")
        if not 2 <= length <= min(size - 8, _HEADER_LIMIT):
            raise ValueError(f"header of {length} bytes in a file of {size}")
        header = parse_json(self._bytes[8 : 8 + length].tobytes())
        self.metadata = header.pop("__metadata__", {})
        start = 8 + length
        spans = []
        for name, entry in header.items():
            dtype, shape, (begin, end) = _DTYPES[entry["dtype"]], tuple(entry["shape"]), entry["data_offsets"]
            if not all(type(n) is int and n >= 0 for n in (*shape, begin, end)) or len(shape) > 32:
                raise ValueError(f"tensor {name!r:.100} has a negative or fractional size, or too many")
            if end - begin != math.prod(shape) * np.dtype(dtype).itemsize or start + end > size:
                raise ValueError(f"tensor {name!r:.100} does not fit the file")
            self._entries[name] = (dtype, shape, start + begin)
            spans.append((begin, end, name))
        at = 0
        for begin, end, name in sorted(spans):
            if begin != at:
                raise ValueError(
                    f"tensor {name!r:.100} {'shares bytes with another' if begin < at else 'follows a gap'}"
                )
            at = end
        if start + at != size:
            raise ValueError(f"{size - start - at} bytes belong to no tensor")

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
    """A function for `write_folder` that saves `tensors` as a safetensors file, byte for byte as its library would.

    Written piece by piece: of arrays that are mapped files, no more than a piece is ever in memory.
    """

    def write(path: Path) -> None:
        names = {np.dtype(ours): theirs for theirs, ours in _DTYPES.items()}
        arrays = {name: np.ascontiguousarray(value, value.dtype.newbyteorder("<")) for name, value in tensors.items()}
        in_order = sorted(arrays, key=lambda name: (_ORDER.index(names[arrays[name].dtype]), name))
        header, at = {}, 0
        for name in in_order:
            value = arrays[name]
            end = at + value.nbytes
            header[name] = {"dtype": names[value.dtype], "shape": list(value.shape), "data_offsets": [at, end]}
            at = end
        described = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
        described += b" " * (-len(described) % 8)
        with path.open("wb") as file:
            file.write(len(described).to_bytes(8, "little") + described)
            for name in in_order:
                flat = arrays[name].reshape(-1)
                for first in range(0, len(flat), _PIECE):
                    file.write(flat[first : first + _PIECE].tobytes())
                    unload(tensors[name])

    return write
