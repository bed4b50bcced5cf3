"""A client for `serve.py`: many streams over plain sockets in one loop, in a process of its own.

    python benchmarks/serve_client.py PORT STREAMS TOKENS WIDTH

All streams begin together, over connections that are open already. While they run it only receives and notes the time;
what came is counted afterwards. WIDTH: characters per token, all of them above U+0800. Prints one JSON object: tokens,
seconds, first (per stream, from its request to its first token) and gaps (between one token and the next; tokens that
came together are 0 apart), in seconds. Waits for a line on standard input before it begins, once it has printed `open`.
"""

import json
import select
import socket
import sys
import time


def request(tokens: int, seed: int, **more: object) -> bytes:
    """A request for one stream."""
    asked = {"prompt": "\u4e00\u4e01", "max_tokens": tokens, "seed": seed, "temperature": 1, "stream": True, **more}
    body = json.dumps(asked).encode()
    head = "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def characters(data: bytes) -> float:
    """How many characters of three bytes of UTF-8, or escaped ones, are in what came."""
    return len(data.translate(None, bytes(range(128)))) / 3 + data.count(b"\\u")


def main() -> int:
    """Open, wait, ask, receive, count."""
    port, count, tokens, width = map(int, sys.argv[1:])
    opened = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    came = {one.fileno(): [] for one in opened}
    poll = select.epoll()
    for one in opened:
        poll.register(one, select.EPOLLIN)
    receive = {one.fileno(): one.recv for one in opened}
    asked = [request(tokens, seed) for seed in range(count)]
    print("open", flush=True)
    sys.stdin.readline()
    sent = {}
    begin = time.perf_counter()
    for one, body in zip(opened, asked, strict=True):
        sent[one.fileno()] = time.perf_counter()
        one.sendall(body)
    left = count
    while left:
        for number, _ in poll.poll():
            data = receive[number](1 << 18)
            came[number].append((time.perf_counter(), data))
            if not data or data.endswith((b"[DONE]\n\n\r\n0\r\n\r\n", b"\r\n0\r\n\r\n", b"0\r\n\r\n")):
                poll.unregister(number)
                left -= 1
    seconds = time.perf_counter() - begin
    first, gaps, total = [], [], 0
    for number, parts in came.items():
        seen, last = 0, None
        text = 0.0
        for now, data in parts:
            text += characters(data)
            new = int(text / width + 1e-6) - seen
            if new:
                if last is None:
                    first.append(now - sent[number])
                else:
                    gaps.append(now - last)
                gaps += [0.0] * (new - 1)
                seen, last = seen + new, now
        total += seen
    print(json.dumps({"tokens": total, "seconds": seconds, "first": first, "gaps": gaps}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
