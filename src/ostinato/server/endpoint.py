"""One address of the server with its OpenAPI description; reading the body of a request and answering."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ostinato.engine import StoppedError
from ostinato.server.problems import Problem
from ostinato.server.schema import Schema, check
from ostinato.server.service import Service

T = TypeVar("T")


@dataclass
class Record:
    """What the log and the metrics record of one request."""

    id: str = ""
    model: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    stream: bool = False
    error: str = ""
    prompt: str = ""
    text: list[str] = field(default_factory=list)
    first: float | None = None


@dataclass(frozen=True)
class Call:
    """One request: the service, the checked body, the record of the request, and the raw body."""

    service: Service
    request: Request
    body: dict[str, Any]
    record: Record
    raw: dict[str, Any]


Handler = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True)
class Endpoint:
    """One address. body: the schema of the request body (None: no body). answer: the schema of the response. streams:
    whether `stream: true` returns server-sent events. public: whether clients without a key may use it."""

    method: str
    path: str
    handle: Handler
    summary: str
    answer: Schema
    body: Schema | None = None
    streams: bool = False
    public: bool = False
    media_type: str = "application/json"


async def call_of(service: Service, endpoint: Endpoint, request: Request) -> Call:
    """Read and check the body of a request. Raises Problem."""
    record: Record = request.scope["ostinato.record"]
    body: dict[str, Any] = {}
    raw: Any = {}
    if endpoint.body is not None:
        raw = await _json(request, service)
        body = check(raw, endpoint.body, "")
        if isinstance(name := body.get("model"), str):
            await service.prepare(name)
    return Call(service, request, body, record, raw)


async def _json(request: Request, service: Service) -> Any:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # a form of another page on the web has other types, and needs no permission
        raise Problem(
            415, f"the body must be application/json (curl: -H 'Content-Type: application/json'), got {kind!r}"
        )
    options = service.options
    try:
        async with asyncio.timeout(options.body_seconds):
            data = await _bytes(request, options.body_bytes)
    except TimeoutError:
        raise Problem(408, f"the body did not arrive within {options.body_seconds:g} seconds") from None
    try:
        return json.loads(data, parse_constant=_no_constant)
    except RecursionError:
        raise Problem(400, "the body is nested too deeply") from None
    except ValueError as error:
        raise Problem(400, f"the body is no JSON: {error}") from None


async def _bytes(request: Request, most: int) -> bytes:
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise Problem(413, f"the body may have {most:,} bytes, got {int(length):,}")
    parts, size = [], 0
    try:
        async for part in request.stream():
            parts.append(part)
            size += len(part)
            if size > most:
                raise Problem(413, f"the body may have {most:,} bytes, got more")
    except ClientDisconnect:
        raise StoppedError("the client went away") from None
    return b"".join(parts)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def to_bytes(value: object) -> bytes:
    """JSON in UTF-8. A lone surrogate, which UTF-8 cannot encode, is written as an escape."""
    return _encode(value).encode("utf-8", "backslashreplace")


class Json(Response):
    """A JSON response."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The body."""
        return to_bytes(content)


def problem_response(problem: Problem) -> Json:
    """The response to a request that cannot be served."""
    return Json(problem.to_json(), status_code=problem.status, headers=problem.headers)


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """Wait for `work`; cancel it and raise StoppedError if the client disconnects first."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request.receive))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise StoppedError("the client went away")
    finally:
        task.cancel()
        gone.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class EventStream(Response):
    """A stream of server-sent events. Each part contains any number of events. `close` is called when the stream ends,
    for whatever reason."""

    def __init__(self, parts: AsyncIterator[bytes], close: Callable[[], None], send_seconds: float) -> None:
        super().__init__(media_type="text/event-stream", headers={"cache-control": "no-cache"})
        del self.headers["content-length"]
        self._parts, self._close, self._seconds = parts, close, send_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the parts as they arrive, until the client disconnects or reads nothing for too long."""
        gone = asyncio.ensure_future(_gone(receive))
        gone.add_done_callback(lambda task: None if task.cancelled() else self._close())
        patience = _Patience(self._seconds)
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for part in self._parts:
                if gone.done():
                    raise StoppedError("the client went away")
                patience.begin()
                await send({"type": "http.response.body", "body": part, "more_body": True})
                patience.end()
            if gone.done():
                raise StoppedError("the client went away")
            patience.begin()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except asyncio.CancelledError:
            patience.check()
            raise
        finally:
            patience.close()
            gone.cancel()
            self._close()


class _Patience:
    """Cancels the current task if it spends too long between `begin` and `end`.

    `asyncio.timeout` around each part would cost as much as sending the part.
    """

    def __init__(self, seconds: float) -> None:
        self._loop, self._seconds = asyncio.get_running_loop(), seconds
        self._task, self._lost = asyncio.current_task(), False
        self._since: float | None = None
        self._timer = self._loop.call_later(seconds, self._look)

    def begin(self) -> None:
        """Start the clock."""
        self._since = self._loop.time()

    def end(self) -> None:
        """Stop the clock."""
        self._since = None

    def _look(self) -> None:
        now = self._loop.time()
        since = now if self._since is None else self._since
        if now - since >= self._seconds and self._task is not None:
            self._lost = self._task.cancel()
        else:
            self._timer = self._loop.call_at(since + self._seconds, self._look)

    def check(self) -> None:
        """Raises StoppedError if the task was cancelled by this object."""
        if self._lost and self._task is not None:
            self._task.uncancel()
            raise StoppedError("the client took nothing for too long") from None

    def close(self) -> None:
        """Stop watching."""
        self._timer.cancel()
