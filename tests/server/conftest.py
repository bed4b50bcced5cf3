"""Servers as real processes on a free loopback port."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

OLD = Path(__file__).parents[1] / "old"


class Process:
    """`ostinato serve` with these arguments; `url` is where it answers, `log` what it wrote on standard error."""

    def __init__(self, *arguments):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ostinato", "serve", "--port", "0", *map(str, arguments)],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment,
        )  # fmt: skip
        self.log = []
        found = None
        for line in self.process.stderr:
            self.log.append(line)
            found = re.search(r" at (http://\S+)/v1", line)
            if found:
                break
        assert found, f"the server did not start: {self.log}"
        self.url = found[1]
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            self.log.append(line)

    def entries(self):
        """The lines of the log that are JSON."""
        return [json.loads(line) for line in list(self.log) if line.startswith("{")]

    def stop(self, number=signal.SIGTERM):
        """End it; returns the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(20)
        self._reader.join(5)
        self.process.stderr.close()
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self._reader.join(5)
        self.process.stderr.close()


@pytest.fixture(scope="session")
def server():
    """A server of three small models."""
    process = Process(
        *(f"{name}={OLD / name / 'model'}" for name in ("lstm", "songs", "backward", "kneser-ney", "gru-words"))
    )
    yield process
    process.close()


@pytest.fixture
def start():
    """Starts more servers, which end with the test."""
    started = []

    def begin(*arguments):
        started.append(Process(*arguments))
        return started[-1]

    yield begin
    for process in started:
        if process.process.returncode is None:
            process.close()
