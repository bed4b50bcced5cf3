"""Many streams at once: `ostinato serve` beside a plain server around a torch.nn loop with a lock.

    python benchmarks/serve.py [--streams 1 16 64 256] [--tokens 200] [--hidden 256] [--characters 100]
                               [--peer-streams 1 16] [--soak SECONDS] [--vanish N]

The model is random: one LSTM layer, an embedding as large as the hidden size. The client is one process with plain
sockets; all streams begin together, over connections that are open already. Times are the client's: first token, and
between one token and the next, where tokens that came together are 0 apart. Memory is the growth of the server's RSS
from no stream to all of them, per stream. --soak then asks for short texts for so long, with clients that vanish and
slow ones among them, and reports RSS. Figures go to standard output as Markdown tables.
"""

import argparse
import asyncio
import json
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

import ostinato.api
from ostinato.bundle import write_bundle
from ostinato.kernels.shape import Shape
from ostinato.text.tokenizers import CharacterTokenizer


def make_model(folder: Path, hidden: int, characters: int) -> Path:
    """A random model that ends no document and writes no bytes: every token is a character."""
    tokenizer = CharacterTokenizer("".join(chr(0x4E00 + n) for n in range(characters)))
    shape = Shape("lstm", 1, hidden, hidden, tokenizer.vocabulary_size, False)
    draw = np.random.default_rng(0)
    tensors = {
        name: draw.standard_normal(size, np.float32) / np.float32(np.sqrt(size[-1]))
        for name, size in shape.tensors().items()
    }
    tensors["head.bias"][:257] = -1e4
    config = {
        "kind": "recurrent",
        "model": {
            "cell": "lstm", "layers": 1, "hidden_size": hidden, "embedding_size": hidden, "tied": False,
            "vocabulary_size": tokenizer.vocabulary_size,
        },
        "text": {"tokenizer": "character", "documents": "files", "newlines": "keep", "direction": "forward"},
    }  # fmt: skip
    write_bundle(folder / "model", config=config, tokenizer=tokenizer, tensors=tensors, card="# random\n")
    return folder / "model"


@dataclass
class Streams:
    """What one round saw."""

    tokens: int
    seconds: float
    first: list[float]
    gaps: list[float]
    kilobytes: float

    def row(self, name: str, count: int) -> str:
        """A row of the table."""

        def ms(values: list[float], share: float) -> str:
            return f"{1000 * float(np.quantile(values, share)):.2f}"

        return (
            f"| {name} | {count} | {self.tokens / self.seconds:,.0f} | {ms(self.first, 0.5)} | {ms(self.first, 0.99)} "
            f"| {ms(self.gaps, 0.5)} | {ms(self.gaps, 0.99)} | {self.kilobytes:,.0f} |"
        )


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def memory(pid: int) -> float:
    """RSS in kilobytes."""
    return float(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


class Server:
    """A server process, up when this returns."""

    def __init__(self, command: list[str], port: int) -> None:
        begin = time.perf_counter()
        self.port = port
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment)
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if self.process.poll() is not None or time.perf_counter() - begin > 60:
                    raise SystemExit(f"{command} did not start") from None
                time.sleep(0.01)
        self.start = time.perf_counter() - begin

    def stop(self) -> int:
        """End it; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def request(tokens: int, seed: int, **more: object) -> bytes:
    """A request for one stream."""
    body = json.dumps({"prompt": "\u4e00\u4e01", "max_tokens": tokens, "seed": seed, "stream": True, **more}).encode()
    head = "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def stream(reader, writer, tokens: int, seed: int) -> tuple[list[float], float]:
    """When each token came, and when the request went."""
    begin = time.perf_counter()
    writer.write(request(tokens, seed))
    times: list[float] = []
    rest = b""
    while True:
        part = await reader.read(1 << 16)
        now = time.perf_counter()
        if not part:
            raise RuntimeError("the server closed the connection")
        rest += part
        times += [now] * (rest.count(b'"text":"') + rest.count(b'"text": "') - (b'"text":""' in rest))
        if b"[DONE]" in rest:
            return times, begin
        cut = rest.rfind(b"\n\n")
        rest = rest[cut:] if cut >= 0 else rest


async def measure(server: Server, count: int, tokens: int) -> Streams:
    """One round of `count` streams."""
    opened = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(count)]
    await asyncio.sleep(0.2)
    before, peak = memory(server.process.pid), 0.0

    async def watch():
        nonlocal peak
        while True:
            peak = max(peak, memory(server.process.pid))
            await asyncio.sleep(0.02)

    watching = asyncio.ensure_future(watch())
    begin = time.perf_counter()
    found = await asyncio.gather(*(stream(*pair, tokens, seed) for seed, pair in enumerate(opened)))
    seconds = time.perf_counter() - begin
    peak = max(peak, memory(server.process.pid))
    watching.cancel()
    for _, writer in opened:
        writer.close()
    gaps = [b - a for times, _ in found for a, b in pairwise(times)]
    first = [times[0] - sent for times, sent in found]
    return Streams(sum(len(times) for times, _ in found), seconds, first, gaps, (peak - before) / count)


async def soak(server: Server, seconds: float, at_once: int = 32) -> None:
    """Short texts for so long; every fifth client vanishes, every seventh reads slowly."""
    end, done, vanished = time.monotonic() + seconds, 0, 0
    known: dict[int, str] = {}
    rss = [memory(server.process.pid)]

    async def client(number: int) -> None:
        nonlocal done, vanished
        draw = random.Random(number)
        while time.monotonic() < end:
            seed = draw.randrange(50)
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(request(120, seed))
            text = b""
            kind = draw.randrange(35)
            while b"[DONE]" not in text:
                part = await reader.read(1 << 16 if kind % 7 else 512)
                if not part:
                    raise RuntimeError("the server closed the connection")
                text += part
                if kind % 7 == 0:
                    await asyncio.sleep(0.002)
                if kind % 5 == 0 and len(text) > 1000:
                    break
            writer.close()
            if kind % 5 == 0:
                vanished += 1
                continue
            written = "".join(re.findall(r'"text":"([^"]*)"', text.decode()))
            if known.setdefault(seed, written) != written:
                raise RuntimeError(f"seed {seed} gave two texts")
            done += 1

    async def watch() -> None:
        while time.monotonic() < end:
            await asyncio.sleep(max(0.1, seconds / 10))
            rss.append(memory(server.process.pid))

    await asyncio.gather(watch(), *(client(number) for number in range(at_once)))
    print(f"\nsoak of {seconds:g} s: {done:,} texts right, {vanished:,} clients vanished, RSS in MB: "
          f"{', '.join(f'{value / 1024:.1f}' for value in rss)}")  # fmt: skip


async def vanish(server: Server, count: int) -> None:
    """`count` clients that go away in mid-stream; then one that gets its text, and nothing is left in the batch."""
    before = memory(server.process.pid)
    for first in range(0, count, 50):
        opened = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(50)]
        for seed, (_, writer) in enumerate(opened):
            writer.write(request(4000, first + seed))
        await asyncio.gather(*(reader.read(2000) for reader, _ in opened))
        for _, writer in opened:
            writer.transport.abort()
    begin = time.perf_counter()
    while (await left(server)) > 0:
        await asyncio.sleep(0.01)
    freed = time.perf_counter() - begin
    result = await measure(server, 1, 50)
    print(
        f"\n{count} clients vanished in mid-stream: all rows free {1000 * freed:.0f} ms after the last; the next got "
        f"{result.tokens} tokens; RSS {before / 1024:.1f} → {memory(server.process.pid) / 1024:.1f} MB"
    )


async def left(server: Server) -> float:
    """Rows and waiting requests, by the server's own metrics."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    text = (await reader.read(-1)).decode()
    writer.close()
    return sum(float(n) for n in re.findall(r"^ostinato_(?:rows|waiting){[^}]*} (\S+)", text, re.MULTILINE))


def write_speed(path: Path, tokens: int) -> float:
    """Tokens per second of `model.write`."""
    model = ostinato.api.Model(path, threads=1)
    model.write("\u4e00", tokens=50, seed=1)
    times = []
    for seed in range(5):
        begin = time.perf_counter()
        model.write("\u4e00\u4e01", tokens=tokens, seed=seed, temperature=1.0)
        times.append(time.perf_counter() - begin)
    return tokens / statistics.median(times)


def main() -> int:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, nargs="*", default=[1, 16, 64, 256])
    parser.add_argument("--peer-streams", type=int, nargs="*", default=[1, 16, 64])
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--characters", type=int, default=100)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--soak", type=float, default=0)
    parser.add_argument("--vanish", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = make_model(Path(folder), args.hidden, args.characters)
        print("| server | streams | tokens/s | first p50, ms | p99 | between p50, ms | p99 | KB per stream |")
        print("|---|---|---|---|---|---|---|---|")
        port = free_port()
        ours = Server(
            [sys.executable, "-m", "ostinato", "serve", f"random={path}", "--port", str(port), "--max-rows",
             str(args.rows), "--queue", "512", "--threads", "1"], port,
        )  # fmt: skip
        asyncio.run(measure(ours, 4, 50))
        for count in args.streams:
            print(asyncio.run(measure(ours, count, args.tokens)).row("ostinato serve", count), flush=True)
        one = asyncio.run(measure(ours, 1, 2000))
        if args.vanish:
            asyncio.run(vanish(ours, args.vanish))
        if args.soak:
            asyncio.run(soak(ours, args.soak))
        code = ours.stop()
        if args.peer_streams:
            port = free_port()
            peer = Server([sys.executable, str(Path(__file__).parent / "serve_peer.py"), str(path), str(port)], port)
            asyncio.run(measure(peer, 1, 50))
            for count in args.peer_streams:
                row = asyncio.run(measure(peer, count, args.tokens)).row("torch.nn loop with a lock", count)
                print(row, flush=True)
            peer.stop()
        print(f"\nstart to first connection: {1000 * ours.start:.0f} ms; exit code after SIGTERM: {code}")
        speed = write_speed(path, 2000)
        print(f"one stream of 2,000 tokens: {one.tokens / one.seconds:,.0f} tokens/s; model.write: {speed:,.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
