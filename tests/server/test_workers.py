"""`--workers N`: several processes behind one port."""

import os
import signal
import threading
from pathlib import Path

import httpx
import pytest
from server_tools import OLD, connect, request, until

import ostinato

MODEL = OLD / "lstm" / "model"
pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="--workers needs fork"),
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="there is no /proc here"),
]


def workers(server):
    """The process ids of the workers."""
    pid = server.process.pid
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def ask(url, **fields):
    asked = {"prompt": "风", "max_tokens": 30, "seed": 4, "temperature": 0.8, **fields}
    return httpx.post(f"{url}/v1/completions", json=asked, timeout=60).json()


@pytest.fixture
def two(start):
    server = start(MODEL, "--workers", 2)
    until(lambda: len(workers(server)) == 2)
    return server


def test_each_worker_answers_and_gives_the_same_text(two):
    expected = ostinato.load(MODEL).write("风", tokens=30, seed=4, temperature=0.8).removeprefix("风")
    for pid in workers(two):  # one at a time: the others are stopped
        others = workers(two) - {pid}
        for other in others:
            os.kill(other, signal.SIGSTOP)
        try:
            assert ask(two.url)["choices"][0]["text"] == expected
        finally:
            for other in others:
                os.kill(other, signal.SIGCONT)
    assert two.stop() == 0


def test_a_worker_that_dies_is_replaced_and_said(two):
    before = workers(two)
    dead = min(before)
    os.kill(dead, signal.SIGKILL)
    until(lambda: len(workers(two) - {dead}) == 2)
    assert ask(two.url)["usage"]["completion_tokens"] == 30
    until(lambda: any("a worker ended with status -9; another takes its place" in line for line in two.log))
    assert two.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_every_worker_finish(two, number):
    """Also a terminal's Ctrl-C, which goes to every process: to a server, a second signal means at once."""
    children = workers(two)
    sockets = [connect(two.url) for _ in range(6)]
    for seed, one in enumerate(sockets):
        one.sendall(request(max_tokens=2000, seed=seed, logit_bias={"0": -100}, stream_options={"include_usage": True}))
    begun = [one.recv(100) for one in sockets]
    assert all(begun)
    found = {}

    def read(number):
        data = begun[number]
        while b"[DONE]" not in data:
            data += sockets[number].recv(1 << 16) or b"[DONE]"
        found[number] = b'"completion_tokens":2000' in data

    threads = [threading.Thread(target=read, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    stopped = children if number == signal.SIGINT else ()
    for child in stopped:
        os.kill(child, number)
        os.kill(child, signal.SIGSTOP)  # both signals come while the requests are in progress
    threading.Timer(0.5, lambda: [os.kill(child, signal.SIGCONT) for child in stopped]).start()
    assert two.stop(number) == 0
    for thread in threads:
        thread.join(20)
    for one in sockets:
        one.close()
    assert found == dict.fromkeys(range(6), True)
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


def test_workers_end_with_their_supervisor_however_it_ends(two):
    """They held the port, and whoever reads what they print, for ever."""
    children = workers(two)
    two.process.kill()
    until(lambda: not any(is_running(pid) for pid in children))


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except FileNotFoundError:
        return False
