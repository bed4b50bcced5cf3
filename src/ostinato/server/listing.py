"""`/v1/models`, and the addresses for load balancers: health, readiness, metrics."""

import time
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from ostinato.server.endpoint import Call, Endpoint, Json
from ostinato.server.problems import Problem
from ostinato.server.schema import integer, record, several, text

_STARTED = int(time.time())
_MODEL = record(
    {
        "id": text("the name to ask by"),
        "object": {"type": "string", "enum": ["model"]},
        "created": integer("when the server started", 0, 1 << 53),
        "owned_by": text("ostinato"),
    },
    required=("id", "object", "created", "owned_by"),
)
_MODELS = record({"object": {"type": "string", "enum": ["list"]}, "data": several(_MODEL)}, required=("object", "data"))
_STATE = record({"status": text("ok, or what is the matter")}, required=("status",))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _STARTED, "owned_by": "ostinato"}


async def models(call: Call) -> Response:
    """All models."""
    return Json({"object": "list", "data": [_model(name) for name in call.service.served]})


async def model(call: Call) -> Response:
    """One model."""
    return Json(_model(call.service.find(call.request.path_params["name"]).name))


async def health(call: Call) -> Response:
    """Whether the process works. A server that is shutting down still does."""
    return Json({"status": "ok"})


async def ready(call: Call) -> Response:
    """Whether the server accepts requests."""
    if not call.service.ready:
        raise Problem(503, "the server is stopping")
    return Json({"status": "ok"})


async def metrics(call: Call) -> Response:
    """Metrics for Prometheus."""
    return Response(call.service.metrics.text(), headers={"content-type": CONTENT_TYPE_LATEST})


ENDPOINTS = (
    Endpoint("GET", "/v1/models", models, "The models that can be asked", _MODELS),
    Endpoint("GET", "/v1/models/{name}", model, "One model", _MODEL),
    Endpoint("GET", "/health", health, "Whether the process works", _STATE, public=True),
    Endpoint("GET", "/ready", ready, "Whether requests should be sent here", _STATE, public=True),
    Endpoint("GET", "/metrics", metrics, "Counts for Prometheus", {"type": "string"}, media_type="text/plain"),
)
