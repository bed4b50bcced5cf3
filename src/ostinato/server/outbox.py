"""Carries events from the engines' threads into the event loop."""

import asyncio
import contextlib
from collections import deque
from typing import Protocol

from ostinato.errors import OstinatoError
from ostinato.generation import Event


class Receiver(Protocol):
    """Receives, in the event loop, what happened to its requests."""

    def receive(self, number: int, events: list[tuple[int, Event]], error: OstinatoError | None) -> None:
        """number: the number of the request. events, error: as in `engine.Sink`."""
        ...


class Outbox:
    """Carries events from the engines' threads into the event loop, all events of a block in one call."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._items: deque[tuple[Receiver, int, list[tuple[int, Event]], OstinatoError | None]] = deque()
        self._called = False

    def put(
        self, receiver: Receiver, number: int, events: list[tuple[int, Event]], error: OstinatoError | None
    ) -> None:
        """Keep what happened to a request until `send`. May be called from any thread."""
        self._items.append((receiver, number, events, error))

    def send(self) -> None:
        """Hand over what was kept. May be called from any thread."""
        if self._items and not self._called:
            self._called = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._called = False  # before the items are taken: one that comes now is taken, or calls again
        while self._items:
            receiver, number, events, error = self._items.popleft()
            receiver.receive(number, events, error)
