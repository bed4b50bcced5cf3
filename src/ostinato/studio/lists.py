"""The lists that the page begins with."""

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.responses import Response

from ostinato.server.endpoint import Call, Endpoint, Handler, Json


def list_endpoint(name: str, read: Callable[[], list[dict[str, Any]]]) -> Endpoint:
    """`GET /studio/api/NAME`, read in a thread."""

    async def answer(call: Call) -> Response:
        return Json({name: await asyncio.to_thread(read)})

    handle: Handler = answer
    return Endpoint("GET", f"/studio/api/{name}", handle, f"All {name}", {"type": "object"})
