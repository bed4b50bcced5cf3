"""Texts inside a zip or packed by gzip: streamed, never extracted, and a bomb is refused before anything is read."""

import gzip
import io
import lzma
import stat
import weakref
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

from ostinato.errors import TextError

MAX_MEMBERS = 100_000
MAX_BYTES = 16 << 30
MAX_RATIO = 200
"""Text seldom shrinks more than 10-fold. Members of less than `RATIO_FROM` bytes may, whatever they hold."""
RATIO_FROM = 1 << 20
SUM_FROM = 8 << 20
"""All members together may always unpack to so many bytes; to more, up to `MAX_RATIO` times the file's own size."""

BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, UnicodeDecodeError)
"""What `zipfile` raises on damaged or unknown contents."""


def is_zip(path: Path) -> bool:
    """Whether a file calls itself a zip or begins like one."""
    if path.suffix.lower() == ".zip":
        return True
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


class Archive:
    """An open zip whose directory has been checked against the caps."""

    def __init__(self, path: Path) -> None:
        """Raises TextError for a broken, encrypted or suspicious zip, OSError if the file cannot be read."""
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except BROKEN as error:
            raise TextError(f"{path} is not a readable zip: {error}") from None
        weakref.finalize(self, self._zip.close)
        self._check()

    def _check(self) -> None:
        members = self._zip.infolist()
        if not all(member.filename for member in members):
            raise TextError(f"{self.path} is not a readable zip: a member has no name")
        if len(members) > MAX_MEMBERS:
            raise TextError(f"{self.path} has {len(members):,} members, more than {MAX_MEMBERS:,}: unpack it first")
        # zipfile never reads more than a member declares, so that what is declared can be trusted as a cap
        total = sum(member.file_size for member in members)
        if total > MAX_BYTES:
            raise TextError(f"{self.path} would unpack to {total:,} bytes, more than {MAX_BYTES:,}: unpack it first")
        for member in members:
            if member.file_size > max(RATIO_FROM, MAX_RATIO * member.compress_size):
                ratio = member.file_size // max(1, member.compress_size)
                raise TextError(f"{self.path}: {member.filename} would unpack to {ratio} times its size, more than "
                                f"{MAX_RATIO}: unpack it first if you trust it")  # fmt: skip
        size = self.path.stat().st_size
        if total > max(SUM_FROM, MAX_RATIO * size):
            raise TextError(f"{self.path} would unpack to {total // max(1, size)} times its size, more than "
                            f"{MAX_RATIO}: unpack it first if you trust it")  # fmt: skip

    def members(self) -> list[zipfile.ZipInfo]:
        """The members that are files or links, in the order of their names; of one name, in that of the zip."""
        files = [member for member in self._zip.infolist() if not member.is_dir()]
        return sorted(files, key=lambda member: member.filename)

    @property
    def is_container(self) -> bool:
        """Whether it is the package of another format (an office document, a book, a program), no zip of texts."""
        names = set(self._zip.namelist())
        return bool(names & {"[Content_Types].xml", "mimetype", "META-INF/container.xml", "META-INF/MANIFEST.MF"})

    @property
    def document_kind(self) -> str:
        """The ending that a container's content calls for, "" if it is no document that can be read."""
        for ending, part in (
            (".docx", "word/document.xml"),
            (".epub", "META-INF/container.xml"),
            (".odt", "content.xml"),
        ):
            if part in self._zip.namelist():
                return ending
        return ""

    def open(self, member: zipfile.ZipInfo) -> BinaryIO:
        """A stream of a member's bytes. Raises TextError if it is encrypted, one of BROKEN if it is damaged."""
        if member.flag_bits & 1:
            raise TextError(f"{self.path}: {member.filename} is encrypted: unpack it first")
        return cast(BinaryIO, self._zip.open(member))


def is_link(member: zipfile.ZipInfo) -> bool:
    """Whether a member is a symbolic link: its bytes are a path, not a text."""
    return stat.S_ISLNK(member.external_attr >> 16)


class Unpacking:
    """What the gzip files of one reading have given so far, all together, against what was read of them."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[int, int]] = {}
        self._given = self._packed = 0

    def count(self, name: str, given: int, packed: int) -> None:
        """The file `name` has given so many bytes of so many packed ones. Raises TextError beyond what text shrinks
        to."""
        before = self._files.get(name, (0, 0))
        self._files[name] = now = max(before[0], given), max(before[1], packed)
        self._given, self._packed = self._given + now[0] - before[0], self._packed + now[1] - before[1]
        if self._given > max(SUM_FROM, MAX_RATIO * self._packed) or self._given > MAX_BYTES:
            raise TextError(
                f"{name}, with what was unpacked before it, unpacks to more than {MAX_RATIO} times its size: unpack it "
                "first if it is no bomb"
            )


class _Unpacked(io.RawIOBase):
    """A gzip stream that ends in a TextError where it gives more than text ever shrinks to."""

    def __init__(self, packed: BinaryIO, name: str, total: Unpacking) -> None:
        self._packed, self._name, self._total = packed, name, total
        self._stream = gzip.GzipFile(fileobj=packed)
        self._given = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._given = 0
        return self._stream.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._given += len(data)
        self._total.count(self._name, self._given, self._packed.tell())
        return data

    def close(self) -> None:
        self._stream.close()
        self._packed.close()
        super().close()


def unpacked(opener: Callable[[], BinaryIO], name: str, total: Unpacking | None = None) -> Callable[[], BinaryIO]:
    """An opener of what a gzip file holds; `total` counts it with the other files of one reading."""
    counted = Unpacking() if total is None else total
    return lambda: cast(BinaryIO, cast(Any, _Unpacked(opener(), name, counted)))
