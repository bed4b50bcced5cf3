"""Processes of their own for training and comparing: `ostinato` commands that go on when the studio ends.

What is known of a job lies in three files: NAME.json (what was asked, when), NAME.out (its standard output: the
result, once there is one), NAME.log (its standard error).
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ostinato.files import parse_json, write_file
from ostinato.server.problems import Problem
from ostinato.studio.place import modified, read_own, remove

_ENDINGS = (".json", ".out", ".log")
_STARTING = 60.0
"""Seconds after which a process that has no lock yet, and that an earlier studio began, is taken for ended."""
_LOG_BYTES = 200_000


class Jobs:
    """The jobs of one kind, by name. folder: where their files lie."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._stopping: set[str] = set()
        self.begun: set[str] = set()
        """Those that were seen at work in their folder."""

    def names(self) -> Iterator[str]:
        """The jobs that are known."""
        for path in sorted(self._folder.glob("*.json")):
            yield path.name.removesuffix(".json")

    def start(self, name: str, arguments: Sequence[str], facts: dict[str, Any], *, module: str = "ostinato") -> None:
        """Run `ostinato ARGUMENTS` (or another module) in a process that the studio's end does not end.

        Raises Problem: 409 where one of this name is at work, 507 where it cannot be started.
        """
        if self.alive(name):
            raise Problem(409, f"{name} is at work already", code="busy")
        self._stopping.discard(name)
        self.begun.discard(name)
        command = [sys.executable, "-P", "-m", module, *arguments]
        try:
            with self._path(name, ".out").open("wb") as out, self._path(name, ".log").open("wb") as log:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=out, stderr=log, start_new_session=True,
                    cwd=self._folder.parent.parent.parent, env={**os.environ, "PYTHONUNBUFFERED": "1"},
                )  # fmt: skip
        except OSError as error:
            raise Problem(507, f"the process cannot be started: {error.strerror or error}") from None
        record = {**facts, "started": time.time(), "process": process.pid, "arguments": list(arguments)}
        try:
            write_file(self._path(name, ".json"), json.dumps(record))
        except OSError as error:  # a process that nothing is known of would go on unseen
            process.kill()
            process.wait()
            raise Problem(
                507, f"what was started cannot be noted, so it was ended: {error.strerror or error}"
            ) from None
        self._running[name] = process

    def alive(self, name: str) -> bool:
        """Whether the process is there; of one that an earlier studio began, only while it is young."""
        own = self._running.get(name)
        if own is not None:
            if own.poll() is None:
                return True
            del self._running[name]
            return False
        record = self.record(name)
        if not record or time.time() - record.get("started", 0) > _STARTING or self.result(name) is not None:
            return False
        try:
            os.kill(int(record["process"]), 0)
        except (OSError, ValueError, KeyError, OverflowError):
            return False
        return not self._last_words(name)

    def stop(self, name: str, process: int | None) -> None:
        """Ask it to save and end. process: the holder of its folder's lock, None where it has not come so far."""
        self._stopping.add(name)
        own = self._running.get(name)
        number = process or (own.pid if own is not None else None)
        if not number or number in (1, os.getpid()):
            raise Problem(409, f"{name} is not at work", code="busy")
        try:
            os.kill(number, signal.SIGTERM)
        except OSError as error:
            raise Problem(409, f"{name} cannot be stopped: {error.strerror}") from None

    def stopping(self, name: str) -> bool:
        """Whether it was asked to end."""
        return name in self._stopping

    def record(self, name: str) -> dict[str, Any]:
        """What was asked; empty where nothing is known."""
        return self._json(name, ".json")

    def result(self, name: str) -> dict[str, Any] | None:
        """The JSON object that the command printed; None before that."""
        return self._json(name, ".out") or None

    def _json(self, name: str, ending: str) -> dict[str, Any]:
        content = read_own(self._path(name, ending), 1 << 22)
        try:
            return parse_json(content) if content else {}
        except ValueError:
            return {}

    def last_word(self, name: str) -> float:
        """When it said something last; 0.0 where it never did."""
        paths = (self._path(name, ".log"), self._path(name, ".out"))
        return max((modified(path) or 0.0 for path in paths), default=0.0)

    def log(self, name: str, lines: int) -> list[str]:
        """The last lines that it said."""
        content = read_own(self._path(name, ".log"))
        return [] if content is None else content[-_LOG_BYTES:].decode("utf-8", "replace").splitlines()[-lines:]

    def log_path(self, name: str) -> Path:
        """The file with what it says."""
        return self._path(name, ".log")

    def failure(self, name: str) -> str | None:
        """Why it ended without a result, if it did."""
        if not self.record(name) or self.result(name) is not None or self.stopping(name):
            return None
        return self._last_words(name) or "its process ended without a word: it was killed, or the machine went down"

    def _last_words(self, name: str) -> str | None:
        said = [line for line in self.log(name, 50) if line.startswith("ostinato: ")]
        return said[-1].removeprefix("ostinato: ") if said else None

    def retext(self, text: str, new: str) -> None:
        """A text has got another name."""
        for name in self.names():
            if self.record(name).get("text") == text:
                self.note(name, {"text": new})

    def rename(self, name: str, new: str) -> None:
        """Its files go with it."""
        self.forget(new)
        for ending in _ENDINGS:
            if self._path(name, ending).exists():
                self._path(name, ending).rename(self._path(new, ending))
        self._stopping.discard(name)

    def note(self, name: str, facts: dict[str, Any]) -> None:
        """Keep something more of it."""
        write_file(self._path(name, ".json"), json.dumps({**self.record(name), **facts}))

    def forget(self, name: str) -> None:
        """Remove its files."""
        for ending in _ENDINGS:
            remove(self._path(name, ending))
        self._stopping.discard(name)
        self._running.pop(name, None)

    def _path(self, name: str, ending: str) -> Path:
        return self._folder / f"{name}{ending}"
