"""Writing speed: whole tokens (cell, head, draw) on this machine, ours beside torch and ONNX Runtime, and the limit.

    python benchmarks/decode.py [--quick] [--cells lstm gru rnn] [--hidden 256 512] [--vocabulary 100 5000]
                                [--rows 1 16] [--threads N] [--isas NAME...] [--json FILE] [--picture FILE]

One layer, embedding as large as the hidden size, random weights. All run in turn, round after round; each figure is the
median of its rounds (and the fastest: what is left where a machine is shared). The limit is the time to read once what
a token must read, at the bandwidth measured here for as many bytes with as many threads. Figures go to standard output
as Markdown tables.
"""

import argparse
import ctypes
import gc
import json
import statistics
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
from decode_peers import PEERS, Absent

from ostinato.generation.sampling import Sampler
from ostinato.kernels.load import ISAS, NUMPY, available, find_library
from ostinato.kernels.recurrent import Shape, build, default_threads

BASELINE = "torch.nn loop"
WINDOW = 0.0015
"""Seconds of one measurement: so short that most are not disturbed where a machine is shared."""


class Ours:
    """Our kernels of one instruction set and precision: the loop below Python, or (NumPy) a loop in Python."""

    def __init__(self, shape, weights, rows: int, threads: int, isa: str, precision: str) -> None:
        self.name = f"ostinato {isa} {precision}"
        self._model, _ = build(shape, weights, isa=isa, precision=precision, threads=threads)
        self._rows, self._isa, self._random = rows, isa, np.random.default_rng(0)
        self._nothing = np.zeros(shape.vocabulary_size, np.bool_)
        self._state = np.zeros((shape.states, rows, shape.hidden_size), np.float32)
        self._sampler = Sampler(temperature=0.9)

    def logits(self, ids: np.ndarray) -> np.ndarray:
        """After reading ids (T, rows)."""
        state = self._state
        for row in ids:
            out, state = self._model.step(row.astype(np.uint32), state)
        return out

    def run(self, count: int) -> None:
        """Write `count` tokens a row."""
        ids, state = np.zeros(self._rows, np.uint32), self._state
        if self._isa != NUMPY:
            u = self._random.random((self._rows, count))
            nothing = self._nothing
            rows = self._rows
            self._model.decode(
                ids, state, samplers=[self._sampler] * rows, u=u, lengths=[count] * rows, recent=[[]] * rows,
                forbidden=[nothing] * rows, stops=[nothing] * rows,
            )  # fmt: skip
            return
        for _ in range(count):
            logits, state = self._model.step(ids, state)
            ids = self._sampler(logits, self._random.random(self._rows)).astype(np.uint32)


def random_weights(shape: Shape) -> dict[str, np.ndarray]:
    """Normally distributed, as after an initialisation."""
    random = np.random.default_rng(0)
    return {
        name: random.standard_normal(size, np.float32) / np.float32(np.sqrt(size[-1]))
        for name, size in shape.tensors().items()
    }


def contenders(shape: Shape, rows: int, threads: int, isas: list[str]) -> Iterator[object]:
    """Ours and the peers that can be had here, checked to compute the same."""
    weights = random_weights(shape)
    ids = np.random.default_rng(1).integers(0, shape.vocabulary_size, (5, rows))
    expected = None
    for isa, precision in product(isas, ("fp32", "int8")):
        ours = Ours(shape, weights, rows, shared(shape, precision, threads), isa, precision)
        expected = ours.logits(ids) if expected is None else expected
        yield ours
    for peer in PEERS:
        try:
            contender = peer(shape, weights, rows, threads)
        except Absent:
            continue
        if "int8" not in peer.name:
            np.testing.assert_allclose(contender.logits(ids), expected, atol=1e-4)
        yield contender


def shared(shape: Shape, precision: str, threads: int) -> int:
    """How many of at most `threads` threads our kernels use."""
    return min(threads, default_threads(shape, precision))


def timed(contender: object, count: int) -> float:
    """Seconds a token."""
    started = time.perf_counter()
    contender.run(count)
    return (time.perf_counter() - started) / count


def bandwidth(count: int, threads: int) -> float:
    """Bytes a second of reading `count` bytes again and again; 0 without the compiled kernels."""
    library, _ = find_library()
    if library is None:
        return 0.0
    read = library.ostinato_read_seconds
    read.restype, read.argtypes = ctypes.c_double, [ctypes.c_int32, ctypes.c_int32, ctypes.c_int64, ctypes.c_int64]
    best = ISAS.index(available()[-1])
    passes = max(3, 20_000_000 // count)
    return count / statistics.median(read(best, threads, count, passes) for _ in range(9))


def touched(shape: Shape, precision: str, rows: int) -> int:
    """Bytes a step must read: weights, scales or biases, and a row of the input table a text."""
    size = 1 if precision == "int8" else 4
    panels = shape.gates * shape.hidden_size + shape.vocabulary_size
    return (
        shape.token_weights() * size
        + panels * 4 * (3 if precision == "int8" else 1)
        + rows * 4 * shape.gates * shape.hidden_size
    )


def measure(shape: Shape, rows: int, threads: int, isas: list[str], rounds: int) -> dict[str, list[float]]:
    """Seconds a step of every contender, round after round, all in turn."""
    everyone = list(contenders(shape, rows, threads, isas))
    counts = {c.name: max(1, min(300, int(WINDOW / max(1e-7, min(timed(c, 2) for _ in range(3)))))) for c in everyone}
    times: dict[str, list[float]] = {c.name: [] for c in everyone}
    for _ in range(rounds):
        for contender in everyone:
            contender.run(1)  # what it needs comes back into the caches
            times[contender.name].append(timed(contender, counts[contender.name]))
            time.sleep(0.002)  # the threads of others that spin on come to rest
    return times


def report(shape: Shape, rows: int, threads: int, times: dict[str, list[float]]) -> list[dict[str, object]]:
    """Print one table; the same as rows for JSON."""
    case = {"cell": shape.cell, "hidden": shape.hidden_size, "vocabulary": shape.vocabulary_size, "rows": rows}
    print(f"\n### {', '.join(f'{name} {value}' for name, value in case.items())}, up to {threads} threads\n")
    print("| | µs a step | fastest | tokens/s | times torch.nn | fastest | limit, µs | of the limit |")
    print("|---|---|---|---|---|---|---|---|")
    middle = {name: statistics.median(values) for name, values in times.items()}
    out = []
    for name, value in sorted(middle.items(), key=lambda item: item[1]):
        best = min(times[name])
        entry = case | {"threads": threads, "name": name, "microseconds": value * 1e6, "fastest": best * 1e6}
        faster, fastest, limit, share = "", "", "", ""
        if BASELINE in times:
            faster, fastest = f"{middle[BASELINE] / value:.1f}", f"{min(times[BASELINE]) / best:.1f}"
        precision = name.split()[-1]
        count = touched(shape, precision, rows)
        speed = bandwidth(count, shared(shape, precision, threads)) if name.startswith("ostinato") else 0
        if speed:
            entry |= {"bytes": count, "bandwidth": speed, "limit": count / speed * 1e6}
            limit, share = f"{count / speed * 1e6:.1f}", f"{count / speed / value:.0%}"
        figures = f"{value * 1e6:.1f} | {best * 1e6:.1f} | {rows / value:,.0f}"
        print(f"| {name} | {figures} | {faster} | {fastest} | {limit} | {share} |", flush=True)
        out.append(entry)
    return out


def picture(entries: list[dict[str, object]], path: Path) -> None:
    """Microseconds a token over the hidden size, a panel a cell, at the vocabulary of 5,000 and one text at a time."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    most = max(e["threads"] for e in entries)
    shown = [e for e in entries if (e["rows"], e["vocabulary"], e["threads"]) == (1, 5000, most)]
    cells = [cell for cell in ("lstm", "gru", "rnn") if any(e["cell"] == cell for e in shown)]
    figure, panels = pyplot.subplots(1, len(cells), figsize=(4.2 * len(cells), 4), sharey=True, squeeze=False)
    best = available()[-1]
    styles = {f"ostinato {best} int8": ("C3", "o-"), f"ostinato {best} fp32": ("C1", "o-"), BASELINE: ("C0", "s--"),
              "torch cells": ("C9", "s--"), "torch dynamic int8": ("C7", "s--"),
              "ONNX Runtime fp32": ("C2", "^--"), "ONNX Runtime int8": ("C8", "^--")}  # fmt: skip
    for panel, cell in zip(panels[0], cells, strict=True):
        for name, (colour, style) in styles.items():
            line = sorted((e["hidden"], e["fastest"]) for e in shown if e["cell"] == cell and e["name"] == name)
            if line:
                panel.plot(*zip(*line, strict=True), style, color=colour, label=name)
        panel.set(title=cell.upper(), xlabel="hidden size", xscale="log", yscale="log")
        panel.set_xticks(sorted({e["hidden"] for e in shown}), sorted({e["hidden"] for e in shown}))
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[0][0].set_ylabel("fastest µs a token (vocabulary 5,000)")
    panels[0][0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one small case, few rounds: does it run at all")
    parser.add_argument("--cells", nargs="+", default=["lstm", "gru", "rnn"])
    parser.add_argument("--hidden", nargs="+", type=int, default=[128, 256, 512, 1024])
    parser.add_argument("--vocabulary", nargs="+", type=int, default=[100, 5000, 30000])
    parser.add_argument("--rows", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--threads", type=int, default=2, help="threads that each may use at most")
    parser.add_argument("--rounds", type=int, default=151)
    parser.add_argument(
        "--isas", nargs="+", choices=(NUMPY, *ISAS), help="which of our kernels (default: numpy and the best)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="add the figures to those in FILE")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw all figures of --json's FILE")
    args = parser.parse_args()
    if args.quick:
        args.cells, args.hidden, args.vocabulary, args.rows, args.rounds = ["lstm"], [64], [100], [1], 3
    names = available()
    isas = args.isas or (names if args.quick else dict.fromkeys((NUMPY, names[-1])))
    entries = json.loads(args.json.read_text()) if args.json and args.json.exists() else []
    for cell, hidden, vocabulary, rows in product(args.cells, args.hidden, args.vocabulary, args.rows):
        shape = Shape(cell, 1, hidden, hidden, vocabulary, False)
        times = measure(shape, rows, args.threads, list(isas), args.rounds)
        entries += report(shape, rows, args.threads, times)
        gc.collect()
    if args.json:
        args.json.write_text(json.dumps(entries, indent=1) + "\n")
    if args.picture:
        picture(entries, args.picture)


if __name__ == "__main__":
    main()
