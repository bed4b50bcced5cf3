"""Where the small models are, and how to ask a server by hand."""

import json
import socket
import time
from pathlib import Path

import httpx

OLD = Path(__file__).parents[1] / "old"


def waiting(url):
    """(rows in the batch, requests in the queue)"""
    lines = dict(line.rsplit(" ", 1) for line in httpx.get(f"{url}/metrics").text.splitlines() if line[0] != "#")
    return float(lines['ostinato_rows{model="lstm"}']), float(lines['ostinato_waiting{model="lstm"}'])


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def connect(url, small=False):
    """A connection; small: that takes in little which it has not read."""
    host, port = url.removeprefix("http://").split(":")
    one = socket.socket()
    if small:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.settimeout(30)
    one.connect((host, int(port)))
    return one


def request(**fields):
    """A request for a stream after `风`."""
    body = json.dumps({"prompt": "风", "stream": True, **fields}).encode()
    head = b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return head + b"content-length: %d\r\n\r\n" % len(body) + body
