"""The page itself: the files in `page/`, read once, sent packed."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

from starlette.responses import Response

from ostinato.server.endpoint import Call, Endpoint
from ostinato.server.problems import Problem
from ostinato.studio.guard import Guard

_TYPES = {
    ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml", ".png": "image/png", ".ico": "image/x-icon", ".woff2": "font/woff2",
    ".json": "application/json",
}  # fmt: skip
_CLOSED = (
    "ostinato studio\n\nOpen the address that `ostinato studio` printed in the terminal: it has the key to this page.\n"
    "请打开终端里 `ostinato studio` 显示的网址：其中带有进入本页的密钥。\n"
)


@dataclass(frozen=True)
class _File:
    content: bytes
    packed: bytes
    kind: str
    tag: str


@cache
def _files() -> dict[str, _File]:
    """The files of the page by their path: what is not there cannot be asked for, whatever the path."""
    found: dict[str, _File] = {}

    def read(folder: Traversable, before: str) -> None:
        for entry in folder.iterdir():
            kind = _TYPES.get("." + entry.name.rpartition(".")[2])
            if entry.is_dir():
                read(entry, f"{before}{entry.name}/")
            elif kind is not None:
                content = entry.read_bytes()
                tag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
                found[before + entry.name] = _File(content, gzip.compress(content, mtime=0), kind, tag)

    read(resources.files("ostinato.studio") / "page", "")
    return found


def _answer(call: Call, name: str) -> Response:
    file = _files().get(name)
    if file is None:
        raise Problem(404, "the page has no such file", code="not_found")
    headers = {"etag": file.tag, "cache-control": "no-cache", "vary": "accept-encoding", "content-type": file.kind}
    if call.request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    if "gzip" in call.request.headers.get("accept-encoding", "") and len(file.packed) < len(file.content):
        return Response(file.packed, headers={**headers, "content-encoding": "gzip"})
    return Response(file.content, headers=headers)


class Pages:
    """The page behind the token."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def first(self, call: Call) -> Response:
        """`/`: with the token in the address, the cookie and the address without it; with the cookie, the page."""
        token = call.request.query_params.get("token")
        if token is not None and self._guard.knows(token):
            return Response(status_code=303, headers={"location": "/", "set-cookie": self._guard.set_cookie})
        authorized = self._guard.knows(call.request.headers.get("authorization", "").removeprefix("Bearer "))
        if not authorized and not self._guard.has_cookie(call.request.headers.get("cookie", "")):
            return Response(_CLOSED, status_code=401, media_type="text/plain")
        return _answer(call, "index.html")

    async def file(self, call: Call) -> Response:
        """`/page/NAME`."""
        return _answer(call, call.request.path_params["name"])

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where the page is."""
        html = {"type": "string"}
        return (
            Endpoint("GET", "/", self.first, "The studio's page", html, media_type="text/html"),
            Endpoint("GET", "/page/{name:path}", self.file, "Its files", html, media_type="text/html"),
        )
