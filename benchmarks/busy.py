"""Training speed while other programs use the cores: ours beside torch's.

    python benchmarks/busy.py [--seconds S] [--rounds N] [--shape VxExLxBxT] [--threads 1 2 4] [--burners 0 1 2]
                              [--within SECONDS]

A burner is a process that computes without end, free to run on any core. The same whole step as in train.py, in fp32.
Ours runs as the trainer runs it: kernels on their own threads, torch on one. The
cases take turns, until each has had --rounds of them or --within seconds have gone. Figures are tokens/s, best and
median, their share of what one thread of ours does on a quiet machine, and how much of the machine other processes took
meanwhile (with one thread and no burner they may have the other cores; `nice -n -20` keeps them to those).
"""

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from train import training_step

from ostinato.layers.threads import kernel_threads, processors
from ostinato.models.device import prepare_torch


def burn() -> None:
    """Compute until killed."""
    while True:
        pass


def machine_time() -> float:
    """Seconds that the processors have worked, all together."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def process_time(pid: int) -> float:
    """Seconds that a process has worked."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def burning(count: int) -> Iterator[list[int]]:
    """Inside, `count` processes burn: their ids."""
    burners = [multiprocessing.get_context("fork").Process(target=burn, daemon=True) for _ in range(count)]
    for burner in burners:
        burner.start()
    try:
        yield [burner.pid for burner in burners if burner.pid]
    finally:
        for burner in burners:
            burner.kill()
            burner.join()


def rate(
    run: Callable[[], None], library: str, threads: int, seconds: float, burners: list[int]
) -> tuple[float, float]:
    """Steps per second over about `seconds`, and the share of the machine that other processes took meanwhile."""
    ours = library == "ostinato"
    with kernel_threads(min(threads, processors()) if ours else threads, 1 if ours else threads):
        warm = time.perf_counter() + seconds / 4
        while time.perf_counter() < warm:
            run()
        mine = [os.getpid(), *burners]
        others = -machine_time() + sum(map(process_time, mine))
        begin, steps = time.perf_counter(), 0
        while time.perf_counter() - begin < seconds:
            run()
            steps += 1
        took = time.perf_counter() - begin
        others += machine_time() - sum(map(process_time, mine))
        return steps / took, others / took / processors()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--shape", default="100x512x1x32x64", metavar="VxExLxBxT")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--burners", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--libraries", nargs="+", default=["ostinato", "torch"])
    parser.add_argument("--within", type=float, default=600.0)
    given = parser.parse_args()
    prepare_torch()
    _, _, _, batch, length = (int(n) for n in given.shape.split("x"))
    steps = {name: training_step(given.shape, "native fp32" if name == "ostinato" else "torch fp32")
             for name in given.libraries}  # fmt: skip
    cases = [(name, threads, burners) for burners in given.burners for threads in given.threads for name in steps]
    rates: dict[tuple[str, int, int], list[float]] = {case: [] for case in cases}
    disturbed: dict[tuple[str, int, int], list[float]] = {case: [] for case in cases}
    end = time.perf_counter() + given.within
    for case in cases * given.rounds:
        name, threads, count = case
        if time.perf_counter() < end:
            with burning(count) as burners:
                steps_per_second, others = rate(steps[name], name, threads, given.seconds, burners)
            rates[case].append(steps_per_second * batch * length)
            disturbed[case].append(others)
    alone = max(rates["ostinato", given.threads[0], given.burners[0]])
    print("| | threads | burners | tokens/s, best / median | of one quiet thread of ours | others |")
    print("|---|---|---|---|---|---|")
    for (library, threads, burners), found in rates.items():
        middle = statistics.median(found)
        shares = f"{max(found) / alone:.2f} / {middle / alone:.2f}"
        others = statistics.median(disturbed[library, threads, burners])
        print(f"| {library} | {threads} | {burners} | {max(found):,.0f} / {middle:,.0f} | {shares} | {others:.0%} |")


if __name__ == "__main__":
    main()
