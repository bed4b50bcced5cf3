"""From a request on the wire to jobs of the engine, and from their events back to the event loop."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeVar

from ostinato.engine import Job
from ostinato.errors import OstinatoError
from ostinato.generation import Event, WriteRequest, Written
from ostinato.server.endpoint import Call
from ostinato.server.service import Served

T = TypeVar("T")
Happened = list[tuple[int, int, Event]]
"""Events of several requests: number of the request, number of the text in it, event."""


class Writing:
    """Several requests that are written for one call. `async for happened in writing` until all texts are finished.

    Raises UnavailableError where the engine takes no more (none of the requests goes on then), and whatever ends one
    of the requests.
    """

    def __init__(self, call: Call, served: Served, requests: Sequence[WriteRequest]) -> None:
        self._call, self._loop = call, asyncio.get_running_loop()
        self._events: asyncio.Queue[tuple[Happened, OstinatoError | None] | None] = asyncio.Queue()
        self._left = sum(request.count for request in requests)
        self._jobs: list[Job] = []
        try:
            for number, request in enumerate(requests):
                self._jobs.append(served.engine.write(request, self._sink(number)))
        except OstinatoError:
            self.close()
            raise

    def _sink(self, number: int) -> "_Sink":
        return _Sink(number, self._loop, self._events)

    def __aiter__(self) -> AsyncIterator[Happened]:
        return self._run()

    async def _run(self) -> AsyncIterator[Happened]:
        record = self._call.record
        while self._left:
            item = await self._events.get()
            if item is None:
                return
            happened, error = item
            if error is not None:
                self.close()
                raise error
            if record.first is None:
                record.first = time.perf_counter() - self._call.request.scope["ostinato.begin"]
            for _, _, event in happened:
                if isinstance(event, Written):
                    self._left -= 1
                    record.completion_tokens += event.tokens
            yield happened

    async def written(self) -> list[list[Written]]:
        """The finished texts of each request."""
        found: dict[tuple[int, int], Written] = {}
        try:
            async for happened in self:
                found |= {(number, row): event for number, row, event in happened if isinstance(event, Written)}
        finally:
            self.close()
        if self._call.service.options.log_text:
            self._call.record.text += [written.text for written in found.values()]
        return [
            [found[number, row] for row in range(job.request.count)]
            for number, job in enumerate(self._jobs)
        ]  # fmt: skip

    def close(self) -> None:
        """Give up what is not finished; the iteration ends."""
        for job in self._jobs:
            if not job.finished:
                job.cancel()
        self._left = 0
        self._events.put_nowait(None)


class _Sink:
    """Carries a job's events into the event loop."""

    def __init__(
        self,
        number: int,
        loop: asyncio.AbstractEventLoop,
        events: "asyncio.Queue[tuple[Happened, OstinatoError | None] | None]",
    ) -> None:
        self._number, self._loop, self._events = number, loop, events

    def __call__(self, events: list[tuple[int, Event]], error: OstinatoError | None) -> None:
        happened = [(self._number, row, event) for row, event in events]
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
            self._loop.call_soon_threadsafe(self._events.put_nowait, (happened, error))


async def beside(call: Call, served: Served, work: Callable[..., T], *arguments: Any) -> T:
    """Run `work` in a thread beside the batch. Raises FullError, StoppingError, and what it raises."""
    return await asyncio.wrap_future(served.engine.beside.submit(work, *arguments))
