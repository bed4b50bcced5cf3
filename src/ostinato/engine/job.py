"""One request on its way through the engine."""

import threading
import time
from collections.abc import Callable
from typing import Protocol

from ostinato.errors import OstinatoError, UnavailableError
from ostinato.generation import Event, Failed, WriteRequest, Written


class FullError(UnavailableError):
    """As many requests wait as may wait."""


class StoppingError(UnavailableError):
    """The engine takes no more requests: it is about to stop."""


class StoppedError(UnavailableError):
    """The request was given up by whoever made it."""


class DeadlineError(UnavailableError):
    """The request took longer than a request may take."""


class Sink(Protocol):
    """Where a job's events go. Called in a thread of the engine: it must be quick, and must not raise."""

    def __call__(self, events: list[tuple[int, Event]], error: OstinatoError | None) -> None:
        """events: what happened, each with the number of its text in the request, 0 .. count - 1. error: why the job
        ended without all of its texts; nothing comes after it."""
        ...


class Job:
    """One request in the engine. `cancel` may be called from any thread, at any time.

    first_row: the number of its first row in the batch. left: its texts that are not finished.
    """

    def __init__(
        self, request: WriteRequest, sink: Sink, seconds: float, wake: Callable[[], None], *, whole_blocks: bool = False
    ) -> None:
        """seconds: how long the job may take, its time in the queue included. wake: called when it is cancelled.
        whole_blocks: see `Batch.admit`."""
        self.request, self.whole_blocks = request, whole_blocks
        self.first_row = 0
        self.left = request.count
        self._sink, self._wake = sink, wake
        self._until = time.monotonic() + seconds
        self._seconds = seconds
        self._cancelled = threading.Event()
        self._over = False

    def cancel(self) -> None:
        """Give the job up: its rows are free within one block of tokens, and its sink is not called again."""
        self._cancelled.set()
        self._wake()

    @property
    def finished(self) -> bool:
        """Whether nothing more will come of it."""
        return self._over or self.left == 0

    def why_not(self) -> UnavailableError | None:
        """Why the job should not go on, if it should not."""
        if self._cancelled.is_set():
            return StoppedError("the request was given up")
        if time.monotonic() > self._until:
            return DeadlineError(f"the request took longer than {self._seconds:g} seconds, the most that one may take")
        return None

    def deliver(self, events: list[tuple[int, Event]]) -> None:
        """Hand events on; a text that cannot be written on ends the whole job."""
        for at, (_, event) in enumerate(events):
            if isinstance(event, Failed):
                self._pass_on(events[:at], None)
                self.end(event.error)
                return
            self.left -= isinstance(event, Written)
        self._pass_on(events, None)

    def end(self, error: OstinatoError) -> None:
        """End the job with an error."""
        if not self.finished:
            self._over = True
            self._pass_on([], error)

    def _pass_on(self, events: list[tuple[int, Event]], error: OstinatoError | None) -> None:
        if (events or error) and not self._cancelled.is_set():
            self._sink(events, error)
