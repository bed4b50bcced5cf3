"""What runs beside the batch and never holds it up: texts in form, scores, a few threads with a bounded queue."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ostinato.engine.job import FullError, Job, StoppingError
from ostinato.errors import UnavailableError
from ostinato.protocols import Floats, Ids, State, StepModel, read_on

T = TypeVar("T")

READ_AT_ONCE = 2048
"""Tokens that are read between two looks at whether the job goes on."""


class Beside:
    """A few threads for work that needs no row of the batch. `len` says how much is running or waiting."""

    def __init__(self, threads: int, queue: int) -> None:
        """queue: how much may wait beside what runs."""
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="ostinato-beside")
        self._room = threads + queue
        self._lock = threading.Lock()
        self._count = 0
        self._stopping = False

    def __len__(self) -> int:
        return self._count

    def submit(self, work: Callable[..., T], *arguments: Any) -> "Future[T]":
        """Run work(*arguments) when a thread is free. Raises FullError, StoppingError."""
        with self._lock:
            if self._stopping:
                raise StoppingError("the server is stopping")
            if self._count >= self._room:
                raise FullError(f"{self._count} requests are running or waiting already: try again in a moment")
            self._count += 1
        future = self._pool.submit(work, *arguments)
        future.add_done_callback(self._done)
        return future

    def _done(self, _: "Future[Any]") -> None:
        with self._lock:
            self._count -= 1

    def stop(self, *, wait: bool) -> None:
        """Take nothing more; wait for what was taken, or forget what has not begun."""
        with self._lock:
            self._stopping = True
        self._pool.shutdown(wait=wait, cancel_futures=not wait)


class Interruptible:
    """A StepModel that asks before every call whether its job goes on; the same numbers as the model it stands for.

    A search for a text in form is one long computation. So it can be stopped at any token.
    """

    def __init__(self, model: StepModel, why_not: Callable[[], UnavailableError | None]) -> None:
        self._model, self._why_not = model, why_not

    @classmethod
    def of(cls, model: StepModel, job: Job) -> "Interruptible":
        """`model` for as long as `job` goes on."""
        return cls(model, job.why_not)

    def _check(self) -> None:
        if (error := self._why_not()) is not None:
            raise error

    @property
    def vocabulary_size(self) -> int:
        """V, the number of token ids."""
        return self._model.vocabulary_size

    def initial_state(self, batch: int) -> State:
        """The model's own."""
        return self._model.initial_state(batch)

    def step(self, ids: Ids, state: State) -> tuple[Floats, State]:
        """The model's own. Raises the job's UnavailableError where it does not go on."""
        self._check()
        return self._model.step(ids, state)

    def select(self, state: State, rows: npt.NDArray[np.intp]) -> State:
        """The model's own."""
        return self._model.select(state, rows)

    def score(self, ids: Ids) -> npt.NDArray[np.float64]:
        """The model's own. Raises as `step`."""
        self._check()
        return self._model.score(ids)

    def read_on(self, ids: Ids, state: State) -> State:
        """The model's own, a part at a time. Raises as `step`."""
        for first in range(0, len(ids), READ_AT_ONCE):
            self._check()
            state = read_on(self._model, ids[first : first + READ_AT_ONCE], state)
        return state
