"""What a folder with a manifest holds at one moment, although others may save to it, edit it, or have made it up.

All files are opened before one is read, relative to the open folder, so that they belong together; they must be regular
files without links. The bytes whose checksum is taken are the bytes that are used.
"""

import hashlib
import mmap
import os
import time
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.bundle.folder import MANIFEST, MANIFEST_LIMIT, recover_folder
from ostinato.errors import BundleError
from ostinato.files import UnsafeFileError, open_regular, parse_json
from ostinato.files.reading import close, read_handle

Bytes = npt.NDArray[np.uint8]

MAPPED_FROM = 256 << 20
"""Files of this many bytes and more are mapped from their open descriptor, smaller ones read into memory."""

_MOST_FILES = 1000
_ATTEMPTS = 200
_PAUSE = 0.01
_AGAIN = "copy the whole folder again, or train the model again"


@dataclass(frozen=True)
class Snapshot:
    """The files of a folder as its manifest lists them, by name: uint8 arrays; and the manifest, as it lies there."""

    folder: Path
    files: Mapping[str, Bytes]
    manifest: bytes

    def document(self, name: str, *, limit: int) -> dict[str, Any]:
        """A JSON object. Raises BundleError for anything else, and for more than `limit` bytes."""
        content = self.files[name]
        try:
            if len(content) > limit:
                raise ValueError(f"it has {len(content):,} bytes, more than the {limit:,} that are read")
            return parse_json(content.tobytes())
        except ValueError as error:
            raise BundleError(f"{self.folder / name} cannot be read ({error}); {_AGAIN}") from None


class _ChangedError(Exception):
    """The folder was replaced or written to while it was read."""


def read_snapshot(path: Path, *, required: Collection[str] = (), verify: bool = True) -> Snapshot:
    """Read the folder `path`, whose manifest must list the `required` files; waits while it is being replaced.

    verify: compare every file with its checksum. Raises BundleError, which names the first file that is missing or
    damaged.
    """
    for attempt in range(_ATTEMPTS):
        recover_folder(path)
        try:
            return _read(path, required, verify)
        except _ChangedError as changed:
            last = changed
            if attempt:
                time.sleep(_PAUSE)
    raise BundleError(f"{path} changes while it is read, again and again ({last}): try again when nothing writes to it")


def verify_folder(path: Path) -> None:
    """Check every file of a folder against its manifest. Raises BundleError naming the first damaged file."""
    read_snapshot(path)


def _read(path: Path, required: Collection[str], verify: bool) -> Snapshot:
    with ExitStack() as stack:
        folder = _Folder(path, stack)
        manifest = folder.manifest()
        entries = _entries(path, manifest)
        absent = [name for name in required if name not in entries]
        if absent:
            raise BundleError(f"{path / MANIFEST} does not list {absent[0]}: the model is damaged; {_AGAIN}")
        handles = {name: folder.open(name) for name in entries}
        files = {}
        for name, handle in handles.items():
            try:
                files[name] = _content(handle)
            except OSError as error:
                raise BundleError(f"{path / name} cannot be read ({error.strerror or error}); {_AGAIN}") from None
            if verify and not _fits(files[name], entries[name]):
                if folder.manifest() != manifest or not folder.in_place():
                    raise _ChangedError(name)
                raise BundleError(
                    f"{path / name} does not match its checksum: it was damaged or edited; copy or train it again"
                )
        return Snapshot(path, files, manifest)


class _Folder:
    """An open folder. Where the system cannot open files relative to it, they are opened by their path."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.path, self._stack, self._handle = path, stack, None
        if os.open in os.supports_dir_fd and os.stat in os.supports_dir_fd:
            try:
                self._handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:
                raise BundleError(f"{path} is not a saved model: the folder does not exist") from None
            except OSError as error:
                raise BundleError(f"{path} cannot be read ({error.strerror or error})") from None
            stack.callback(close, self._handle)

    def manifest(self) -> bytes:
        """The bytes of the manifest."""
        handle = self.open(MANIFEST)
        try:
            return read_handle(handle, MANIFEST_LIMIT)
        except (OSError, UnsafeFileError) as error:
            raise BundleError(f"{self.path / MANIFEST} cannot be read ({error}); {_AGAIN}") from None

    def open(self, name: str) -> int:
        """A descriptor of a file in it. Raises BundleError, _ChangedError where the folder has been replaced."""
        whole = self.path / name
        try:
            self._check_parents(name)
            at = whole if self._handle is None else name
            handle = open_regular(at, folder=self._handle, links=False)
        except FileNotFoundError:
            if not self.in_place():
                raise _ChangedError(name) from None
            if name == MANIFEST:
                raise BundleError(f"{self.path} is not a saved model: it has no {MANIFEST}") from None
            raise BundleError(f"{whole} is missing: the model is incomplete; copy the whole folder again") from None
        except UnsafeFileError as error:
            raise BundleError(f"{whole} cannot be read ({error}); {_AGAIN}") from None
        except OSError as error:
            raise BundleError(f"{whole} cannot be read ({error.strerror or error}); {_AGAIN}") from None
        self._stack.callback(close, handle)
        return handle

    def in_place(self) -> bool:
        """Whether the path still leads to the folder that was opened."""
        try:
            there = os.stat(self.path)
        except OSError:
            return False
        return self._handle is None or os.path.samestat(there, os.fstat(self._handle))

    def _check_parents(self, name: str) -> None:
        for parent in list(PurePosixPath(name).parents)[:-1]:
            if os.path.islink(self.path / parent):
                raise UnsafeFileError(f"{parent} is a link, and links are not followed here")


def _entries(path: Path, manifest: bytes) -> dict[str, tuple[int, str]]:
    """Size and SHA-256 of each file that the manifest lists."""
    try:
        files = parse_json(manifest).get("files")
    except ValueError as error:
        raise BundleError(f"{path / MANIFEST} cannot be read ({error}); {_AGAIN}") from None
    if not isinstance(files, dict) or not files:
        raise BundleError(f"{path / MANIFEST} lists no files: the model is damaged; {_AGAIN}")
    if len(files) > _MOST_FILES:
        raise BundleError(f"{path / MANIFEST} lists {len(files):,} files, more than a model has; {_AGAIN}")
    entries = {}
    for name, entry in files.items():
        size, checksum = (entry.get("bytes"), entry.get("sha256")) if isinstance(entry, dict) else (None, None)
        if not _is_inside(name) or type(size) is not int or not isinstance(checksum, str):
            raise BundleError(f"{path / MANIFEST} is damaged at {name[:80]!r}; {_AGAIN}")
        entries[name] = (size, checksum)
    return entries


def _is_inside(name: str) -> bool:
    """Whether a name means a file in the folder, the same one on every system."""
    parts = name.split("/")
    return name != MANIFEST and not any(part in ("", ".", "..") or set(part) & set("\\:\0") for part in parts)


def _content(handle: int) -> Bytes:
    """All of an open file: read into memory, or mapped where it is large."""
    size = os.fstat(handle).st_size
    if size >= MAPPED_FROM:
        return np.frombuffer(mmap.mmap(handle, size, access=mmap.ACCESS_READ), np.uint8)
    content = np.empty(size, np.uint8)
    with open(handle, "rb", closefd=False, buffering=0) as file:
        read = 0
        while read < size and (count := file.readinto(content[read:])):  # type: ignore[arg-type]
            read += count
    return content[:read]


def read_file(path: Path) -> Bytes:
    """A regular file: read into memory, or mapped where it is large. Raises OSError and UnsafeFileError."""
    handle = open_regular(path)
    try:
        return _content(handle)
    finally:
        close(handle)


def _fits(content: Bytes, entry: tuple[int, str]) -> bool:
    size, checksum = entry
    return len(content) == size and hashlib.sha256(content.data).hexdigest() == checksum
