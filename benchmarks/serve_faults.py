"""What `ostinato serve` does with clients that misbehave: many that vanish, slow ones, and a soak over minutes.

    python benchmarks/serve_faults.py [--vanish 1000] [--soak SECONDS]

--vanish: so many clients go away in mid-stream, 50 at a time; then the rows must be free, and the next client gets its
text. --soak: short texts for so long; every fifth client vanishes, every seventh reads slowly, and each finished text
must be the one that its seed gave before. RSS of the server is reported from time to time. Ends with status 1 where
a text was wrong, a row was lost, or the server did not exit with 0 after SIGTERM.
"""

import argparse
import asyncio
import random
import re
import sys
import tempfile
import time
from pathlib import Path

from serve import Server, free_port, make_model, memory, serving
from serve_client import request


async def text_of(server: Server, tokens: int, seed: int) -> str:
    """One whole stream's text."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request(tokens, seed))
    data = b""
    while b"[DONE]" not in data:
        part = await reader.read(1 << 16)
        if not part:
            raise RuntimeError("the server closed the connection")
        data += part
    writer.close()
    return written(data)


def written(data: bytes) -> str:
    """The text in a stream's events."""
    return "".join(re.findall(r'"text":"([^"]*)"', data.decode()))


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
            if known.setdefault(seed, written(text)) != written(text):
                raise RuntimeError(f"seed {seed} gave two texts")
            done += 1

    async def watch() -> None:
        while time.monotonic() < end:
            await asyncio.sleep(max(0.1, seconds / 20))
            rss.append(memory(server.process.pid))

    await asyncio.gather(watch(), *(client(number) for number in range(at_once)))
    print(f"soak of {seconds:g} s: {done:,} texts right, {vanished:,} clients vanished, RSS in MB: "
          f"{', '.join(f'{value / 1024:.1f}' for value in rss)}")  # fmt: skip
    await freed(server)


async def vanish(server: Server, count: int) -> None:
    """`count` clients that go away in mid-stream; then one that gets its text, and nothing is left in the batch."""
    expected, before = await text_of(server, 50, 1), memory(server.process.pid)
    for first in range(0, count, 50):
        opened = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(min(50, count - first))]
        for seed, (_, writer) in enumerate(opened):
            writer.write(request(4000, first + seed))
        await asyncio.gather(*(reader.read(2000) for reader, _ in opened))
        for _, writer in opened:
            writer.transport.abort()
    seconds = await freed(server)
    if await text_of(server, 50, 1) != expected:
        raise RuntimeError("the text after them is another one")
    print(
        f"{count:,} clients vanished in mid-stream: all rows free {1000 * seconds:.0f} ms after the last; "
        f"RSS {before / 1024:.1f} -> {memory(server.process.pid) / 1024:.1f} MB"
    )


async def freed(server: Server) -> float:
    """Wait until nothing is left in the batch; returns how long that took, in seconds."""
    begin = time.perf_counter()
    while await left(server) > 0:
        if time.perf_counter() - begin > 30:
            raise RuntimeError("rows were lost")
        await asyncio.sleep(0.01)
    return time.perf_counter() - begin


async def left(server: Server) -> float:
    """Rows and waiting requests, by the server's own metrics."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    text = (await reader.read(-1)).decode()
    writer.close()
    return sum(float(n) for n in re.findall(r"^ostinato_(?:rows|waiting){[^}]*} (\S+)", text, re.MULTILINE))


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vanish", type=int, default=1000)
    parser.add_argument("--soak", type=float, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        server = Server(serving(make_model(Path(folder), "character"), port, "fp32", 64), port)
        try:
            if args.vanish:
                asyncio.run(vanish(server, args.vanish))
            if args.soak:
                asyncio.run(soak(server, args.soak))
        finally:
            code = server.stop()
    print(f"exit code after SIGTERM: {code}")
    return int(code != 0)


if __name__ == "__main__":
    sys.exit(main())
