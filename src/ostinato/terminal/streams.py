"""Results go to standard output, notes to standard error; a terminal gets text that cannot act on it.

Files and pipes get the text as it is. A character that the stream's encoding lacks is written as an escape. A stream
may be closed or missing: results then go to standard error, and notes nowhere.
"""

import contextlib
import io
import json
import os
import sys
import threading
from typing import Any, TextIO

from ostinato.terminal.visible import READABLE, readable, visible, visible_json

_LOCK = threading.RLock()
_ERASE = "\r\x1b[K"
_drawn = False
"""Whether a line is drawn beneath the notes, which has to go before anything else is written."""


def prepare_streams() -> None:
    """Make the standard streams fit for any text; a command calls this first.

    A closed descriptor 0, 1 or 2 is opened on nothing, so that no file of ours gets its number.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape", "backslashreplace"):
            with contextlib.suppress(ValueError):  # closed
                stream.reconfigure(errors=READABLE)
    if isinstance(sys.stdin, io.TextIOWrapper):
        with contextlib.suppress(ValueError):
            sys.stdin.reconfigure(errors="replace")  # a stray byte ends no session


def is_terminal(stream: TextIO | None) -> bool:
    """Whether someone looks at the stream; it may be missing, closed, or know nothing of terminals."""
    try:
        return stream is not None and stream.isatty()
    except (AttributeError, ValueError, OSError):
        return False


def is_live() -> bool:
    """Whether standard error is a terminal that can redraw a line."""
    return is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook; never imports IPython itself."""
    get = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get is not None and getattr(get(), "kernel", None) is not None


def say(text: object = "", *, end: str = "\n", styled: bool = False) -> None:
    """Write a result to standard output. `styled`: its colours are ours, and the rest went through `visible`.

    Raises OSError where the stream fails, BrokenPipeError where its reader is gone.
    """
    stream = sys.stdout if _is_open(sys.stdout) else sys.stderr
    if not _is_open(stream):
        return
    with _LOCK:
        erase()
        try:
            _put(stream, f"{text}{end}", styled=styled)
        except OSError:
            silence(stream)
            raise


def finish() -> None:
    """Write out what waits to be written to standard output. Raises OSError where that fails."""
    if _is_open(sys.stdout):
        try:
            sys.stdout.flush()
        except OSError:
            silence(sys.stdout)
            raise


def say_json(value: Any) -> None:
    """Write one JSON object to standard output, in ASCII where the stream cannot take all of its characters."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8", "surrogateescape")
    except UnicodeEncodeError:
        text = json.dumps(value)
    say(visible_json(text) if is_terminal(sys.stdout) else text)


def note(text: object = "", *, end: str = "\n") -> None:
    """Write a line of progress, or a warning, to standard error. Never raises for the stream."""
    if not _is_open(sys.stderr):
        return
    with _LOCK:
        erase()
        _try(sys.stderr, f"{text}{end}", styled=False)


def draw(text: str) -> None:
    """Draw `text`, cut to the terminal's width, beneath the notes; the next `draw` replaces it. See `is_live`."""
    global _drawn
    import shutil

    from ostinato.text.width import fit

    with _LOCK:
        _drawn = True
        width = shutil.get_terminal_size().columns - 1
        _try(sys.stderr, _ERASE + fit(visible(text).replace("\n", " "), width), styled=True)


def erase() -> None:
    """Take away what `draw` drew."""
    global _drawn
    with _LOCK:
        if _drawn:
            _drawn = False
            _try(sys.stderr, _ERASE, styled=True)


def silence(stream: TextIO | None) -> None:
    """Send the rest to nowhere, after the stream failed: the interpreter flushes it once more when it ends."""
    if stream is None:
        return
    with contextlib.suppress(AttributeError, ValueError, OSError):
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, stream.fileno())
        os.close(descriptor)


def _is_open(stream: TextIO | None) -> bool:
    return stream is not None and not getattr(stream, "closed", False)


def _put(stream: TextIO, text: str, *, styled: bool) -> None:
    terminal = is_terminal(stream)
    if terminal and not styled:
        text = visible(text)
    try:
        stream.write(text)
    except UnicodeEncodeError as error:
        stream.write(readable(text, error.encoding))
    if terminal or stream is sys.stderr or not text.endswith("\n"):
        stream.flush()


def _try(stream: TextIO, text: str, *, styled: bool) -> None:
    try:
        _put(stream, text, styled=styled)
    except BlockingIOError:
        pass  # a pipe that does not wait, and is full
    except (OSError, ValueError):
        silence(stream)
    except RuntimeError:
        pass  # a signal handler that came in the middle of another write
