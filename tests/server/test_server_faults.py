"""Clients that misbehave, against a real server: no row is lost, the others get their texts, nothing is kept."""

import json
import re
import signal
import threading
import time
from pathlib import Path

import httpx
import pytest
from server_tools import OLD, connect, request, until, waiting

import ostinato
from ostinato.generation import Sampler, Stop, WriteRequest, write

MODEL = OLD / "lstm" / "model"


def text_in(data):
    """The text of a stream's events."""
    return "".join(
        json.loads(line)["choices"][0]["text"] for line in re.findall(rb"^data: (\{.*)$", data, re.MULTILINE)
    )


def received(one, at_once=1 << 16, pause=0.0, data=b""):
    """All of a stream. data: what came already."""
    while b"[DONE]" not in data:
        part = one.recv(at_once)
        assert part, "the server closed the connection"
        data += part
        time.sleep(pause)
    return text_in(data)


def expected(tokens, seed):
    return ostinato.load(MODEL).write("风", tokens=tokens, seed=seed, temperature=1.0).removeprefix("风")


def memory(server):
    """RSS in MB."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{server.process.pid}/status").read_text())[1]) / 1024


needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc here")


def test_many_that_vanish_in_mid_stream_leave_nothing_behind(start):
    server = start(MODEL, "--max-rows", 16, "--max-tokens", 10**9)
    for _ in range(5):
        sockets = [connect(server.url) for _ in range(16)]
        for seed, one in enumerate(sockets):
            one.sendall(request(max_tokens=10**9, seed=seed, logit_bias={"0": -100}))
        for one in sockets[:8]:
            assert one.recv(100)
        for one in sockets:
            one.close()
    until(lambda: waiting(server.url) == (0, 0))
    with connect(server.url) as one:
        one.sendall(request(max_tokens=40, seed=3))
        assert received(one) == expected(40, 3)
    until(lambda: sum(entry["status"] == 499 for entry in server.entries()) >= 40)


def test_a_slow_reader_holds_nobody_up_and_gets_its_text(start):
    server = start(MODEL)
    with connect(server.url, small=True) as slow, connect(server.url) as other:
        slow.sendall(request(max_tokens=1500, seed=1, logit_bias={"0": -100}))
        for seed in range(3):
            other.sendall(request(max_tokens=40, seed=seed))
            assert received(other) == expected(40, seed)
        text = received(slow, 4096, 0.001)
    again = httpx.post(
        f"{server.url}/v1/completions",
        json={"prompt": "风", "max_tokens": 1500, "seed": 1, "logit_bias": {"0": -100}},
    ).json()
    assert text == again["choices"][0]["text"]


def test_a_body_that_is_cut_off_is_forgotten(start):
    server = start(MODEL)
    whole = request(max_tokens=5)
    for length in (10, len(whole) - 1, whole.index(b"\r\n\r\n") + 4):
        with connect(server.url) as one:
            one.sendall(whole[:length])
    assert httpx.get(f"{server.url}/health").status_code == 200
    until(lambda: [e["status"] for e in server.entries() if e["route"] == "/v1/completions"] == [499, 499])
    assert waiting(server.url) == (0, 0)


@needs_proc
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_100_mb_is_refused_and_not_kept(start, chunked):
    server = start(MODEL)
    httpx.get(f"{server.url}/health")
    before = memory(server)
    head = b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    with connect(server.url) as one:
        if chunked:
            one.sendall(head + b"transfer-encoding: chunked\r\n\r\n")
        else:
            one.sendall(head + b"content-length: 104857600\r\n\r\n")
        part = b"10000\r\n%b\r\n" % (b" " * 0x10000) if chunked else b" " * 0x10000
        sending = threading.Thread(target=send_all, args=(one, part, 1600))
        sending.start()
        assert one.recv(4096).startswith(b"HTTP/1.1 413 ")
        sending.join(20)
    assert memory(server) - before < 20
    assert httpx.get(f"{server.url}/health").status_code == 200


def send_all(one, part, times):
    """Send it so often, or until the other side has had enough."""
    try:
        for _ in range(times):
            one.sendall(part)
    except OSError:
        pass


def test_sigterm_under_load_finishes_every_stream(start):
    server = start(MODEL)
    sockets = [connect(server.url) for _ in range(12)]
    for seed, one in enumerate(sockets):
        one.sendall(request(max_tokens=4000, seed=seed, logit_bias={"0": -100}))
    begun = [one.recv(100) for one in sockets]
    assert all(begun)
    found = {}

    def read(seed):
        found[seed] = received(sockets[seed], data=begun[seed])

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(12)]
    for thread in threads:
        thread.start()
    assert server.stop(signal.SIGTERM) == 0
    for thread in threads:
        thread.join(10)
    for one in sockets:
        one.close()
    model, sampler = ostinato.load(MODEL).text_model, Sampler(bias=((0, -100.0),))
    asked = [WriteRequest(prompt="风", sampler=sampler, stop=Stop(tokens=4000), seed=seed) for seed in range(12)]
    assert found == {seed: one.text.removeprefix("风") for seed, one in enumerate(write(model, asked))}
