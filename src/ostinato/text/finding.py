"""Where texts are: what a path leads to on the disk, in folders, zips and streams, and what is passed over there."""

import io
import os
import re
import shutil
import stat
import sys
import tempfile
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO, cast

from ostinato.errors import TextError
from ostinato.text.archives import BROKEN, Archive, is_link, is_zip, unpacked
from ostinato.text.lines import page, subtitles, without_times
from ostinato.text.office import document_text

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

Opener = Callable[[], BinaryIO]


def label(path: str | os.PathLike[str]) -> str:
    return "standard input" if os.fspath(path) == "-" else os.fspath(path)


def file_ending(name: str) -> str:
    """The ending of a file's name in lower case; ". First Song" in `01. First Song` is none."""
    found = re.search(r"(?<=[^/.])\.[A-Za-z0-9_+-]{1,10}$", name)
    return found.group().lower() if found and not found.group()[1:].isdigit() else ""


def opened(path: str | os.PathLike[str], notes: list[str]) -> Iterator[tuple[str, Opener, bool]]:
    """Name, opener and whether it is bundled, for each text that a path leads to."""
    text = os.fspath(path)
    with reading(label(path)):
        if text == "-":
            yield label(path), _once(text, cast(BinaryIO, sys.stdin.buffer)), False
        elif text in CORPORA:
            corpus = resources.files("ostinato") / "corpora" / f"{text}.txt"
            yield text, lambda: cast(BinaryIO, corpus.open("rb")), True
        else:
            yield from ((name, opener, False) for name, opener in _on_disk(Path(text), notes))


def check_paths(paths: Iterable[str | os.PathLike[str]]) -> None:
    """Refuse at once, before anything is loaded, paths that lead to nothing. Raises TextError."""
    for path in [os.fspath(path) for path in paths]:
        if path != "-" and path not in CORPORA and not any(parent.is_file() for parent in Path(path).parents):
            with reading(path):
                os.stat(path)


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
            yield str(path), spooled(io.BytesIO(text.encode("utf-8", "replace")))
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
        return spooled(stream)
    if name not in _kept:
        _kept[name] = spooled(stream)
    return _kept[name]


def spooled(stream: BinaryIO) -> Opener:
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
