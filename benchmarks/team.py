"""Whole training runs: N processes of one thread beside one process of N threads, in turns.

    python benchmarks/team.py [--steps S] [--rounds R] [--processes N] [--burners B] [--set K=V ...] [TEXT]

Figures are tokens per second without start and evaluation, best and median of the rounds. A burner is a process that
computes without end.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from busy import burning


def rate(text: str, settings: list[str], steps: int, processes: int, threads: int) -> float:
    """Tokens a second of a run with this team."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
        found.close()
        words = [word for setting in ("training.evaluate_every=100000", *settings) for word in ("--set", setting)]
        command = [sys.executable, "-m", "ostinato", "train", text, "-o", f"{folder}/run", "--from", "none", "--quiet",
                   "--steps", str(steps), "--threads", str(threads), *words]  # fmt: skip
        team = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(processes)}
        members = [
            subprocess.Popen(command, env={**os.environ, **team, "RANK": str(rank), "OMP_NUM_THREADS": str(threads),
                             "LOCAL_WORLD_SIZE": str(processes)}, stdout=subprocess.DEVNULL)
            for rank in range(processes)
        ]  # fmt: skip
        ended = [member.wait() for member in members]
        if any(ended):
            raise SystemExit("a run failed")
        rows = (Path(folder) / "run" / "metrics.jsonl").read_text().splitlines()
        return float(json.loads(rows[-1])["tokens_per_second"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", nargs="?", default="lyrics-zh")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--burners", type=int, default=0)
    parser.add_argument("--set", action="append", default=[])
    args = parser.parse_args()
    n = args.processes
    ways = {f"{n} processes x 1 thread": (n, 1), f"1 process x {n} threads": (1, n), "1 process x 1 thread": (1, 1)}
    found: dict[str, list[float]] = {name: [] for name in ways}
    with burning(args.burners):
        for _ in range(args.rounds):
            for name, way in ways.items():
                found[name].append(rate(args.text, args.set, args.steps, *way))
    for name, rates in found.items():
        print(f"{name:24} best {max(rates):9,.0f}  median {statistics.median(rates):9,.0f} tokens/s", flush=True)


if __name__ == "__main__":
    main()
