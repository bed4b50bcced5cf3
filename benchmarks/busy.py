"""Training speed while other programs use the cores: ours beside torch's.

    python benchmarks/busy.py [--seconds S] [--rounds N] [--shape VxExLxBxT] [--threads 1 2 4] [--burners 0 1 2]

A burner is a process that computes without end, free to run on any core. The same whole step as in train.py, in fp32.
Ours runs as the trainer runs it: kernels on their own threads, torch on one. Figures are tokens/s, best and median of
the rounds, and the share of what one thread of ours does on a quiet machine.
"""

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

from train import training_step

from ostinato.layers.threads import kernel_threads, processors
from ostinato.models.device import prepare_torch


def burn() -> None:
    """Compute until killed."""
    while True:
        pass


@contextmanager
def burning(count: int) -> Iterator[None]:
    """Inside, `count` processes burn."""
    burners = [multiprocessing.get_context("fork").Process(target=burn, daemon=True) for _ in range(count)]
    for burner in burners:
        burner.start()
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.join()


def rate(library: str, shape: str, threads: int, seconds: float) -> float:
    """Tokens a second over about `seconds`, after a second that does not count."""
    _, _, _, batch, length = (int(n) for n in shape.split("x"))
    ours = library == "ostinato"
    with kernel_threads(min(threads, processors()) if ours else threads, 1 if ours else threads):
        run = training_step(shape, "native fp32" if ours else "torch fp32")
        warm = time.perf_counter() + 1.0
        while time.perf_counter() < warm:
            run()
        begin, steps = time.perf_counter(), 0
        while time.perf_counter() - begin < seconds:
            run()
            steps += 1
        return steps * batch * length / (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--shape", default="100x512x1x32x64", metavar="VxExLxBxT")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--burners", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--libraries", nargs="+", default=["ostinato", "torch"])
    given = parser.parse_args()
    prepare_torch()
    rates: dict[tuple[str, int, int], list[float]] = {}
    for _ in range(given.rounds):
        for burners in given.burners:
            with burning(burners):
                for threads in given.threads:
                    for library in given.libraries:
                        found = rate(library, given.shape, threads, given.seconds)
                        rates.setdefault((library, threads, burners), []).append(found)
    alone = max(rates["ostinato", given.threads[0], given.burners[0]])
    print("| | threads | burners | tokens/s, best / median | of one quiet thread of ours |\n|---|---|---|---|---|")
    for (library, threads, burners), found in sorted(rates.items()):
        middle = statistics.median(found)
        print(f"| {library} | {threads} | {burners} | {max(found):,.0f} / {middle:,.0f} | {middle / alone:.2f} |")


if __name__ == "__main__":
    main()
