"""The studio's folder: what may lie where, which names are allowed, and paths that never lead out of it.

    DIR/NAME              the output folder of a run (or a saved model), as `ostinato train -o DIR/NAME` makes it
    DIR/texts/NAME        a text: a file, a zip, or a folder of files
    DIR/comparisons/NAME  the output folder of a comparison
    DIR/writings/NAME     a text that was kept, with what the page knows of it (JSON)
    DIR/.studio/          what was started, with what it said; uploads in progress

All of the studio's state lies there, so that it can be ended and started again at any time.
"""

import os
import re
import secrets
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ostinato.errors import UsageError
from ostinato.files import UnsafeFileError, open_regular
from ostinato.server.problems import Problem

MOST = 80
"""Characters of a name."""
_RESERVED = ("texts", "comparisons", "writings")
_FORBIDDEN = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]')
"""What cannot stand in a file's name on every system, and what would show a name as another."""


def nameable(name: str) -> bool:
    """Whether a thing of this name, which somebody put into the folder, can be shown and asked for."""
    try:
        return 0 < len(name.encode()) <= 240 and name[0] != "." and not set("/\0") & set(name)
    except UnicodeEncodeError:  # bytes that are no UTF-8
        return False


def check_name(name: str) -> str:
    """`name` if a new thing may be called so, on any system. Raises Problem (400) that says why not."""
    if not name or len(name) > MOST or len(name.encode("utf-8", "replace")) > 240:
        raise Problem(400, f"a name has 1 to {MOST} characters, got {len(name)}", param="name")
    if found := _FORBIDDEN.search(name):
        raise Problem(400, f'a name has none of / \\ : * ? " < > | and no control characters, got {found[0]!r}',
                      param="name")  # fmt: skip
    if name[0] in ". " or name[-1] in ". ":
        raise Problem(400, f"a name does not begin or end with a dot or a blank, got {name!r}", param="name")
    return unicodedata.normalize("NFC", name)


def listed(folder: Path) -> list[Path]:
    """What lies in `folder` under a name that can be asked for, sorted: no links, nothing hidden."""
    return sorted(entry for entry in folder.iterdir() if nameable(entry.name) and not entry.is_symlink())


def clean_name(name: str) -> str:
    """A name like the one of an uploaded file: what cannot stand in a name becomes `_`. Raises Problem for one that
    leads elsewhere, and where nothing is left."""
    if "/" in name or "\\" in name or name.strip() in (".", ".."):
        raise Problem(400, f"a name, not a path, is needed: got {name[:MOST]!r}", param="name")
    name = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", name)).strip(". ")
    stem, ending = os.path.splitext(name)
    while len(name) > MOST - 6 or len(name.encode("utf-8", "replace")) > 200:
        stem = stem[:-1]
        name = stem + ending
        if not stem:
            raise Problem(400, "the name of the file is too long", param="name")
    return check_name(name)


class Place:
    """The studio's folder. Raises UsageError where it cannot be made or written to."""

    def __init__(self, root: Path) -> None:
        try:
            root.mkdir(parents=True, exist_ok=True)
            self.root = root.resolve(strict=True)
            self.texts, self.comparisons, self.writings, self.own = (
                self.root / name for name in (*_RESERVED, ".studio")
            )
            self.jobs, self.reports, self.uploads = (self.own / name for name in ("jobs", "reports", "uploads"))
            for folder in (
                self.texts,
                self.comparisons,
                self.writings,
                self.own,
                self.jobs,
                self.reports,
                self.uploads,
            ):
                folder.mkdir(exist_ok=True)
                if folder.is_symlink():
                    raise UsageError(f"{folder} is a link, and the studio follows none: move it away")
        except OSError as error:
            if isinstance(error, FileExistsError) and Path(error.filename).is_file():
                to_do = "name another" if Path(error.filename) == root else "move it away"
                raise UsageError(f"{error.filename} is a file, and the studio needs a folder: {to_do}") from None
            raise UsageError(f"the studio cannot use the folder {root}: {error.strerror or error}") from None

    def run(self, name: str) -> Path:
        """Where the run of this name lies, or would lie. Raises Problem."""
        if name.casefold() in _RESERVED:
            raise Problem(400, f"{name} is a folder of the studio's own: choose another name", param="name")
        return self._in(self.root, name)

    def text(self, name: str) -> Path:
        """Where the text of this name lies, or would lie. Raises Problem."""
        return self._in(self.texts, name)

    def comparison(self, name: str) -> Path:
        """Where the comparison of this name lies, or would lie. Raises Problem."""
        return self._in(self.comparisons, name)

    def writing(self, name: str) -> Path:
        """Where the kept text of this name lies, or would lie. Raises Problem."""
        return self._in(self.writings, f"{name}.json")

    def inside(self, folder: Path, path: str) -> Path:
        """`path`, parts with `/` between, inside the folder of a text. Raises Problem."""
        parts = path.split("/")
        if len(parts) > 8:
            raise Problem(400, "folders may be 8 deep", param="path")
        found = folder
        for part in parts:
            if part in ("", ".", ".."):
                raise Problem(400, f"a path inside the text is needed, got {path[:MOST]!r}", param="path")
            found = self._in(found, clean_name(part))
        return found

    def _in(self, folder: Path, name: str) -> Path:
        if not nameable(name):
            raise Problem(400, f"{name[:MOST]!r} cannot be the name of anything here", param="name")
        path = folder / name
        if path.is_symlink():
            raise Problem(403, f"{name} is a link, and the studio follows none", param="name")
        return path

    def free(self, folder: Path, name: str, taken: Callable[[str], bool] = lambda name: False) -> str:
        """`name`, or `name 2` and so on where it is taken; an ending stays at the end."""
        stem, ending = os.path.splitext(name)
        if ending[1:].isdigit() or " " in ending:
            stem, ending = name, ""
        number, found = 1, name
        while (
            os.path.lexists(folder / found) or taken(found) or (folder == self.root and found.casefold() in _RESERVED)
        ):
            number += 1
            found = f"{stem} {number}{ending}"
        return found

    @contextmanager
    def upload(self) -> Iterator[Path]:
        """A folder for something that is on its way in; what is left in it goes in the end."""
        folder = self.uploads / secrets.token_hex(8)
        folder.mkdir()
        try:
            yield folder
        finally:
            remove(folder)

    def shown(self, message: str) -> str:
        """A message without the path of the folder: names in it are as the page has them."""
        for folder in (self.texts, self.comparisons, self.root):
            message = message.replace(f"{folder}{os.sep}", "")
        return message.replace(str(self.root), "the studio's folder")


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; links are removed, not followed. Never raises."""
    import shutil

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def modified(path: Path) -> float | None:
    """When `path` was last changed, seconds since 1970; None where there is nothing, or no longer."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def read_own(path: Path, limit: int = 1 << 24) -> bytes | None:
    """A regular file's bytes, at most `limit`; None where there is none, or something else under its name."""
    try:
        handle = open_regular(path, links=False)
    except (OSError, UnsafeFileError):
        return None
    with open(handle, "rb") as file:
        return file.read(limit)


def size_of(path: Path) -> tuple[int, int]:
    """Bytes and files of a file or folder, without following links."""
    if not path.is_dir() or path.is_symlink():
        try:
            return path.lstat().st_size, 1
        except OSError:
            return 0, 0
    total = files = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
                files += 1
            except OSError:
                continue
    return total, files
