"""The gate that every request passes: access control, request number, one log line, metrics."""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ostinato.engine import StoppedError
from ostinato.errors import OstinatoError
from ostinato.server.endpoint import Record, problem_response
from ostinato.server.options import Options
from ostinato.server.problems import Problem, of_the_disk
from ostinato.server.service import Service, fault

_LOCAL = ("localhost", "127.0.0.1", "[::1]")


class Keys:
    """Compares a key with the known ones in constant time."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self._digests = [_digest(key) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def know(self, authorization: str) -> bool:
        """Whether the header `Authorization: Bearer KEY` contains a known key."""
        scheme, _, key = authorization.partition(" ")
        given, found = _digest(key.strip()), False
        for digest in self._digests:
            found |= hmac.compare_digest(given, digest)
        return found and scheme.lower() == "bearer"


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def check_host(host: str) -> None:
    """Raises Problem if the `Host` header does not name this machine by one of its local names."""
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    if name.lower() not in _LOCAL:
        raise Problem(403, f"this server is for this machine alone, and knows no host {host[:80]!r}")


MayAsk = Callable[[Scope], None]


class Gate:
    """ASGI middleware; see the module's description."""

    def __init__(
        self,
        app: ASGIApp,
        service: Service,
        public: frozenset[str],
        log: Callable[[str], None],
        may_ask: MayAsk | None = None,
    ) -> None:
        """public: paths that need no key. may_ask: raises Problem for a request that is not allowed (None: check keys,
        and the host name if the server listens only on this machine)."""
        self._app, self._service, self._metrics = app, service, service.metrics
        self._options: Options = service.options
        self._public, self._log = public, log
        self._keys = Keys(service.options.keys)
        self._may_ask = may_ask or self._check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, status = time.perf_counter(), 0
        record = scope["ostinato.record"] = Record(id=f"req-{secrets.token_hex(12)}")
        scope["ostinato.begin"] = begin

        async def numbered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", record.id.encode())]
            await send(message)

        try:
            self._may_ask(scope)
            await self._app(scope, receive, numbered)
        except StoppedError as error:
            record.error = str(error)
            status = 499
            self._metrics.cancelled.inc()
        except (OstinatoError, Problem) as error:
            problem = error if isinstance(error, Problem) else Problem.of(error)
            problem.message = self._service.without_paths(problem.message)
            record.error = problem.code or "refused"
            if problem.status in (413, 429, 503, 504):
                self._metrics.refused.labels(problem.status).inc()
            if not status:
                await problem_response(problem)(scope, receive, numbered)
        except Exception as error:
            of_disk = of_the_disk(error)
            if of_disk is None:
                fault(error)
            record.error = type(error).__name__
            if not status:
                await problem_response(of_disk or Problem(500, "a fault of the server"))(scope, receive, numbered)
        finally:
            self._note(scope, record, status, time.perf_counter() - begin)

    def _check(self, scope: Scope) -> None:
        """Raises Problem if the client may not make this request."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if self._keys:
            if scope["path"] in self._public or scope["method"] == "OPTIONS":
                return
            if not self._keys.know(headers.get(b"authorization", "")):
                raise Problem(
                    401, "a key is needed: send the header `Authorization: Bearer KEY`", code="invalid_api_key"
                )
        elif self._options.loopback:
            # a page on the web may give its own name the address 127.0.0.1, and then ask as if it were this machine
            check_host(headers.get(b"host", "localhost"))

    def _note(self, scope: Scope, record: Record, status: int, seconds: float) -> None:
        route = scope.get("ostinato.route", "other")
        self._metrics.requests.labels(route, status).inc()
        if record.model:
            self._metrics.tokens.labels(record.model, "prompt").inc(record.prompt_tokens)
            self._metrics.tokens.labels(record.model, "completion").inc(record.completion_tokens)
        if record.first is not None:
            self._metrics.first_token.observe(record.first)
            if record.completion_tokens:
                self._metrics.token_seconds.observe(max(0.0, seconds - record.first) / record.completion_tokens)
        line = {
            "time": round(time.time(), 3), "id": record.id, "method": scope["method"], "route": route, "status": status,
            "ms": round(1000 * seconds, 1),
        }  # fmt: skip
        if record.model:
            line |= {
                "model": record.model, "stream": record.stream, "prompt_tokens": record.prompt_tokens,
                "completion_tokens": record.completion_tokens,
            }  # fmt: skip
        if record.first is not None:
            line["first_ms"] = round(1000 * record.first, 1)
        if record.error:
            line["error"] = record.error
        if self._options.log_text and record.model:
            line |= {"prompt": record.prompt, "text": "".join(record.text)}
        self._log(json.dumps(line))
