"""Texts that were kept, with what the page knows of how they came about."""

import json
from typing import Any

from starlette.responses import Response

from ostinato.files import parse_json, write_file
from ostinato.server.endpoint import Call, Endpoint, Json
from ostinato.server.problems import Problem
from ostinato.server.schema import record, text
from ostinato.studio.place import Place, check_name, listed, modified, read_own, remove

_ANY = {"type": "object"}
_MOST = 10_000


def _parsed(content: bytes) -> dict[str, Any]:
    """A kept text; empty where the file is damaged."""
    try:
        return parse_json(content)
    except ValueError:
        return {}


class Writings:
    """The kept texts, a file each."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def list(self) -> list[dict[str, Any]]:
        """All of them, the newest first."""
        found = []
        for path in listed(self._place.writings):
            time = modified(path) if path.suffix == ".json" else None
            if time is not None and (content := read_own(path)) is not None:  # else it has gone, or is no file
                characters = len(_parsed(content).get("text", ""))
                found.append({"name": path.stem, "modified": time, "characters": characters})
        return sorted(found, key=lambda one: -one["modified"])

    def _read(self, name: str) -> dict[str, Any]:
        content = read_own(self._place.writing(name))
        if content is None:
            raise Problem(404, f"no kept text is called {name}", code="not_found")
        return _parsed(content)

    async def show(self, call: Call) -> Response:
        """One of them."""
        return Json(self._read(call.request.path_params["name"]))

    async def keep(self, call: Call) -> Response:
        """Keep one, in place of an older one of its name."""
        path = self._place.writing(check_name(call.request.path_params["name"]))
        if not path.exists() and sum(1 for _ in self._place.writings.iterdir()) >= _MOST:
            raise Problem(413, f"{_MOST:,} texts are kept already: delete some", code="full")
        try:
            content = json.dumps(call.raw, ensure_ascii=True)
            parse_json(content.encode())
        except (ValueError, RecursionError) as error:
            raise Problem(400, f"the body cannot be kept: {error}") from None
        write_file(path, content)
        return Json({"name": path.name.removesuffix(".json")})

    async def delete(self, call: Call) -> Response:
        """Remove one."""
        name = call.request.path_params["name"]
        self._read(name)
        remove(self._place.writing(name))
        return Json({"deleted": name})

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where they are."""
        one = "/studio/api/writings/{name}"
        body = record({"text": text("the text")}, required=("text",)) | {"additionalProperties": True}  # kept whole
        return (
            Endpoint("GET", one, self.show, "A kept text", _ANY),
            Endpoint("PUT", one, self.keep, "Keep a text", _ANY, body),
            Endpoint("DELETE", one, self.delete, "Delete a kept text", _ANY),
        )
