"""The OpenAPI document, generated from the endpoints."""

import re
from collections.abc import Sequence
from typing import Any

from ostinato import __version__
from ostinato.server.endpoint import Endpoint
from ostinato.server.schema import or_null, record, shown, text

_ERROR = record(
    {
        "error": record(
            {
                "message": text("what was wrong"),
                "type": text("a word for the kind"),
                "param": or_null(text("the field")),
                "code": or_null(text("a word for programs")),
            },
            required=("message", "type"),
        )
    },
    required=("error",),
)


def document(endpoints: Sequence[Endpoint], *, keys: bool) -> dict[str, Any]:
    """The OpenAPI 3.1 document of these endpoints. keys: whether clients need a key."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, keys=keys)
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "ostinato", "version": __version__, "description": "Recurrent language models over HTTP."},
        "paths": paths,
        "components": {"schemas": {"Error": _ERROR}},
    }
    if keys:
        found["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return found


def _operation(endpoint: Endpoint, *, keys: bool) -> dict[str, Any]:
    answer: dict[str, Any] = {endpoint.media_type: {"schema": endpoint.answer}}
    if endpoint.streams:
        answer["text/event-stream"] = {}
    found: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{endpoint.method.lower()}{endpoint.path}").strip("_"),
        "summary": endpoint.summary,
        "responses": {
            "200": {"description": "done", "content": answer},
            "default": {
                "description": "an error",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", endpoint.path)
    ]
    if parameters:
        found["parameters"] = parameters
    if endpoint.body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": shown(endpoint.body)}}}
    if keys and not endpoint.public:
        found["security"] = [{"key": []}]
    return found
