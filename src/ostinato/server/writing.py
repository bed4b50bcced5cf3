"""Turns HTTP requests into jobs of the engine, and carries their events back to the event loop."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from ostinato.engine import Job
from ostinato.errors import OstinatoError
from ostinato.generation import Event, Piece, WriteRequest, Written
from ostinato.server.endpoint import Call
from ostinato.server.service import Served

T = TypeVar("T")
Happened = list[tuple[int, int, Event]]
"""Events of several requests: number of the request, number of the text in it, event."""


class Writing:
    """Several requests written for one call. `async for happened in writing` runs until all texts are finished.

    Each turn yields everything that happened since the last one, so a slow reader gets more at a time. Raises
    UnavailableError if the engine accepts no more (then none of the requests continues), and any error that ends one of
    the requests.
    """

    def __init__(
        self, call: Call, served: Served, requests: Sequence[WriteRequest], *, whole_blocks: bool = False
    ) -> None:
        """whole_blocks: whether a piece of text may contain many tokens; see `Batch.admit`."""
        self._call, self._whole_blocks = call, whole_blocks
        self._happened: Happened = []
        self._error: OstinatoError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._left = sum(request.count for request in requests)
        self._jobs: list[Job] = []
        put = call.service.outbox.put
        try:
            for number, request in enumerate(requests):
                sink = partial(put, self, number)
                self._jobs.append(served.engine.write(request, sink, whole_blocks=whole_blocks))
        except OstinatoError:
            self.close()
            raise

    def receive(self, number: int, events: list[tuple[int, Event]], error: OstinatoError | None) -> None:
        """Take in the events of request `number`."""
        self._happened += [(number, row, event) for row, event in events]
        self._error = self._error or error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> "Writing":
        return self

    async def __anext__(self) -> Happened:
        while self._left and not self._happened and self._error is None:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._error is not None and not self._happened:
            error, self._left = self._error, 0
            self.close()
            raise error
        if not self._left:
            raise StopAsyncIteration
        happened, self._happened = self._happened, []
        if self._whole_blocks and len(happened) > 1:
            happened = _merged(happened)
        record = self._call.record
        if record.first is None:
            record.first = time.perf_counter() - self._call.request.scope["ostinato.begin"]
        for _, _, event in happened:
            if isinstance(event, Written):
                self._left -= 1
                record.completion_tokens += event.tokens
        return happened

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
        """Give up what is unfinished; the iteration ends."""
        for job in self._jobs:
            if not job.finished:
                job.cancel()
        self._left = 0
        self._wake()


def _merged(happened: Happened) -> Happened:
    """The same events, with consecutive pieces of a text merged into one."""
    found: Happened = []
    for number, row, event in happened:
        if found and isinstance(event, Piece):
            last_number, last_row, last = found[-1]
            if (last_number, last_row) == (number, row) and isinstance(last, Piece) and last.title == event.title:
                found[-1] = number, row, Piece(event.row, last.text + event.text, event.title, last.ids + event.ids)
                continue
        found.append((number, row, event))
    return found


async def beside(call: Call, served: Served, work: Callable[..., T], *arguments: Any) -> T:
    """Run `work` in a thread outside the batch. Raises FullError, StoppingError, and whatever `work` raises."""
    return await asyncio.wrap_future(served.engine.beside.submit(work, *arguments))
