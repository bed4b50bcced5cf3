"""The ASGI application: the endpoints behind the gate."""

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
from ostinato.server.gate import Gate
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
    """The application that serves `models` by name, and what is behind it. log: gets a line of JSON per request."""
    metrics = Metrics()
    service = Service(models, options, metrics)
    metrics.watch({name: one.engine for name, one in service.served.items()})
    described = document(ENDPOINTS, keys=bool(options.keys))

    async def openapi(call: Call) -> Response:
        return Json(described)

    about = Endpoint("GET", "/openapi.json", openapi, "The OpenAPI document", {"type": "object"})
    app: ASGIApp = Router(service, (*ENDPOINTS, about))
    public = frozenset(endpoint.path for endpoint in ENDPOINTS if endpoint.public)
    app = Gate(app, service, metrics, public, log)
    if options.origins:
        app = CORSMiddleware(
            app, allow_origins=options.origins, allow_methods=["GET", "POST"], expose_headers=["x-request-id"],
            allow_headers=["authorization", "content-type"],
        )  # fmt: skip
    return app, service


class Router:
    """Finds the endpoint of a request and lets it answer. Raises Problem, and what the endpoint raises."""

    def __init__(self, service: Service, endpoints: Sequence[Endpoint]) -> None:
        self._service = service
        self._found: dict[str, dict[str, Endpoint]] = {}
        for endpoint in endpoints:
            self._found.setdefault(endpoint.path.partition("{")[0], {})[endpoint.method] = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path: str = scope["path"]
        methods = self._found.get(path)
        if methods is None:  # the last part may be a name
            head, _, name = path.rpartition("/")
            methods = self._found.get(f"{head}/", {}) if name else {}
            scope["path_params"] = {"name": name}
        if not methods:
            raise Problem(404, "there is nothing at this address: /openapi.json lists all", code="not_found")
        endpoint = methods.get("GET" if scope["method"] == "HEAD" else scope["method"])
        if endpoint is None:
            raise Problem(405, f"{scope['method'][:20]} is not possible at this address", allow=", ".join(methods))
        scope["ostinato.route"] = endpoint.path
        request = Request(scope, receive, send)
        response = await endpoint.handle(await call_of(self._service, endpoint, request))
        await response(scope, receive, send)
