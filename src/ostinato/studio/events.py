"""Server-sent events: the lists whenever they change, and a run as it goes."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from starlette.responses import Response

from ostinato.files import parse_json
from ostinato.server.endpoint import Call, Endpoint, EventStream, to_bytes
from ostinato.server.problems import Problem
from ostinato.studio.comparisons import Comparisons
from ostinato.studio.library import Library
from ostinato.studio.run_state import finite
from ostinato.studio.runs import Runs
from ostinato.studio.texts import Texts

_SECONDS = 0.5
"""Between two looks at the files."""
_ALIVE_SECONDS = 15.0
_LOG_LINES = 200


def named_event(name: str, value: Any) -> bytes:
    """An event with a name."""
    return b"event: " + name.encode() + b"\ndata: " + to_bytes(value) + b"\n\n"


class Tail:
    """What is added to a file of lines. `read` gives the new whole lines, and whether the file began anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self._file: int | None = None

    def read(self) -> tuple[list[bytes], bool]:
        """New lines; True with them where they are the first ones (of another file)."""
        try:
            if self._path.is_symlink():
                return [], False
            with self._path.open("rb") as file:
                found = self._path.stat()
                anew = found.st_ino != self._file or found.st_size < self._at
                if anew:
                    self._at, self._file = 0, found.st_ino
                elif found.st_size == self._at:
                    return [], False
                file.seek(self._at)
                content = file.read(1 << 26)
        except OSError:
            gone, self._file, self._at = self._file is not None, None, 0
            return [], gone
        whole = content[: content.rfind(b"\n") + 1]
        self._at += len(whole)
        return whole.splitlines(), anew


class Events:
    """The streams."""

    def __init__(self, library: Library, texts: Texts, runs: Runs, comparisons: Comparisons) -> None:
        self._library, self._texts, self._runs, self._comparisons = library, texts, runs, comparisons

    async def lists(self, call: Call) -> Response:
        """Texts, runs and comparisons: each list at the beginning and whenever it changes."""
        return self._stream(call, self._lists())

    async def run(self, call: Call) -> Response:
        """One run: its rows, samples and log so far, then what is new."""
        name = self._runs.known(call.request.path_params["name"])
        return self._stream(call, self._follow(name))

    def _stream(self, call: Call, parts: AsyncIterator[bytes]) -> EventStream:
        call.record.stream = True
        return EventStream(parts, lambda: None, call.service.options.send_seconds)

    async def _lists(self) -> AsyncIterator[bytes]:
        kinds: dict[str, Callable[[], Any]] = {
            "texts": self._texts.list, "runs": self._runs.list, "comparisons": self._comparisons.list
        }  # fmt: skip
        known: dict[str, Any] = {}
        said = time.monotonic()
        while not self._library.stopping:
            part = b""
            for kind, read in kinds.items():
                now = await asyncio.to_thread(read)
                if _lasting(now) != known.get(kind):
                    known[kind] = _lasting(now)
                    part += named_event(kind, {kind: now})
            if not part and time.monotonic() - said > _ALIVE_SECONDS:
                part = b": still here\n\n"
            if part:
                said = time.monotonic()
                yield part
            await asyncio.sleep(2 * _SECONDS)

    async def _follow(self, name: str) -> AsyncIterator[bytes]:
        watched = _Watched(self._runs, name)
        said = time.monotonic()
        while not self._library.stopping:
            part, over = await asyncio.to_thread(watched.look)
            if not part and time.monotonic() - said > _ALIVE_SECONDS:
                part = b": still here\n\n"
            if part:
                said = time.monotonic()
                yield part
            if over:
                return
            await asyncio.sleep(_SECONDS)

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The addresses."""
        stream = {"type": "string"}
        kind = "text/event-stream"
        return (
            Endpoint("GET", "/studio/api/events", self.lists, "The lists as they change", stream, media_type=kind),
            Endpoint("GET", "/studio/api/runs/{name}/events", self.run, "A run as it goes", stream, media_type=kind),
        )


class _Watched:
    """One run that somebody looks at."""

    def __init__(self, runs: Runs, name: str) -> None:
        self._runs, self._name = runs, name
        folder = runs.folder(name)
        self._tails = {"row": Tail(folder / "metrics.jsonl"), "sample": Tail(folder / "samples.jsonl")}
        self._log = Tail(runs.jobs.log_path(name))
        self._first = True
        self._known: Any = None

    def look(self) -> tuple[bytes, bool]:
        """What happened since the last look, as events, and whether the run is gone."""
        part = b""
        for kind, tail in self._tails.items():
            lines, anew = tail.read()
            rows = [row for line in lines if (row := _row(line)) is not None]
            if anew or self._first:
                part += named_event(f"{kind}s", rows)
            else:
                part += b"".join(named_event(kind, row) for row in rows)
        lines, _ = self._log.read()
        if lines:
            said = [line.decode("utf-8", "replace") for line in lines[-_LOG_LINES:]]
            part += named_event("log", {"lines": said})
        try:
            now = self._runs.describe(self._name)
        except Problem:
            return part + named_event("gone", {}), True
        seconds = None if now["left"] is None else round(now["left"])
        if (state := (_lasting(now), seconds)) != self._known:
            self._known = state
            part += named_event("run", now)
        self._first = False
        return part, False


def _row(line: bytes) -> Any:
    try:
        return finite(parse_json(line))
    except ValueError:
        return None


def _lasting(value: Any) -> Any:
    """A value without what changes with every look."""
    if isinstance(value, dict):
        return {k: _lasting(v) for k, v in value.items() if k not in ("left", "progress", "bytes", "log")}
    return [_lasting(item) for item in value] if isinstance(value, list) else value
