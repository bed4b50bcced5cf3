"""Texts: in as they are, bounded and straight to the disk; what was understood of them; out again."""

import asyncio
import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from ostinato.engine import StoppedError
from ostinato.errors import TextError
from ostinato.files import parse_json, write_file
from ostinato.server.endpoint import Call, Endpoint, Json
from ostinato.server.problems import Problem
from ostinato.server.schema import check, closed, record, text
from ostinato.settings import TextSettings, from_mapping
from ostinato.studio.place import Place, check_name, clean_name, listed, read_own, remove, size_of
from ostinato.text import CORPORA
from ostinato.text.report import report_texts
from ostinato.text.sources import read_texts

_CHUNK_SECONDS = 60.0
PASTED = 4_000_000
"""Characters of a text that is pasted."""
_FILES = 5_000
"""Files of a folder."""
_SAMPLES, _ENCODINGS = 5, 50
_ANY = {"type": "object"}
_PASTE = closed(record({"name": text("its name"), "text": text("the text")}, required=("name", "text")))


class Texts:
    """The texts of the studio's folder. most: bytes of an upload, and of a folder in all."""

    def __init__(self, place: Place, most: int) -> None:
        self._place, self._most = place, most
        self._reporting = asyncio.Semaphore(1)
        self.renamed: list[Callable[[str, str], None]] = []
        """Told of a text's old and new name."""

    # -- what there is ---------------------------------------------------------------------------------------------

    def list(self) -> list[dict[str, Any]]:
        """All texts, the bundled ones last."""
        return [*map(self._described, listed(self._place.texts)), *(_bundled(name) for name in CORPORA)]

    def _described(self, path: Path) -> dict[str, Any]:
        size, files = size_of(path)
        kind = "folder" if path.is_dir() else "zip" if path.suffix.lower() == ".zip" else "file"
        return {"name": path.name, "kind": kind, "bytes": size, "files": files, "modified": path.lstat().st_mtime}

    def find(self, name: str) -> str:
        """The path of a text, as `train` takes it. Raises Problem (404)."""
        if name in CORPORA:
            return name
        path = self._place.text(name)
        if not path.exists():
            raise Problem(404, f"no text is called {name}", param="text", code="not_found")
        return str(path)

    def describe(self, name: str) -> dict[str, Any]:
        """One text. Raises Problem (404)."""
        path = self.find(name)
        return _bundled(name) if name in CORPORA else self._described(Path(path))

    # -- in --------------------------------------------------------------------------------------------------------

    async def add(self, call: Call) -> Response:
        """A file as the body, or a pasted text as JSON."""
        if call.request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
            return await self._paste(call)
        name = clean_name(call.request.query_params.get("name", ""))
        with self._place.upload() as folder:
            await self._receive(call, folder / name, self._most)
            return Json(await asyncio.to_thread(self._accept, folder / name), status_code=201)

    async def _paste(self, call: Call) -> Response:
        data = await self._bytes(call, 4 * PASTED)
        try:
            body = check(json.loads(data), _PASTE, "")
        except (ValueError, RecursionError) as error:
            raise Problem(400, f"the body is no JSON: {str(error)[:80]}") from None
        if len(body["text"]) > PASTED:
            raise Problem(413, f"a pasted text may have {PASTED:,} characters: save it as a file and upload that")
        try:
            content = body["text"].encode("utf-8")
        except UnicodeEncodeError as error:
            raise Problem(400, f"the text has a lone surrogate at character {error.start}", param="text") from None
        name = clean_name(body["name"])
        with self._place.upload() as folder:
            path = folder / (name if name.lower().endswith(".txt") else f"{name}.txt")
            path.write_bytes(content)
            return Json(await asyncio.to_thread(self._accept, path), status_code=201)

    async def _bytes(self, call: Call, most: int) -> bytes:
        parts = [part async for part in self._stream(call, most)]
        return b"".join(parts)

    async def _receive(self, call: Call, path: Path, most: int) -> None:
        """Write the body to a new file as it comes. Raises Problem (413) before the first byte where it is known to be
        too large, else as soon as it is."""
        try:
            with path.open("xb") as file:
                async for part in self._stream(call, most):
                    await asyncio.to_thread(file.write, part)
        except OSError as error:
            raise Problem(507, f"the upload cannot be written: {error.strerror or error}") from None

    async def _stream(self, call: Call, most: int) -> Any:
        length = call.request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > most:
            raise Problem(413, f"an upload may have {most:,} bytes, got {int(length):,}")
        size, parts = 0, call.request.stream().__aiter__()
        try:
            while True:
                async with asyncio.timeout(_CHUNK_SECONDS):
                    part = await anext(parts, None)
                if part is None:
                    return
                size += len(part)
                if size > most:
                    raise Problem(413, f"an upload may have {most:,} bytes, got more")
                yield part
        except TimeoutError:
            raise Problem(408, f"nothing of the upload came for {_CHUNK_SECONDS:g} seconds") from None
        except ClientDisconnect:
            raise StoppedError("the client went away") from None

    def _accept(self, path: Path) -> dict[str, Any]:
        """Give a file its place, if it can be read as a text. Raises Problem with what the readers say."""
        try:
            read_texts([path])
        except TextError as error:
            raise Problem(400, str(error).replace(f"{path.parent}{os.sep}", ""), code="no_text") from None
        name = self._place.free(self._place.texts, check_name(path.name))
        target = self._place.text(name)
        path.rename(target)
        return self._described(target)

    async def new_folder(self, call: Call) -> Response:
        """An empty folder for several files."""
        name = self._place.free(self._place.texts, clean_name(call.body["name"]))
        self._place.text(name).mkdir()
        return Json({"name": name}, status_code=201)

    async def add_file(self, call: Call) -> Response:
        """A file of a folder."""
        folder = self._place.text(call.request.path_params["name"])
        if not folder.is_dir():
            raise Problem(404, f"no folder is called {folder.name}: make it first", code="not_found")
        size, files = await asyncio.to_thread(size_of, folder)
        if files >= _FILES:
            raise Problem(413, f"a folder may have {_FILES:,} files: upload a zip")
        target = self._place.inside(folder, call.request.query_params.get("path", ""))
        with self._place.upload() as place:
            await self._receive(call, place / "file", self._most - size)
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_dir():
                raise Problem(409, f"{target.name} is a folder already", param="path")
            (place / "file").replace(target)
        return Json(self._described(folder), status_code=201)

    # -- what was understood ---------------------------------------------------------------------------------------

    async def show(self, call: Call) -> Response:
        """A text with its report."""
        name, query = call.request.path_params["name"], call.request.query_params
        path = self.find(name)
        options = {key: query[key] for key in ("tokenizer", "documents") if query.get(key)}
        settings = from_mapping("text", options, TextSettings(), "the report")
        async with self._reporting:  # one at a time: it may be a large text
            report = await asyncio.to_thread(self._report, name, path, settings, query.get("encoding") or None)
        return Json({**self.describe(name), "report": report})

    def _report(self, name: str, path: str, settings: TextSettings, encoding: str | None) -> dict[str, Any]:
        """The report, kept until the text changes. Raises Problem for a text that cannot be read."""
        kept = self._place.reports / f"{name}.json"
        key = json.dumps([2, _stamp(path), settings.tokenizer, settings.documents, encoding])
        if (content := read_own(kept)) is not None:
            try:
                known = parse_json(content)
            except ValueError:
                known = {}
            if known.get("key") == key:
                return dict(known["report"])
        try:
            report = _understood(path, settings, encoding)
        except TextError as error:
            raise Problem(400, self._place.shown(str(error)), param="text", code="no_text") from None
        with contextlib.suppress(OSError):  # it is made again when it is next asked for
            write_file(kept, json.dumps({"key": key, "report": report}, ensure_ascii=True))
        return report

    # -- out -------------------------------------------------------------------------------------------------------

    async def rename(self, call: Call) -> Response:
        """Another name."""
        path = self._mine(call)
        name = check_name(call.body["name"])
        target = self._place.text(name)
        if os.path.lexists(target):
            raise Problem(409, f"{name} is there already: choose another name", param="name")
        path.rename(target)
        remove(self._place.reports / f"{path.name}.json")
        for tell in self.renamed:
            tell(path.name, target.name)
        return Json(self._described(target))

    async def delete(self, call: Call) -> Response:
        """Remove it."""
        path = self._mine(call)
        await asyncio.to_thread(remove, path)
        remove(self._place.reports / f"{path.name}.json")
        return Json({"deleted": path.name})

    def _mine(self, call: Call) -> Path:
        name = call.request.path_params["name"]
        path = Path(self.find(name))
        if name in CORPORA:
            raise Problem(400, f"{name} is part of ostinato and stays", param="name")
        return path

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The addresses of all this."""
        name = record({"name": text("a name")}, required=("name",))
        base = "/studio/api/texts"
        return (
            Endpoint("POST", base, self.add, "Add a text: its bytes (?name=), or JSON with name and text", _ANY),
            Endpoint("POST", "/studio/api/folders", self.new_folder, "A folder for several files", _ANY, name),
            Endpoint("POST", f"{base}/{{name}}/file", self.add_file, "Add a file to it (?path=)", _ANY),
            Endpoint("GET", f"{base}/{{name}}", self.show, "A text, and what was understood of it", _ANY),
            Endpoint("PATCH", f"{base}/{{name}}", self.rename, "Rename a text", _ANY, name),
            Endpoint("DELETE", f"{base}/{{name}}", self.delete, "Delete a text", _ANY),
        )


def _bundled(name: str) -> dict[str, Any]:
    from importlib import resources

    size = len((resources.files("ostinato") / "corpora" / f"{name}.txt").read_bytes())
    return {"name": name, "kind": "bundled", "bytes": size, "files": 1, "modified": None}


def _stamp(path: str) -> Any:
    """What changes when a text does."""
    if path in CORPORA:
        return path
    found = []
    for folder, _, names in os.walk(path):
        found += [os.path.join(folder, name) for name in names]
    stats = [os.lstat(each) for each in sorted(found or [path])]
    return [[s.st_size for s in stats][:1000], [s.st_mtime_ns for s in stats][:1000], len(stats)]


def _understood(path: str, settings: TextSettings, encoding: str | None) -> dict[str, Any]:
    """What training would make of a text. Raises TextError."""
    from ostinato.text.sounds import language_of

    found = report_texts([path], settings, encoding, samples=_SAMPLES)
    sources = read_texts([path], encoding).sources
    return {
        "rhyme": None, **found.figures,
        "language": language_of("\n".join(found.samples)),
        "files": len(sources),
        "encodings": [
            {"file": Path(source.name).name, "encoding": source.encoding, "guessed": source.guessed}
            for source in sources[:_ENCODINGS]
        ],
        "notes": [note.replace(f"{Path(path).parent}{os.sep}", "") for note in found.notes],
        "samples": list(found.samples),
    }  # fmt: skip
