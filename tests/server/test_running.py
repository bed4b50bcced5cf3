"""A server's life: keys, limits, clients that go away, and its end."""

import json
import shutil
import signal
import socket
import threading

import httpx
import pytest
from server_tools import OLD, until, waiting

from ostinato.cli.main import main

MODEL = f"lstm={OLD / 'lstm' / 'model'}"
LONG = {"model": "lstm", "prompt": "风", "max_tokens": 4000, "logit_bias": {"0": -100}, "temperature": 0.5}


def test_keys_are_asked_for(start, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("# ours\nfirst-key\n\nsecond-key\n")
    server = start(MODEL, "--api-key-file", keys)
    with httpx.Client(base_url=server.url) as http:
        assert http.get("/health").status_code == 200
        assert http.get("/v1/models").status_code == 401
        for wrong in ("first", "first-key2", "# ours"):
            answer = http.get("/v1/models", headers={"authorization": f"Bearer {wrong}"})
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "invalid_api_key"
        assert http.get("/v1/models", headers={"authorization": "Basic first-key"}).status_code == 401
        for key in ("first-key", "second-key"):
            assert http.get("/v1/models", headers={"authorization": f"Bearer {key}"}).status_code == 200
    assert server.stop() == 0
    assert "first-key" not in "".join(server.log)


def test_vanishing_clients_free_their_rows_and_a_full_queue_says_so(start):
    server = start(MODEL, "--max-rows", 2, "--queue", 1, "--max-tokens", 10**9)
    body = json.dumps({**LONG, "max_tokens": 10**9, "stream": True}).encode()  # until the client goes away
    head = b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    request = head + b"content-length: %d\r\n\r\n" % len(body) + body
    host, port = server.url.removeprefix("http://").split(":")
    sockets = [socket.create_connection((host, int(port))) for _ in range(3)]
    for one in sockets[:2]:
        one.sendall(request)
        assert b"200 OK" in one.recv(4096)
    sockets[2].sendall(request)
    until(lambda: waiting(server.url)[1] == 1)
    full = httpx.post(f"{server.url}/v1/completions", json=LONG)
    assert (full.status_code, full.json()["error"]["type"]) == (429, "rate_limit_error")
    assert int(full.headers["retry-after"]) >= 1
    for one in sockets:
        one.close()
    until(lambda: waiting(server.url) == (0, 0))
    answer = httpx.post(f"{server.url}/v1/completions", json={**LONG, "max_tokens": 5})
    assert answer.status_code == 200
    until(lambda: sum(entry["status"] == 499 for entry in server.entries()) == 3)


def test_a_deadline_ends_a_request(start):
    server = start(MODEL, "--deadline", "0.05")
    answer = httpx.post(f"{server.url}/v1/completions", json={**LONG, "n": 16})
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline")
    until(lambda: waiting(server.url) == (0, 0))


def test_sigterm_finishes_what_was_begun_and_exits_with_0(start):
    server = start(MODEL, "--max-tokens", 10**6)
    found, asked = [], {**LONG, "max_tokens": 60_000}
    ask = lambda: found.append(httpx.post(f"{server.url}/v1/completions", json=asked, timeout=60))  # noqa: E731
    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: waiting(server.url)[0] == 1)
    assert server.stop(signal.SIGTERM) == 0
    asking.join(10)
    assert found[0].status_code == 200
    assert found[0].json()["usage"]["completion_tokens"] == 60_000
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/health")


def test_the_log_has_no_text_unless_it_is_asked_for(start):
    for options, has in (((), False), (("--log-text",), True)):
        server = start(MODEL, *options)
        httpx.post(f"{server.url}/v1/completions", json={"prompt": "风雨山", "max_tokens": 3})
        assert server.stop() == 0
        (entry,) = [e for e in server.entries() if e["route"] == "/v1/completions"]
        assert {"time", "id", "status", "ms", "model", "prompt_tokens", "completion_tokens"} <= set(entry)
        assert (entry.get("prompt") == "风雨山") == has


def test_no_path_of_the_machine_is_told(start, tmp_path):
    shutil.copytree(OLD / "kneser-ney" / "model", tmp_path / "alone" / "model")
    server = start(tmp_path / "alone")
    with httpx.Client(base_url=server.url) as http:
        answer = http.post("/api/write", json={"max_copy": 3, "tokens": 5})
        assert answer.status_code == 400
        assert "the training text of alone" in answer.json()["error"]["message"]
        told = [
            answer.text,
            *(http.get(path).text for path in ("/api/info", "/v1/models", "/metrics", "/openapi.json")),
        ]
    assert not [text for text in told if str(tmp_path) in text]


def test_what_cannot_be_served_is_said_in_one_line(capsys, tmp_path):
    empty = tmp_path / "keys"
    empty.write_text("# none\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for arguments, code, says in [
            ([MODEL, "--host", "0.0.0.0"], 2, "give --api-key-file"),
            ([MODEL, "--host", "0.0.0.0", "--api-key-file", str(empty)], 1, "has no key"),
            ([MODEL, "--api-key-file", str(tmp_path / "none")], 1, "cannot read the keys"),
            ([MODEL, "--port", "70000"], 2, "port must be 0 to 65535"),
            ([MODEL, "--port", port], 1, "--port names another"),
            ([MODEL, MODEL], 2, "two models are called lstm"),
            ([MODEL, "--max-rows", "0"], 2, "rows must be 1 or more"),
            ([str(tmp_path / "nothing")], 1, "nothing"),
        ]:
            assert main(["serve", *arguments]) == code
            error = capsys.readouterr().err
            assert says in error
            assert error.count("\n") == 1
