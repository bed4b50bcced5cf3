"""What is being done while nothing else is said: a spinner in a terminal, a line now and then elsewhere."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ostinato.terminal.streams import draw, erase, in_notebook, is_live, note

FIRST_SECONDS = 0.5
"""What is over sooner is not worth a line."""
_REDRAW_SECONDS = 0.2
_FIRST_LINE_SECONDS = 1.5
_LINE_SECONDS = 30.0
_SPINNER = "|/-\\"

_shown = False
_doing: list[str] = []


@contextmanager
def showing(on: bool) -> Iterator[None]:
    """Inside, `activity` shows what is done, or does not. It does not unless told to."""
    global _shown
    before, _shown = _shown, on
    try:
        yield
    finally:
        _shown = before


@contextmanager
def activity(what: str) -> Iterator[None]:
    """Inside, say on standard error that `what` ("evaluating") is being done, for as long as it takes.

    A notebook has one line, for the progress of training, and is told nothing.
    """
    if not _shown or in_notebook():
        yield
        return
    over = threading.Event()
    _doing.append(what)
    thread = threading.Thread(target=_live if is_live() else _plain, args=(what, over, len(_doing)), daemon=True)
    thread.start()
    try:
        yield
    finally:
        _doing.pop()
        over.set()
        thread.join()


def _live(what: str, over: threading.Event, depth: int) -> None:
    started, turn = time.monotonic(), 0
    if over.wait(FIRST_SECONDS):
        return
    while True:
        if len(_doing) == depth:  # else what is done within it is shown
            draw(f"{_SPINNER[turn % len(_SPINNER)]} {what} ... {_clock(time.monotonic() - started)}")
        if over.wait(_REDRAW_SECONDS):
            erase()
            return
        turn += 1


def _plain(what: str, over: threading.Event, depth: int) -> None:
    started = time.monotonic()
    if over.wait(_FIRST_LINE_SECONDS):
        return
    note(f"{what} ...")
    while not over.wait(_LINE_SECONDS):
        note(f"{what} ... {_clock(time.monotonic() - started)}")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
