"""Whole training runs: N processes of one thread beside one process of N threads, in turns.

    python benchmarks/team.py [--steps S] [--rounds R] [--processes N] [--burners B] [--set K=V ...] [TEXT]
    python benchmarks/team.py --links 100 1000 [--set K=V ...] [TEXT]

Figures are tokens per second without start and evaluation, best and median of the rounds. A burner is a process that
computes without end.

With --links, two processes of one thread each are two machines (network namespaces: Linux, root) with a link of so many
Mbit/s between them; the seconds per step are printed beside those that the model in docs/scale.md predicts: the time
of one process for half the rows, and 4 bytes per parameter through the link. `loopback` is no limit; its bandwidth is
measured.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from busy import burning

sys.path.append(str(Path(__file__).parents[1] / "tests" / "runs"))
from team_processes import free_port, on, two_hosts

ALL_REDUCE = """
import sys, time, torch, torch.distributed as dist
dist.init_process_group("gloo")
for size in (1, int(sys.argv[1])):
    buffer, times = torch.ones(size), []
    for _ in range(30):
        begin = time.perf_counter()
        dist.all_reduce(buffer)
        times.append(time.perf_counter() - begin)
    if dist.get_rank() == 0:
        print(sorted(times)[len(times) // 2])
"""


def members(command: Sequence[str], processes: int, threads: int, before: Sequence[Sequence[str]] = ()) -> list[str]:
    """What the processes of a team print. before: the command that each is started with."""
    team = {"MASTER_ADDR": "10.77.0.1" if before else "127.0.0.1", "MASTER_PORT": str(free_port()),
            "WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes), "OMP_NUM_THREADS": str(threads),
            **({"GLOO_SOCKET_IFNAME": "cable"} if before else {})}  # fmt: skip
    started = [
        subprocess.Popen([*(before[rank] if before else ()), *command], env={**os.environ, **team, "RANK": str(rank)},
                         stdout=subprocess.PIPE, text=True)
        for rank in range(processes)
    ]  # fmt: skip
    said = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise SystemExit("a run failed")
    return said


def rate(
    text: str, settings: list[str], steps: int, processes: int, threads: int, before: Sequence[Sequence[str]] = ()
) -> tuple[float, float, int]:
    """Tokens per second of a run with this team, seconds per step, and the network's parameters."""
    with tempfile.TemporaryDirectory() as folder:
        settings = ["training.evaluate_every=100000", "model.mixture=none", *settings]
        command = [sys.executable, "-m", "ostinato", "train", text, "-o", f"{folder}/run", "--from", "none", "--quiet",
                   "--steps", str(steps), "--threads", str(threads),
                   *(word for setting in settings for word in ("--set", setting))]  # fmt: skip
        members(command, processes, threads, before)
        row = json.loads((Path(folder) / "run" / "metrics.jsonl").read_text().splitlines()[-1])
        from ostinato.bundle import read_bundle

        size = sum(tensor.size for tensor in read_bundle(Path(folder) / "run" / "model").tensors.values())
        speed = float(row["tokens_per_second"])
        return speed, row["tokens"] / row["step"] / speed, size


@contextlib.contextmanager
def linked(megabits: float) -> Iterator[list[list[str]]]:
    """Inside, two namespaces with a link between them: what a command in each is started with."""
    with two_hosts() as hosts:
        for host in hosts:
            subprocess.run([*on(host), "tc", "qdisc", "add", "dev", "cable", "root", "tbf", "rate",
                            f"{megabits:g}mbit", "burst", "256kb", "latency", "100ms"], check=True)  # fmt: skip
        yield [on(host) for host in hosts]


def check_model(text: str, settings: list[str], steps: int, rows: int, links: list[float]) -> None:
    """Print the seconds per step that were measured, and those foretold, for two processes."""
    half = rate(text, [*settings, f"training.batch_size={rows // 2}"], steps, 1, 1)
    parameters, whole = half[2], [*settings, f"training.batch_size={rows}"]
    print(f"{parameters:,} parameters, {rows} rows; one process, {rows // 2} rows: {half[1]:.4f} s per step")
    said = members([sys.executable, "-c", ALL_REDUCE, str(parameters)], 2, 1)
    latency, sending = map(float, said[0].split())
    print(f"loopback: a sum of one number takes {latency * 1e6:.0f} µs, one of {parameters:,} {sending:.4f} s")
    measured = rate(text, whole, steps, 2, 1)[1]
    print(f"loopback      foretold {half[1] + sending + latency:.4f}  measured {measured:.4f} s per step", flush=True)
    for megabits in links:
        with linked(megabits) as before:
            measured = rate(text, whole, steps, 2, 1, before)[1]
        foretold = half[1] + 4 * parameters / (megabits * 1e6 / 8) + 4 * latency
        print(f"{megabits:6g} Mbit/s foretold {foretold:.4f}  measured {measured:.4f} s per step", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", nargs="?", default="lyrics-zh")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--burners", type=int, default=0)
    parser.add_argument("--links", type=float, nargs="+", default=[])
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--set", action="append", default=[])
    args = parser.parse_args()
    if args.links:
        check_model(args.text, args.set, args.steps, args.rows, args.links)
        return
    n = args.processes
    ways = {f"{n} processes x 1 thread": (n, 1), f"1 process x {n} threads": (1, n), "1 process x 1 thread": (1, 1)}
    found: dict[str, list[float]] = {name: [] for name in ways}
    settings = [*args.set, f"training.batch_size={args.rows}"]
    with burning(args.burners):
        for _ in range(args.rounds):
            for name, way in ways.items():
                found[name].append(rate(args.text, settings, args.steps, *way)[0])
    for name, rates in found.items():
        print(f"{name:24} best {max(rates):9,.0f}  median {statistics.median(rates):9,.0f} tokens/s", flush=True)


if __name__ == "__main__":
    main()
