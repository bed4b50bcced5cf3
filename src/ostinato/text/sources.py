"""Paths to text: files, folders, zips, standard input and the bundled corpora, as sources that can be read again.

Every newline is read as `\\n`, whether it was written `\\n`, `\\r\\n` or `\\r`; a byte order mark is dropped. The rest
of a text arrives as it stands, in pieces of about `PIECE` characters, so that a source of any size fits in memory.
"""

import codecs
import io
import os
import shutil
import stat
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import BinaryIO, cast

from ostinato.errors import TextError
from ostinato.text.archives import BROKEN, Archive, is_zip
from ostinato.text.encodings import CHUNK, check_encoding, detect, fault_offset

CORPORA = ("lyrics-en", "lyrics-zh")
"""Names of the bundled corpora; `./lyrics-zh` is a file of that name."""

ENDINGS = frozenset({".txt", ".text", ".md", ".markdown", ".rst", ".org", ".tex", ".lrc", ".srt", ".csv", ".tsv"})
"""Endings of the files that are read from a folder or zip, beside those without one that hold no zero byte.

A file named by itself may have any.
"""

PIECE = 1 << 20


@dataclass(frozen=True, eq=False)
class Source:
    """One text: `open` gives its bytes from the start each time."""

    name: str
    open: Callable[[], BinaryIO]
    encoding: str
    guessed: bool = False
    bundled: bool = False

    def pieces(self) -> Iterator[str]:
        """The text, in pieces of about PIECE characters, which end after a newline, else a blank, where one is.

        Raises TextError for bytes that do not decode and for a file that can no longer be read.
        """
        return regroup(self._chunks())

    def _chunks(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder(self.encoding)()
        end = 0
        held = ""  # a carriage return at the end of a chunk: a line feed may follow it
        with reading(self.name), self.open() as stream:
            while True:
                chunk = stream.read(CHUNK)
                end += len(chunk)
                try:
                    text = held + decoder.decode(chunk, final=not chunk)
                except UnicodeError as error:
                    at = f" (byte {fault_offset(end, error)})" if isinstance(error, UnicodeDecodeError) else ""
                    raise TextError(f"{self.name} is not {self.encoding}{at}: name its encoding") from None
                held = "\r" if chunk and text.endswith("\r") else ""
                if "\r" in text:
                    text = text.removesuffix(held).replace("\r\n", "\n").replace("\r", "\n")
                if text:
                    yield text
                if not chunk:
                    return


@dataclass(frozen=True)
class Texts:
    """What paths led to. `names` are short names of the paths given, `notes` what the user should know; both, and the
    sources' names, are text that can be saved, whatever bytes the files' names hold."""

    sources: tuple[Source, ...]
    names: tuple[str, ...]
    notes: tuple[str, ...]


def read_texts(paths: Sequence[str | os.PathLike[str]], encoding: str | None = None) -> Texts:
    """The texts that paths name: files, folders, zips, `-` for standard input, or bundled corpora.

    `songs.zip/new/one.txt` is a member of a zip, `songs.zip/new` a folder in it.
    `encoding` overrides the detection (see `encodings`), which reads every file once. Folders are read recursively in
    sorted order, without hidden files, links to folders, and what by its ending is no text (see ENDINGS).
    Raises TextError, in one line, for what is missing, unreadable, empty, binary, broken, or without any text;
    UsageError for an unknown encoding.
    """
    wanted = None if encoding is None else check_encoding(encoding)
    sources: list[Source] = []
    notes: list[str] = []
    for path in paths:
        found = [(readable(name), opener, bundled) for name, opener, bundled in _opened(path, notes)]
        kept = [source for source in (_decided(*one, wanted) for one in found) if source is not None]
        if not kept:
            raise TextError(f"{_label(path)} is empty" if len(found) == 1 else f"{_label(path)} holds no text")
        sources += kept
    if not sources:
        raise TextError("no text was given: name a file, a folder, a zip, - or a bundled corpus")
    guessed = [source for source in sources if source.guessed]
    notes += [f"{source.name}: no encoding is marked, read as {source.encoding}" for source in guessed[:10]]
    if len(guessed) > 10:
        notes.append(f"and {len(guessed) - 10} more texts in guessed encodings")
    names = (Path(_label(path)).name or _label(path) for path in paths)
    return Texts(tuple(sources), tuple(map(readable, names)), tuple(map(readable, notes)))


def readable(name: str) -> str:
    """A file's name as text with a UTF-8 form: bytes of it that are not UTF-8, which Python keeps as lone surrogates,
    are written `\\udcff`."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


Opener = Callable[[], BinaryIO]


def _label(path: str | os.PathLike[str]) -> str:
    return "standard input" if os.fspath(path) == "-" else os.fspath(path)


def _decided(name: str, opener: Opener, bundled: bool, encoding: str | None) -> Source | None:
    """The source with its encoding, or None if it is empty."""
    with reading(name), opener() as stream:
        if not stream.read(1):
            return None
    if encoding is not None:
        return Source(name, opener, encoding, False, bundled)
    with reading(name), opener() as stream:
        found = detect(stream, name)
    return Source(name, opener, found.encoding, found.guessed, bundled)


def _opened(path: str | os.PathLike[str], notes: list[str]) -> Iterator[tuple[str, Opener, bool]]:
    """Name, opener and whether it is bundled, for each text that a path leads to."""
    text = os.fspath(path)
    with reading(_label(path)):
        if text == "-":
            yield _label(path), _spooled(cast(BinaryIO, sys.stdin.buffer)), False
        elif text in CORPORA:
            corpus = resources.files("ostinato") / "corpora" / f"{text}.txt"
            yield text, lambda: cast(BinaryIO, corpus.open("rb")), True
        else:
            yield from ((name, opener, False) for name, opener in _on_disk(Path(text), notes))


def _on_disk(path: Path, notes: list[str]) -> Iterator[tuple[str, Opener]]:
    for parent in path.parents:
        if parent.is_file() and is_zip(parent):
            yield from _in_zip(parent, notes, path.relative_to(parent).as_posix())
            return
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        yield from _in_folder(path, notes)
    elif stat.S_ISFIFO(mode):
        with path.open("rb") as pipe:
            yield str(path), _spooled(pipe)
    elif not stat.S_ISREG(mode):
        raise TextError(f"{path} is neither a file nor a folder")
    elif is_zip(path):
        yield from _in_zip(path, notes)
    else:
        yield str(path), _file_opener(path)


def _file_opener(path: Path) -> Opener:
    return lambda: path.open("rb")


def _seems_text(name: str, opener: Opener) -> bool:
    """Whether a file of a folder or zip is read: by its ending, without one by its first bytes."""
    if suffix := Path(name).suffix.lower():
        return suffix in ENDINGS
    with opener() as stream:
        return b"\0" not in stream.read(4096)


def _in_folder(folder: Path, notes: list[str]) -> Iterator[tuple[str, Opener]]:
    def fail(error: OSError) -> None:
        raise error

    other = texts = 0
    for root, folders, files in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not _is_ours(Path(root, name)))
        for file in (Path(root, name) for name in sorted(files) if not name.startswith(".")):
            if file.is_file() and _seems_text(file.name, opener := _file_opener(file)):
                texts += 1
                yield str(file), opener
            else:
                other += 1
    _report(str(folder), texts, other, notes)


def _is_ours(folder: Path) -> bool:
    """Whether it is the output of a run or part of it, which is no text to learn from."""
    return any((folder / name).is_file() for name in ("manifest.json", "corpus.json", "metrics.jsonl"))


def _in_zip(path: Path, notes: list[str], inside: str = "") -> Iterator[tuple[str, Opener]]:
    """The texts of a zip, or the member or folder `inside` it."""
    archive = Archive(path)
    members = archive.members()
    if inside:
        members = [member for member in members if member == inside or member.startswith(f"{inside}/")]
        if not members:
            raise TextError(f"{path} has no member {inside}")
    other = texts = 0
    for member in members:
        if any(part.startswith((".", "__MACOSX")) for part in Path(member).parts):
            continue
        opener = partial(archive.open, member)
        if member == inside or _seems_text(member, opener):
            texts += 1
            yield f"{path}/{member}", opener
        else:
            other += 1
    _report(str(path), texts, other, notes)


def _report(name: str, texts: int, other: int, notes: list[str]) -> None:
    if not texts:
        raise TextError(f"{name} holds no text: no file in it ends in {' '.join(sorted(ENDINGS))}")
    if other:
        notes.append(f"{name}: {other} files were passed over, their ending is not that of a text")


def _spooled(stream: BinaryIO) -> Opener:
    """A copy of a stream in a temporary file without a name, so that it can be read more than once."""
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the opener
    shutil.copyfileobj(stream, spool)

    def opener() -> BinaryIO:
        spool.seek(0)
        return cast(BinaryIO, _Unclosed(spool))

    weakref.finalize(opener, spool.close)
    return opener


class _Unclosed(io.RawIOBase):
    """A stream that leaves the one below it open when it is closed."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turns what the operating system or `zipfile` raises on `name` into a TextError of one line."""
    try:
        yield
    except FileNotFoundError:
        raise TextError(f"{name} does not exist") from None
    except OSError as error:
        raise TextError(f"{name} cannot be read: {error.strerror or error}") from None
    except BROKEN as error:
        raise TextError(f"{name} is broken or packed in an unknown way: {error}") from None


def regroup(chunks: Iterable[str]) -> Iterator[str]:
    """The same text in pieces that end after a newline; where none comes for PIECE characters, after a blank if any."""
    rest = ""
    for chunk in chunks:
        cut = chunk.rfind("\n") + 1
        if cut:
            yield rest + chunk[:cut]
            rest = chunk[cut:]
            continue
        rest += chunk
        if len(rest) >= PIECE:
            cut = rest.rfind(" ") + 1 or len(rest)
            yield rest[:cut]
            rest = rest[cut:]
    if rest:
        yield rest
