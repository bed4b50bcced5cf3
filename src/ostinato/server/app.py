"""The ASGI application: the endpoints behind the gate."""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ostinato.server import cutting, listing, own
from ostinato.server.chat import CHAT
from ostinato.server.completions import COMPLETIONS
from ostinato.server.endpoint import Call, Endpoint, Json, call_of
from ostinato.server.gate import Gate, MayAsk
from ostinato.server.metrics import Metrics
from ostinato.server.openapi import document
from ostinato.server.options import Options
from ostinato.server.problems import Problem
from ostinato.server.service import Service
from ostinato.terminal import note

if TYPE_CHECKING:
    from ostinato.api import Model

ENDPOINTS: tuple[Endpoint, ...] = (
    *listing.ENDPOINTS, COMPLETIONS, CHAT, *own.ENDPOINTS, *cutting.ENDPOINTS,
)  # fmt: skip


def build(models: "dict[str, Model]", options: Options, log: Callable[[str], None] = note) -> tuple[ASGIApp, Service]:
    """Returns the application that serves `models` by name, and the service behind it. log: called with one line of
    JSON per request."""
    metrics = Metrics()
    service = Service(models, options, metrics)
    metrics.watch({name: one.engine for name, one in service.served.items()})
    app: ASGIApp = assemble(service, ENDPOINTS, log)
    if options.origins:
        app = CORSMiddleware(
            app, allow_origins=options.origins, allow_methods=["GET", "POST"], expose_headers=["x-request-id"],
            allow_headers=["authorization", "content-type"],
        )  # fmt: skip
    return app, service


def assemble(
    service: Service, endpoints: Sequence[Endpoint], log: Callable[[str], None], may_ask: MayAsk | None = None
) -> ASGIApp:
    """Returns an application of the endpoints and their OpenAPI document, behind the gate. may_ask: see `Gate`."""
    described = document(endpoints, keys=bool(service.options.keys))

    async def openapi(call: Call) -> Response:
        return Json(described)

    about = Endpoint("GET", "/openapi.json", openapi, "The OpenAPI document", {"type": "object"})
    public = frozenset(endpoint.path for endpoint in endpoints if endpoint.public)
    return Gate(Router(service, (*endpoints, about)), service, public, log, may_ask)


class Router:
    """Finds the endpoint of a request and lets it answer. Raises Problem, and whatever the endpoint raises.

    A part of a path in braces matches any one part; `{rest:path}` at the end matches all that follow.
    """

    def __init__(self, service: Service, endpoints: Sequence[Endpoint]) -> None:
        self._service = service
        self._plain: dict[str, dict[str, Endpoint]] = {}
        self._named: dict[str, tuple[re.Pattern[str], dict[str, Endpoint]]] = {}
        for endpoint in endpoints:
            if "{" in endpoint.path:
                pattern = re.compile(_PART.sub(_as_pattern, re.escape(endpoint.path)), re.DOTALL)
                self._named.setdefault(endpoint.path, (pattern, {}))[1][endpoint.method] = endpoint
            else:
                self._plain.setdefault(endpoint.path, {})[endpoint.method] = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        methods = self._find(scope)
        if not methods:
            raise Problem(404, "there is nothing at this address: /openapi.json lists all", code="not_found")
        endpoint = methods.get("GET" if scope["method"] == "HEAD" else scope["method"])
        if endpoint is None:
            raise Problem(405, f"{scope['method'][:20]} is not possible at this address", allow=", ".join(methods))
        scope["ostinato.route"] = endpoint.path
        request = Request(scope, receive, send)
        response = await endpoint.handle(await call_of(self._service, endpoint, request))
        await response(scope, receive, send)

    def _find(self, scope: Scope) -> dict[str, Endpoint] | None:
        if (methods := self._plain.get(scope["path"])) is not None:
            return methods
        for pattern, methods in self._named.values():
            if (found := pattern.fullmatch(scope["path"])) is not None:
                scope["path_params"] = found.groupdict()
                return methods
        return None


_PART = re.compile(r"\\{(\w+)(:path)?\\}")


def _as_pattern(part: re.Match[str]) -> str:
    return f"(?P<{part[1]}>{'.+' if part[2] else '[^/]+'})"
