"""The engine: one thread owns the batch, and everybody else hands requests in.

    submit ──▶ queue (bounded) ──▶ admitted between two blocks of tokens ──▶ batch ──▶ the job's sink
                                    dropped between two blocks: cancelled, out of time

A request in form goes to the threads beside the batch (`beside.py`) instead. A text is the same alone and in any
company, because every row of a batch owns all that its text depends on (`generation.Batch`).
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from ostinato.engine.beside import Beside, Interruptible
from ostinato.engine.job import FullError, Job, Sink, StoppingError
from ostinato.errors import OstinatoError, UnavailableError, UsageError
from ostinato.form import stream
from ostinato.generation import Batch, Event, Piece, TextModel, WriteRequest

AT_ONCE = 256
"""Tokens of all rows that are drawn between two looks at the queue: so long a stream waits for its next ones."""


@dataclass(frozen=True)
class Limits:
    """How much an engine does at a time. Raises UsageError for a value out of range.

    rows: texts that are written together. queue: requests that may wait for a row. seconds: how long a request may
    take, waiting included. beside: threads for texts in form, scores and the like.
    """

    rows: int = 64
    queue: int = 256
    seconds: float = 300.0
    beside: int = 2

    def __post_init__(self) -> None:
        for name, value, low in (("rows", self.rows, 1), ("queue", self.queue, 0), ("beside", self.beside, 1)):
            if value < low:
                raise UsageError(f"{name} must be {low} or more, got {value}")
        if not self.seconds > 0:
            raise UsageError(f"seconds must be above 0, got {self.seconds}")


class Engine:
    """Writes for many at a time with one model. All of its methods may be called from any thread.

    engine = Engine(text_model)
    job = engine.write(WriteRequest(prompt="night", seed=1), lambda events, error: ...)
    engine.stop()
    """

    def __init__(
        self,
        model: TextModel,
        limits: Limits = Limits(),
        fault: Callable[[Exception], None] = lambda error: None,
        told: Callable[[], None] = lambda: None,
    ) -> None:
        """fault: told of an error that is nobody's request's fault; all requests of that moment end with it.
        told: called in a thread of the engine, when the sinks were told all that happened in a block."""
        self.limits, self.beside = limits, Beside(limits.beside, limits.queue)
        self._model, self._fault, self._told = model, fault, told
        self._batch = Batch(model, AT_ONCE)
        self._waiting: deque[Job] = deque()
        self._entering = 0  # rows of a job that is being admitted
        self._running: dict[int, Job] = {}  # by the batch's number of each of their rows
        self._beside: set[Job] = set()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name="ostinato-engine", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Requests that wait for a row."""
        return len(self._waiting)

    @property
    def rows(self) -> int:
        """Texts that are being written in the batch."""
        return len(self._running)

    @property
    def alive(self) -> bool:
        """Whether requests are taken."""
        return self._thread.is_alive() and not self._stopping

    def write(
        self, request: WriteRequest, sink: Sink, *, seconds: float | None = None, whole_blocks: bool = False
    ) -> Job:
        """Take a request in; its events go to `sink`, those of a text in order. whole_blocks: see `Batch.admit`.

        What cannot be asked of this model reaches the sink as UsageError, a form that cannot be met as GenerationError.
        Raises UsageError for more texts than there are rows, FullError and StoppingError.
        """
        if request.count > self.limits.rows:
            raise UsageError(f"at most {self.limits.rows} texts can be asked for at once, got {request.count}")
        longest = self.limits.seconds if seconds is None else min(seconds, self.limits.seconds)
        job = Job(request, sink, longest, self._wake, whole_blocks=whole_blocks)
        if request.form is not None:
            self.beside.submit(self._write_in_form, job)
            return job
        with self._changed:
            if self._stopping:
                raise StoppingError("the server is stopping")
            if self._full(request.count):
                raise FullError(f"{len(self._waiting)} requests are waiting already: try again in a moment")
            self._waiting.append(job)
            self._changed.notify()
        return job

    def _full(self, count: int) -> bool:
        """Whether `count` more texts would have to wait, and as many requests wait as may."""
        free = self.limits.rows - len(self._running) - self._entering
        without_row = 0
        for job in self._waiting:
            if without_row or job.request.count > free:
                without_row += 1
            else:
                free -= job.request.count
        return without_row >= self.limits.queue and bool(without_row or count > free)

    def stop(self, *, drain: bool = True, timeout: float | None = None) -> bool:
        """Take nothing more, and finish what was taken (`drain`) or give it up. Returns whether all has ended."""
        with self._changed:
            self._stopping = True
            if not drain:
                for job in (*self._waiting, *self._running.values(), *self._beside):
                    job.cancel()
            self._changed.notify()
        self._thread.join(timeout)
        self.beside.stop(wait=drain)
        return not self._thread.is_alive()

    # -- beside the batch ------------------------------------------------------------------------------------------

    def _write_in_form(self, job: Job) -> None:
        self._beside.add(job)
        model = replace(self._model, step_model=Interruptible.of(self._model.step_model, job))
        try:
            for event in stream(model, job.request):
                job.deliver([(event.row, event)])
                self._told()
                if (error := job.why_not()) is not None and not job.finished:
                    raise error
        except OstinatoError as error:
            job.end(error)
        except Exception as error:
            self._fault(error)
            job.end(UnavailableError("the request failed for a fault of the server"))
        finally:
            self._beside.discard(job)
            self._told()

    # -- the thread that owns the batch -----------------------------------------------------------------------------

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()

    def _loop(self) -> None:
        while self._wait():
            try:
                self._drop_those_that_end()
                self._admit()
                if self._batch:
                    self._advance()
            except Exception as error:
                self._start_afresh(error)
            self._told()

    def _wait(self) -> bool:
        """Until there is something to do; False when there never will be."""
        with self._changed:
            while not self._waiting and not self._running:
                if self._stopping:
                    return False
                self._changed.wait()
        return True

    def _drop_those_that_end(self) -> None:
        for row, job in list(self._running.items()):
            error = job.why_not()
            if error is not None:
                job.end(error)
            if job.finished:
                self._batch.drop(row)
                del self._running[row]

    def _admit(self) -> None:
        """Take in the requests that there is room for, the first of the queue first."""
        while True:
            with self._changed:
                if not self._waiting:
                    return
                job = self._waiting[0]
                error: OstinatoError | None = job.why_not()
                if error is None and len(self._running) + job.request.count > self.limits.rows:
                    for late in [other for other in self._waiting if other.why_not() is not None]:
                        self._waiting.remove(late)
                        late.end(late.why_not() or StoppingError("the request was given up"))
                    return
                self._waiting.popleft()
                self._entering = job.request.count
            if error is None:
                try:
                    rows = self._batch.admit(job.request, whole_blocks=job.whole_blocks)
                except OstinatoError as refusal:
                    error = refusal
            if error is None:
                job.first_row = rows[0]
                self._running.update(dict.fromkeys(rows, job))
            else:
                job.end(error)
            self._entering = 0

    def _advance(self) -> None:
        """One block of tokens: what happened goes to the jobs' sinks, all of a job's events at once."""
        by_job: dict[Job, list[tuple[int, Event]]] = {}
        for event in self._batch.advance():
            job = self._running.get(event.row)
            if job is not None:
                by_job.setdefault(job, []).append((event.row - job.first_row, event))
                if not isinstance(event, Piece):
                    del self._running[event.row]
        for job, events in by_job.items():
            with contextlib.suppress(Exception):  # a sink that fails loses its own request only
                job.deliver(events)
        ended = [row for row, job in self._running.items() if job.finished]
        for row in ended:
            self._batch.drop(row)
            del self._running[row]

    def _start_afresh(self, error: Exception) -> None:
        """After a fault nothing is known of the batch: its requests end, and the next ones get a new one."""
        self._fault(error)
        for job in set(self._running.values()):
            with contextlib.suppress(Exception):
                job.end(UnavailableError("the request failed for a fault of the server"))
        self._running.clear()
        self._batch = Batch(self._model, AT_ONCE)
