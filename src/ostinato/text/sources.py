"""Paths to text: files, folders, zips, standard input and the bundled corpora, as sources that can be read again.

What a file's ending says it holds beside its words (time codes, JSON, HTML, an office document) is left out; see
`FORMATS`. Every newline is read as `\\n`, whether it was written `\\n`, `\\r\\n` or `\\r`; a byte order mark is
dropped. The rest of a text arrives as it stands, in pieces of about `PIECE` characters, so that a source of any size
fits in memory.
"""

import codecs
import io
import os
import re
import shutil
import stat
import sys
import tempfile
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO, cast

from ostinato.encodings import CHUNK, check_encoding, detect, fault_offset
from ostinato.errors import TextError, UsageError
from ostinato.text.archives import BROKEN, Archive, Unpacking, is_link, is_zip, unpacked
from ostinato.text.lines import json_texts, page, subtitles, without_times
from ostinato.text.office import LARGEST, document_text, refuse_formats

CORPORA = ("lyrics-en", "lyrics-zh")
"""Names of the bundled corpora; `./lyrics-zh` is a file of that name."""

TEXTS = (".txt", ".text", ".md", ".markdown", ".rst", ".org", ".tex", ".csv", ".tsv")
FORMATS: dict[str, Callable[[Iterable[str]], Iterator[str]]] = {
    ".lrc": without_times, ".srt": subtitles, ".vtt": subtitles, ".html": page, ".htm": page, ".xhtml": page,
}  # fmt: skip
"""Endings of texts that are more than their words, and what reads the words."""

RECORDS = (".jsonl", ".ndjson")
DOCUMENTS = (".docx", ".odt", ".epub", ".pdf")
ENDINGS = frozenset({*TEXTS, *FORMATS, *RECORDS, *DOCUMENTS})
"""Endings of the files that are read from a folder or zip (also with `.gz` after them), beside those without one that
hold no zero byte. A file named by itself may have any.
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
        found = [(readable(name), opener, bundled) for name, opener, bundled in _opened(path, notes)]
        kept = [
            source
            for name, opener, bundled in found
            if (source := _decided(name, opener, bundled, wanted, "" if plain else field, total)) is not None
        ]
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
        return Source(name, _spooled(io.BytesIO(text.encode("utf-8", "replace"))), "utf-8")
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


def file_ending(name: str) -> str:
    """The ending of a file's name in lower case; ". First Song" in `01. First Song` is none."""
    found = re.search(r"(?<=[^/.])\.[A-Za-z0-9_+-]{1,10}$", name)
    return found.group().lower() if found and not found.group()[1:].isdigit() else ""


def _opened(path: str | os.PathLike[str], notes: list[str]) -> Iterator[tuple[str, Opener, bool]]:
    """Name, opener and whether it is bundled, for each text that a path leads to."""
    text = os.fspath(path)
    with reading(_label(path)):
        if text == "-":
            yield _label(path), _once(text, cast(BinaryIO, sys.stdin.buffer)), False
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
        if _kept is not None and str(path) in _kept:
            yield str(path), _kept[str(path)]
            return
        with path.open("rb") as pipe:
            yield str(path), _once(str(path), pipe)
    elif not stat.S_ISREG(mode):
        raise TextError(f"{path} is neither a file nor a folder")
    elif file_ending(path.name) not in DOCUMENTS and is_zip(path):
        yield from _in_zip(path, notes)
    else:
        yield str(path), _file_opener(path)


def _file_opener(path: Path) -> Opener:
    return lambda: path.open("rb")


class _Skipped:
    """What was passed over in a folder or zip, and why: said once, in one note a reason."""

    def __init__(self, name: str) -> None:
        self.name, self.texts = name, 0
        self._reasons: dict[str, list[str]] = {}

    def add(self, reason: str, what: str) -> None:
        self._reasons.setdefault(reason, []).append(what)

    def report(self, notes: list[str]) -> None:
        """Add the notes. Raises TextError if no text was found."""
        lines = [
            f"{len(what):,} {'files were' if len(what) > 1 else 'file was'} passed over, {reason} ({_some(what)})"
            for reason, what in self._reasons.items()
        ]
        if not self.texts:
            why = f"no file in it ends in {' '.join(sorted(ENDINGS))}"
            raise TextError(f"{self.name} holds no text: {'; '.join([why, *lines])}")
        notes += [f"{self.name}: {line}" for line in lines]


def _some(what: list[str]) -> str:
    distinct = list(dict.fromkeys(what))
    return ", ".join(distinct[:5]) + (", ..." if len(distinct) > 5 else "")


NO_TEXT = "by its ending no text"
NO_RECORDS = "its lines are no JSON objects"
LINKS = "a link"


def _why_not(name: str, opener: Opener) -> tuple[str, str] | None:
    """Why a file of a folder or zip is not read, and what to show of it; None if it is."""
    ending = file_ending(name)
    if ending == ".gz":
        name, opener = name.removesuffix(name[-3:]), unpacked(opener, name)
        ending = file_ending(name)
    if ending in RECORDS:
        with opener() as stream:
            first = stream.readline(1 << 16) if hasattr(stream, "readline") else b""
        begins = first.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")[:1]
        return None if begins == b"{" else (NO_RECORDS, name)
    if ending == ".pdf" and find_spec("pypdf") is None:
        return "PDF is read with pypdf: pip install 'ostinato[documents]'", name
    if ending:
        return None if ending in ENDINGS else (NO_TEXT, ending)
    with opener() as stream:
        return (NO_TEXT, "without one, binary") if b"\0" in stream.read(4096) else None


def _in_folder(folder: Path, notes: list[str]) -> Iterator[tuple[str, Opener]]:
    def fail(error: OSError) -> None:
        raise TextError(f"{error.filename or folder} cannot be read: {error.strerror or error}") from None

    skipped, own = _Skipped(str(folder)), _OUTPUTS if is_output(folder) else frozenset[str]()
    for root, folders, files in os.walk(folder, onerror=fail):
        here = Path(root)
        if own and here == folder:  # texts may lie beside what a run made of them
            files = [name for name in files if name not in own]
        for name in [name for name in folders if not name.startswith(".") and is_output(here / name)]:
            notes.append(f"{here / name} was passed over: it is the output of a run, not a text to learn from")
            folders.remove(name)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file in (here / name for name in sorted(files) if not name.startswith(".")):
            opener = _file_opener(file)
            if not file.is_file():
                skipped.add("not an ordinary file", file.name)
            elif why := _why_not(file.name, opener):
                skipped.add(*why)
            else:
                skipped.texts += 1
                yield str(file), opener
    if own and not skipped.texts:
        raise TextError(f"{folder} is the output of a run, not a text to learn from: name the texts themselves")
    skipped.report(notes)


_OUTPUTS = frozenset(
    ("metrics.jsonl", "samples.jsonl", "recipe.toml", "compare.json", "compare.csv", "loss.svg",
     "loss.png", "config.json", "card.md", "manifest.json", "tokenizer.json", "words.txt",
     "model.safetensors", "corpus.json")
)  # fmt: skip
"""Files of a run, a model or a corpus that are no texts, though some end like one."""


def is_output(folder: Path) -> bool:
    """Whether a folder is the output of a run, a saved model or a corpus: by files that only we put together."""
    signs = (("metrics.jsonl", "recipe.toml"), ("metrics.jsonl", "model"), ("metrics.jsonl", "checkpoint"),
             ("manifest.json", "config.json", "card.md"), ("corpus.json", "train.ids"), (".comparison",))  # fmt: skip
    return any(all((folder / name).exists() for name in sign) for sign in signs)


def _in_zip(path: Path, notes: list[str], inside: str = "") -> Iterator[tuple[str, Opener]]:
    """The texts of a zip, or the member or folder `inside` it."""
    archive = Archive(path)
    if not inside and archive.is_container:
        if kind := archive.document_kind:
            with path.open("rb") as stream:
                text = document_text(kind, stream, str(path))
            yield str(path), _spooled(io.BytesIO(text.encode("utf-8", "replace")))
            return
        raise TextError(f"{path} is the package of another format, not a zip of texts: save it as plain text")
    members = archive.members()
    if inside:
        members = [one for one in members if one.filename == inside or one.filename.startswith(f"{inside}/")]
        if not members:
            raise TextError(f"{path} has no member {inside}")
    skipped = _Skipped(str(path))
    seen: Counter[str] = Counter()
    for member in members:
        name = member.filename
        if any(part.startswith((".", "__MACOSX")) for part in Path(name).parts):
            continue
        opener = partial(archive.open, member)
        if is_link(member):
            skipped.add(LINKS, name)
        elif name != inside and (why := _why_not(name, opener)):
            skipped.add(*why)
        else:
            skipped.texts += 1
            seen[name] += 1
            yield f"{path}[{seen[name]}]/{name}" if seen[name] > 1 else f"{path}/{name}", opener
    skipped.report(notes)


_kept: dict[str, Opener] | None = None


@contextmanager
def kept_streams() -> Iterator[None]:
    """Inside, standard input and pipes can be read by `read_texts` more than once: their copies are kept."""
    global _kept
    outer = _kept
    _kept = {} if outer is None else outer
    try:
        yield
    finally:
        _kept = outer


def _once(name: str, stream: BinaryIO) -> Opener:
    """A copy of what is in the stream of that name, or of what was in it when it was first read."""
    if _kept is None:
        return _spooled(stream)
    if name not in _kept:
        _kept[name] = _spooled(stream)
    return _kept[name]


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
