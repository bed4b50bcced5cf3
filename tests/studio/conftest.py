"""A studio as a real process on a free loopback port."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading

import httpx
import pytest
from studio_tools import OLD


class Studio:
    """`ostinato studio FOLDER`: `url` is where it answers, `http` a client with its token."""

    def __init__(self, folder, *arguments):
        self.folder = folder
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ostinato", "studio", str(folder), "--port", "0", "--no-open", *map(str, arguments)],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment,
        )  # fmt: skip
        self.said = []
        for line in self.process.stderr:
            self.said.append(line)
            if found := re.search(r"studio at (http://\S+)/\?token=(\S+)", line):
                break
        else:
            raise AssertionError(f"the studio did not start: {self.said}")
        self.url, self.token = found[1], found[2]
        self.http = httpx.Client(base_url=self.url, timeout=60, headers={"authorization": f"Bearer {self.token}"})
        self._reader = threading.Thread(target=lambda: self.said.extend(self.process.stderr), daemon=True)
        self._reader.start()

    def stop(self):
        """End it as Ctrl-C does; returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(20)
        self.close()
        return code

    def close(self):
        self.http.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self._reader.join(5)
        self.process.stderr.close()


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """A studio with a few small models and a text."""
    folder = tmp_path_factory.mktemp("studio")
    for name in ("lstm", "gru-words", "rnn-bytes", "kneser-ney", "songs", "backward", "mixture"):
        shutil.copytree(OLD / name, folder / name)
    (folder / "texts").mkdir()
    shutil.copy(OLD / "verses.txt", folder / "texts" / "verses.txt")
    found = Studio(folder)
    yield found
    found.close()


@pytest.fixture
def start(tmp_path):
    """Starts more studios, which end with the test."""
    started = []

    def begin(folder=tmp_path / "dir", *arguments):
        started.append(Studio(folder, *arguments))
        return started[-1]

    yield begin
    for one in started:
        if one.process.returncode is None:
            one.close()
