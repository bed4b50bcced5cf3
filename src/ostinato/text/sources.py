"""Paths to text: files, folders, zips, standard input and the bundled corpora, as sources that can be read again.

What a file's ending says it holds beside its words (time codes, JSON, HTML, an office document) is left out; see
`FORMATS` in `finding.py`, which also finds the files. Every newline is read as `\\n`, whether it was written `\\n`,
`\\r\\n` or `\\r`; a byte order mark is dropped. The rest of a text arrives as it stands, in pieces of about `PIECE`
characters, so that a source of any size fits in memory.
"""

import codecs
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from ostinato.encodings import CHUNK, check_encoding, detect, fault_offset
from ostinato.errors import TextError, UsageError
from ostinato.text.archives import Unpacking, unpacked
from ostinato.text.finding import (
    CORPORA,
    DOCUMENTS,
    FORMATS,
    RECORDS,
    Opener,
    file_ending,
    kept_streams,
    label,
    opened,
    reading,
    spooled,
)
from ostinato.text.lines import json_texts, page
from ostinato.text.office import LARGEST, document_text, refuse_formats

__all__ = ["CORPORA", "PIECE", "Source", "Texts", "file_ending", "kept_streams", "read_texts", "readable", "regroup"]

PIECE = 1 << 20


@dataclass(frozen=True, eq=False)
class Source:
    """One text: `open` gives its bytes from the start each time."""

    name: str
    open: Callable[[], BinaryIO]
    encoding: str
    guessed: bool = False
    bundled: bool = False
    words: Callable[[Iterable[str]], Iterator[str]] | None = None
    records: bool = False
    """`words` finds the words among what else a file holds; with `records`, each piece is one record's text."""

    def pieces(self) -> Iterator[str]:
        """The text, in pieces of about PIECE characters, which end after a newline, else a blank, where one is.

        Raises TextError for bytes that do not decode and for a file that can no longer be read.
        """
        pieces = regroup(self._chunks())
        return pieces if self.words is None else (piece for piece in self.words(pieces) if piece)

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


def read_texts(
    paths: Sequence[str | os.PathLike[str]], encoding: str | None = None, *, field: str = "text", plain: bool = False
) -> Texts:
    """The texts that paths name: files, folders, zips, `-` for standard input, or bundled corpora.

    `songs.zip/new/one.txt` is a member of a zip, `songs.zip/new` a folder in it.
    `encoding` overrides the detection (see `encodings`), which reads every file once. `field` is the one that holds the
    text in lines of JSON. Folders are read recursively in sorted order, without hidden files, links to folders, and
    what by its ending is no text (see ENDINGS). With `plain`, files are read as they stand, whatever their ending.
    Raises TextError, in one line, for what is missing, unreadable, empty, binary, broken, or without any text;
    UsageError for an unknown encoding, MissingExtraError for a PDF without what reads it.
    """
    wanted = None if encoding is None else check_encoding(encoding)
    sources: list[Source] = []
    notes: list[str] = []
    total = Unpacking()
    for path in paths:
        if not os.fspath(path):
            raise TextError('a path to a text is empty (""): name a file, a folder, a zip, - or a bundled corpus')
        found = [(readable(name), opener, bundled) for name, opener, bundled in opened(path, notes)]
        kept = [
            source
            for name, opener, bundled in found
            if (source := _decided(name, opener, bundled, wanted, "" if plain else field, total)) is not None
        ]
        if not kept:
            raise TextError(f"{label(path)} is empty" if len(found) == 1 else f"{label(path)} holds no text")
        sources += kept
    if not sources:
        raise TextError("no text was given: name a file, a folder, a zip, - or a bundled corpus")
    guessed = [source for source in sources if source.guessed]
    notes += [f"{source.name}: no encoding is marked, read as {source.encoding}" for source in guessed[:10]]
    if len(guessed) > 10:
        notes.append(f"and {len(guessed) - 10} more texts in guessed encodings")
    names = (Path(label(path)).name or label(path) for path in paths)
    return Texts(tuple(sources), tuple(map(readable, names)), tuple(map(readable, notes)))


def readable(name: str) -> str:
    """A file's name as text with a UTF-8 form: bytes of it that are not UTF-8, which Python keeps as lone surrogates,
    are written `\\udcff`."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _decided(
    name: str, opener: Opener, bundled: bool, encoding: str | None, field: str, total: Unpacking
) -> Source | None:
    """The source with its encoding, or None if it is empty. `field`: that of lines of JSON, "" to read all as it is."""
    if file_ending(name) == ".gz":
        opener, ending = unpacked(opener, name, total), file_ending(name.removesuffix(name[-3:]))
    else:
        ending = file_ending(name)
    with reading(name), opener() as stream:
        head = stream.read(16)
    if not head:
        return None
    refuse_formats(head, name)
    if ending in DOCUMENTS or head.startswith(b"%PDF-"):
        with reading(name), opener() as stream:
            text = document_text(ending if ending in DOCUMENTS else ".pdf", _seekable(stream), name)
        return Source(name, spooled(io.BytesIO(text.encode("utf-8", "replace"))), "utf-8")
    words = FORMATS.get(ending) if field else None
    if field and ending in RECORDS:
        words = partial(json_texts, field=field, name=name)
    guessed = False
    if encoding is None:
        with reading(name), opener() as stream:
            declared = _declared(stream) if words is page else None
        if declared is None:
            with reading(name), opener() as stream:
                declared, guessed = detect(stream, name)
        encoding = declared
    return Source(name, opener, encoding, guessed, bundled, words, ending in RECORDS and words is not None)


def _seekable(stream: BinaryIO) -> io.BytesIO:
    data = stream.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise TextError(f"it has more than {LARGEST:,} bytes: save it as plain text")
    return io.BytesIO(data)


def _declared(stream: BinaryIO) -> str | None:
    """The encoding that an HTML page names in its head, if Python has it."""
    head = stream.read(2048)
    found = re.search(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([A-Za-z0-9_:.-]{2,40})", head, re.IGNORECASE)
    if head.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or found is None:
        return None
    try:
        return check_encoding({"gb2312": "gb18030", "gbk": "gb18030"}.get(found[1].decode().lower(), found[1].decode()))
    except UsageError:
        return None


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
