"""A server process: listen, serve, and on SIGTERM or SIGINT finish the requests in progress and exit."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NoReturn

import uvicorn
from starlette.types import ASGIApp

from ostinato.errors import OstinatoError, UsageError
from ostinato.server.app import build
from ostinato.server.options import Options
from ostinato.server.service import Service
from ostinato.terminal import note

if TYPE_CHECKING:
    from ostinato.api import Model

BACKLOG = 1024
ENDING = (signal.SIGTERM, signal.SIGINT)
SHORT_LIFE = 1.0
"""Seconds: a worker that ends sooner is replaced only after as long."""


class _Server(uvicorn.Server):
    """uvicorn without its signal handling, which would end the process by the signal instead of with status 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(options: Options) -> socket.socket:
    """Returns a listening socket. Raises OstinatoError if the address is not available."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    found = socket.socket(family)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((options.host, options.port))
    except (OSError, OverflowError) as error:
        found.close()
        why = getattr(error, "strerror", None) or error
        raise OstinatoError(
            f"cannot listen at {options.host}, port {options.port}: {why}; --port names another"
        ) from None
    found.listen(BACKLOG)
    return found


def address(listening: socket.socket) -> str:
    """The server's address as clients write it."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(models: "dict[str, Model]", options: Options, *, workers: int = 1) -> int:
    """Serve until a signal arrives; returns the exit code. Raises OstinatoError if the server cannot start."""
    if workers < 1:
        raise UsageError(f"--workers must be 1 or more, got {workers}")
    if workers > 1 and not hasattr(os, "fork"):
        raise UsageError("--workers needs fork, which this system does not have: leave it out")
    for model in models.values():
        model.step_model  # noqa: B018  loaded once, before there are threads or other processes
    listening = listen(options)
    names = ", ".join(models)
    note(f"serving {names} at {address(listening)}/v1 (Ctrl-C ends it)")
    if workers == 1:
        return _work(models, options, listening)

    def work(supervisor: int) -> int:
        return _work(models, options, listening, stop_signals=(signal.SIGTERM,), supervisor=supervisor)

    return _supervise(work, workers)


def _work(
    models: "dict[str, Model]", options: Options, listening: socket.socket, *, stop_signals: Sequence[int] = ENDING,
    supervisor: int | None = None,
) -> int:  # fmt: skip
    app, service = build(models, options)
    run_app(app, service, listening, stop_signals=stop_signals, supervisor=supervisor)
    return 0


def run_app(
    app: ASGIApp, service: Service, listening: socket.socket, *, stop_signals: Sequence[int] = ENDING,
    supervisor: int | None = None,
) -> None:  # fmt: skip
    """Serve requests from the socket until a signal in `stop_signals` arrives, then finish the requests in progress.

    supervisor: a pipe of which the supervising process holds the other end; its closing counts as a signal.
    """
    options = service.options
    config = uvicorn.Config(
        app, http="h11", ws="none", loop="asyncio", lifespan="off", log_config=None, access_log=False,
        server_header=False, timeout_graceful_shutdown=max(1, round(options.drain_seconds)), backlog=BACKLOG,
    )  # fmt: skip
    asyncio.run(_run(_Server(config), service, listening, stop_signals, supervisor))


async def _run(
    server: _Server, service: Service, listening: socket.socket, stop_signals: Sequence[int], supervisor: int | None
) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if service.stopping:  # asked twice: at once
            server.force_exit = True
        service.stopping = True
        server.should_exit = True

    for number in stop_signals:
        try:
            loop.add_signal_handler(number, stop)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))
    if supervisor is not None:

        def left_alone() -> None:
            loop.remove_reader(supervisor)
            stop()

        loop.add_reader(supervisor, left_alone)
    await server.serve(sockets=[listening])
    await asyncio.to_thread(service.stop, drain=False, timeout=5.0)


def _supervise(work: Callable[[int], int], count: int) -> int:
    """Run `count` processes that execute `work`. A process that dies is replaced; a signal ends all of them.

    work gets a pipe to read from, which closes when this process ends, however it ends.
    """
    closes, held = os.pipe()
    children: set[int] = set()
    begun: dict[int, float] = {}
    stopping = False

    def start() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # the child must never run `stop`
        try:
            child = os.fork()
            if not child:
                live()
            children.add(child)
            begun[child] = time.monotonic()
            if stopping:  # the signal came before the fork
                os.kill(child, signal.SIGTERM)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)

    def live() -> NoReturn:
        code = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            # Ctrl-C in a terminal reaches every process; the supervisor passes it on once as SIGTERM, and a worker
            # takes a second signal as 'stop at once'
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
            os.close(held)
            code = work(closes)
        finally:
            os._exit(code)

    def stop(number: int, frame: object) -> None:
        nonlocal stopping
        stopping = True
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)

    for number in ENDING:
        signal.signal(number, stop)
    for _ in range(count):
        start()
    worst = 0
    while children:
        child, status = os.wait()
        children.discard(child)
        code = os.waitstatus_to_exitcode(status)
        if not stopping:
            note(f"ostinato: a worker ended with status {code}; another takes its place")
            if time.monotonic() - begun.pop(child) < SHORT_LIFE:  # it may not work at all
                time.sleep(SHORT_LIFE)
            if not stopping:
                start()
        elif code not in (0, -signal.SIGTERM):  # ended by the signal: it had not begun yet
            worst = 1
    return worst
