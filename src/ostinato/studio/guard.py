"""Who may ask the studio: a page of its own, opened with the token, from this machine.

A cookie of 127.0.0.1 goes to every port of it, and a page of another port is of the same *site*: so that the cookie
alone is not enough, and a browser must say that the request is of the same origin.
"""

import secrets
from http.cookies import CookieError, SimpleCookie

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ostinato.server.gate import Keys, check_host
from ostinato.server.problems import Problem

_HEADERS = (
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "
                                 b"object-src 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)  # fmt: skip


class Guard:
    """The token and its cookie. `may_ask` is the gate's question."""

    def __init__(self, port: int) -> None:
        self.token = secrets.token_urlsafe(24)
        self._keys = Keys((self.token,))
        self.cookie = f"ostinato_studio_{port}"
        self._port = port

    def knows(self, token: str) -> bool:
        """Whether this is the token."""
        return self._keys.know(f"Bearer {token}")

    @property
    def set_cookie(self) -> str:
        """The header that gives a browser the token."""
        return f"{self.cookie}={self.token}; HttpOnly; SameSite=Strict; Path=/"

    def may_ask(self, scope: Scope) -> None:
        """Raises Problem: 403 for another host or origin, 401 without the token. `/` says itself what is missing."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        check_host(host)
        if host.rpartition(":")[2] != str(self._port):
            raise Problem(403, f"the studio is at port {self._port}, and knows no host {host[:80]!r}")
        origin = headers.get(b"origin")
        if origin is not None and origin != f"http://{host}":
            raise Problem(403, f"a page of {origin[:80]} may not ask here", code="other_origin")
        site = headers.get(b"sec-fetch-site", "same-origin")
        opened = scope["path"] == "/" and scope["method"] == "GET"
        if site not in ("same-origin", "none") and not opened:
            raise Problem(403, "only the studio's own page may ask here", code="other_origin")
        if opened or self._keys.know(headers.get(b"authorization", "")):
            return
        if not self.has_cookie(headers.get(b"cookie", "")):
            message = "open the address that `ostinato studio` printed: it has the token that is needed here"
            raise Problem(401, message, code="no_token")
        if scope["method"] not in ("GET", "HEAD") and origin is None and b"sec-fetch-site" not in headers:
            raise Problem(403, "a request with the cookie must say which page it is of (Origin)", code="other_origin")

    def has_cookie(self, header: str) -> bool:
        """Whether the header `Cookie` has the token."""
        try:
            found = SimpleCookie(header).get(self.cookie)
        except CookieError:
            return False
        return found is not None and self.knows(found.value)


class Headers:
    """ASGI middleware: what every answer of the studio says to the browser."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; add the headers to its answer."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                known = {name for name, _ in message["headers"]}
                more = [] if b"cache-control" in known else [(b"cache-control", b"no-store")]
                message["headers"] = [*message["headers"], *_HEADERS, *more]
            await send(message)

        await self._app(scope, receive, with_headers)
