"""Texts inside a zip: members are streamed, never extracted, and a bomb is refused before anything is read."""

import lzma
import weakref
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO, cast

from ostinato.errors import TextError

MAX_MEMBERS = 100_000
MAX_BYTES = 16 << 30
MAX_RATIO = 200
"""Text seldom shrinks more than 10-fold. Members of less than `RATIO_FROM` bytes may, whatever they hold."""
RATIO_FROM = 1 << 20

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
                                f"{MAX_RATIO}: unpack it first if it is no zip bomb")  # fmt: skip

    def members(self) -> list[str]:
        """Names of the members that are files, sorted."""
        return sorted(member.filename for member in self._zip.infolist() if not member.is_dir())

    def open(self, member: str) -> BinaryIO:
        """A stream of a member's bytes. Raises TextError if it is encrypted, one of BROKEN if it is damaged."""
        if self._zip.getinfo(member).flag_bits & 1:
            raise TextError(f"{self.path}: {member} is encrypted: unpack it first")
        return cast(BinaryIO, self._zip.open(member))
