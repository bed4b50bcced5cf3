"""Many streams at once: `ostinato serve` beside a plain server around a torch.nn loop with a lock.

    python benchmarks/serve.py [--model character|word] [--precision fp32|int8] [--streams 1 16 64 256] [--tokens 200]
                               [--peer-streams 1 16 64] [--rounds 3]

The model is random, one LSTM layer with an embedding as large as the hidden size: `character` has H=256 and 100
characters, `word` H=512 and V=5,000. The client is a process of its own with plain sockets (`serve_client.py`), on the
same machine. Times are the client's: first token, and between one token and the next, where tokens that came together
are 0 apart. Memory is the growth of the server's RSS from no stream to all of them, per stream. CPU time is that of all
threads of the server: other work on the machine changes it least. Each row is the fastest of several rounds. Then one
stream of 2,000 tokens beside `model.write`, and the time from the start of the process to its first answer. Figures go
to standard output as Markdown tables. Faults and a soak: `serve_faults.py`.
"""

import argparse
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from serve_client import request

import ostinato.api
from ostinato.bundle import write_bundle
from ostinato.kernels.shape import Shape
from ostinato.text.tokenizers import BaseTokenizer, CharacterTokenizer, WordTokenizer

HERE = Path(__file__).parent
HIDDEN = {"character": 256, "word": 512}
WIDTH = {"character": 1, "word": 2}
"""Characters per token."""


def tokenizer_of(kind: str) -> BaseTokenizer:
    """100 characters, or 4,743 words of two characters."""
    if kind == "character":
        return CharacterTokenizer("".join(chr(0x4E00 + n) for n in range(100)))
    return WordTokenizer("", [chr(0x4E00 + n // 70) + chr(0x5E00 + n % 70) for n in range(4743)])


def make_model(folder: Path, kind: str) -> Path:
    """A random model that ends no document and writes no bytes: every token is a character, or a word."""
    tokenizer, hidden = tokenizer_of(kind), HIDDEN[kind]
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
        "text": {"tokenizer": kind, "documents": "files", "newlines": "keep", "direction": "forward"},
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
    cpu: float

    def row(self, name: str, count: int) -> str:
        """A row of the table."""

        def ms(values: list[float], share: float) -> str:
            return f"{1000 * float(np.quantile(values, share)):.2f}"

        return (
            f"| {name} | {count} | {self.tokens / self.seconds:,.0f} | {ms(self.first, 0.5)} | {ms(self.first, 0.99)} "
            f"| {ms(self.gaps, 0.5)} | {ms(self.gaps, 0.99)} | {self.kilobytes:,.0f} "
            f"| {1e6 * self.cpu / self.tokens:,.1f} |"
        )


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def memory(pid: int) -> float:
    """RSS in kilobytes."""
    return float(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads so far."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


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


def measure(server: Server, count: int, tokens: int, width: int) -> Streams:
    """One round of `count` streams."""
    client = subprocess.Popen(
        [sys.executable, "-S", HERE / "serve_client.py", *map(str, (server.port, count, tokens, width))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert client.stdin
    assert client.stdout
    client.stdout.readline()
    time.sleep(0.1)
    before = peak = memory(server.process.pid)
    cpu = cpu_seconds(server.process.pid)
    client.stdin.write("go\n")
    client.stdin.flush()
    while client.poll() is None and not select.select([client.stdout], [], [], 0.02)[0]:
        peak = max(peak, memory(server.process.pid))
    found = json.loads(client.stdout.read())
    client.wait()
    if found["tokens"] != count * tokens:
        raise SystemExit(f"{count * tokens} tokens were asked for, {found['tokens']} came")
    grown = (max(peak, memory(server.process.pid)) - before) / count
    return Streams(**found, kilobytes=grown, cpu=cpu_seconds(server.process.pid) - cpu)


def best(server: Server, count: int, tokens: int, width: int, rounds: int) -> Streams:
    """The fastest of several rounds, with the memory of the first one: the server keeps what it has used."""
    found = [measure(server, count, tokens, width) for _ in range(rounds)]
    return replace(min(found, key=lambda one: one.seconds), kilobytes=found[0].kilobytes)


def first_answer(path: Path) -> float:
    """Seconds from the start of `ostinato serve` to its first completion."""
    port = free_port()
    begin = time.perf_counter()
    server = Server(serving(path, port, "fp32", 64), port)
    with socket.create_connection(("127.0.0.1", port)) as one:
        one.sendall(request(1, 0))
        part = one.recv(1 << 16)
        while b"[DONE]" not in part:
            part += one.recv(1 << 16)
    seconds = time.perf_counter() - begin
    server.stop()
    return seconds


def serving(path: Path, port: int, precision: str, rows: int) -> list[str]:
    """The command."""
    return [
        sys.executable, "-m", "ostinato", "serve", f"random={path}", "--port", str(port), "--max-rows", str(rows),
        "--queue", "512", "--threads", "1", "--precision", precision,
    ]  # fmt: skip


def write_speed(path: Path, tokens: int, precision: str) -> float:
    """Tokens per second of `model.write`."""
    model = ostinato.api.Model(path, threads=1, precision=precision)
    model.write("\u4e00", tokens=50, seed=1)
    times = []
    for seed in range(5):
        begin = time.perf_counter()
        model.write("\u4e00\u4e01", tokens=tokens, seed=seed, temperature=1.0)
        times.append(time.perf_counter() - begin)
    return tokens / min(times)


def main() -> int:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=tuple(HIDDEN), default="character")
    parser.add_argument("--precision", choices=("fp32", "int8"), default="fp32")
    parser.add_argument("--streams", type=int, nargs="*", default=[1, 16, 64, 256])
    parser.add_argument("--peer-streams", type=int, nargs="*", default=[1, 16, 64])
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    width = WIDTH[args.model]
    with tempfile.TemporaryDirectory() as folder:
        path = make_model(Path(folder), args.model)
        print(
            "| server | streams | tokens/s | first p50, ms | p99 | between p50, ms | p99 | KB per stream "
            "| CPU, µs per token |"
        )
        print("|---|---|---|---|---|---|---|---|---|")
        port = free_port()
        ours = Server(serving(path, port, args.precision, args.rows), port)
        measure(ours, 4, 50, width)
        for count in args.streams:
            print(best(ours, count, args.tokens, width, args.rounds).row("ostinato serve", count), flush=True)
        ones = [measure(ours, 1, 2000, width) for _ in range(5)]
        code = ours.stop()
        if args.peer_streams:
            port = free_port()
            peer = Server([sys.executable, str(HERE / "serve_peer.py"), str(path), str(port)], port)
            measure(peer, 1, 50, width)
            for count in args.peer_streams:
                found = best(peer, count, args.tokens, width, args.rounds)
                print(found.row("torch.nn loop with a lock", count), flush=True)
            peer.stop()
        one = max(one.tokens / one.seconds for one in ones)
        speed = write_speed(path, 2000, args.precision)
        print(f"\none stream of 2,000 tokens: {one:,.0f} tokens/s; model.write: {speed:,.0f}; ratio {one / speed:.2f}")
        starts = [first_answer(path) for _ in range(3)]
        print(f"start to first answer: {1000 * min(starts):.0f} ms; exit code after SIGTERM: {code}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
