"""Training speed on this machine: recurrent layers and whole language-model steps, ours beside torch's.

    python benchmarks/train.py [--quick] [--threads N] [--rounds N] [--shapes TxBxIxH ...] [--steps VxExLxH ...]
                               [--precisions fp32 bf16] [--backends] [--compile] [--jax PYTHON]
                               [--json FILE]

Layers: forward and backward of one layer, GFLOP/s counted as 6·T·B·(I + H)·G·H. Torch's best mode of a precision is
the faster of autocast and a module converted to bfloat16. Steps: a tied LSTM language model with clipping and AdamW.
--backends adds our layers' reference and torch backends, --compile torch.compile, which takes minutes; --jax names a
Python that has JAX, Flax and Optax (they are no dependency) and adds the same in them (train_jax.py). All take turns,
round after round; figures are the best of the rounds, medians beside them. The peak is a loop of independent float32
multiply-adds on each thread (ostinato_train_peak), measured before every row; torch's product of two square matrices
stands beside it. Torch held to AVX2 as ours is by OSTINATO_ISA=avx2: ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2
MKL_ENABLE_INSTRUCTIONS=AVX2. Peak memory of a step is measured in a process of its own, beyond imports, model,
gradient and moments. Last, a head whose probabilities are denormal numbers. Figures go to standard output as Markdown
tables.
"""

import argparse
import functools
import json
import multiprocessing
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from ostinato.cells import CELLS
from ostinato.kernels.load import choose_isa
from ostinato.layers import GRU, LSTM, RNN, native, shared
from ostinato.layers.head import linear_cross_entropy
from ostinato.layers.native_adamw import NativeAdamW
from ostinato.layers.threads import kernel_threads
from ostinato.models.device import prepare_torch

OURS = {"lstm": LSTM, "gru": GRU, "rnn": RNN}
THEIRS = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}
SHAPES = ("35x32x256x256", "35x20x650x650", "100x64x512x512", "128x64x1024x1024")
STEPS = ("10000x400x2x20x35", "33278x650x2x20x35", "100x512x1x32x64")


def interleaved(candidates: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median seconds of each, after a round that does not count."""
    return {name: statistics.median(values) for name, values in rounds_of(candidates, rounds).items()}


def rounds_of(candidates: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each in every round, after one that does not count; ours as the trainer runs it, with torch on one
    thread."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    threads = torch.get_num_threads()
    for turn in range(rounds + 1):
        for name, run in candidates.items():
            with kernel_threads(threads, 1 if name.startswith("native") else threads):
                time.sleep(0.02)  # torch's threads spin a little longer than they work
                start = time.perf_counter()
                run()
                if turn:
                    seconds[name].append(time.perf_counter() - start)
    return seconds


def peak(precision: str, size: int, rounds: int) -> float:
    """GFLOP/s of torch's product of two square matrices."""
    a = torch.randn(size, size).to(torch.bfloat16 if precision == "bf16" else torch.float32)
    return 2 * size**3 / interleaved({"product": lambda: a @ a}, rounds)["product"] / 1e9


def layer_pass(module: torch.nn.Module, steps: int, batch: int, inputs: int, *, autocast: bool) -> Callable[[], None]:
    dtype = next(module.parameters()).dtype
    x = torch.randn(steps, batch, inputs, dtype=dtype, requires_grad=True)
    parameters = [x, *module.parameters()]

    def run() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            y, _ = module(x)
        torch.autograd.grad(y, parameters, torch.ones_like(y))

    return run


class Flax:
    """Calls run once what train_jax.py compiled for `arguments`, in a process of its own on `threads` processors."""

    def __init__(self, python: str, threads: int, **arguments: str) -> None:
        processors = sorted(os.sched_getaffinity(0))[:threads]
        self._process = subprocess.Popen(
            [python, str(Path(__file__).with_name("train_jax.py"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, processors),
        )  # fmt: skip
        self._ask(json.dumps(arguments))

    def __call__(self) -> None:
        self._ask("")

    def _ask(self, line: str) -> None:
        assert self._process.stdin
        assert self._process.stdout
        print(line, file=self._process.stdin, flush=True)
        if not self._process.stdout.readline():
            raise SystemExit("train_jax.py ended: what it said is above")


def compiled(module: torch.nn.Module) -> torch.nn.Module:
    """`module` under torch.compile, which leaves recurrent layers alone unless told otherwise."""
    torch._dynamo.config.allow_rnn = True
    return torch.compile(module)


def layers(cell: str, shape: str, precision: str, given: argparse.Namespace) -> dict[str, Any]:
    """One row of the table of layers."""
    steps, batch, inputs, hidden = (int(n) for n in shape.split("x"))
    bf16 = precision == "bf16"
    theirs = THEIRS[cell](inputs, hidden)
    candidates = {
        "native": layer_pass(OURS[cell](inputs, hidden, backend="native"), steps, batch, inputs, autocast=bf16),
        "torch": layer_pass(theirs, steps, batch, inputs, autocast=bf16),
    }
    if bf16:
        converted = THEIRS[cell](inputs, hidden).bfloat16()
        candidates["torch bfloat16"] = layer_pass(converted, steps, batch, inputs, autocast=False)
    for backend in ("reference", "torch") if given.backends else ():
        ours = OURS[cell](inputs, hidden, backend=backend)
        candidates[f"our {backend}"] = layer_pass(ours, steps, batch, inputs, autocast=bf16)
    if given.compile:
        candidates["compiled"] = layer_pass(compiled(theirs), steps, batch, inputs, autocast=bf16)
    if given.jax:
        candidates["flax"] = Flax(given.jax, given.threads, shape=shape, precision=precision, cell=cell)
    kernels = native.train_kernels("fp32")
    assert kernels
    limit = kernels.peak() * given.threads
    taken = rounds_of(candidates, given.rounds)
    best, middle = ({name: choose(values) for name, values in taken.items()} for choose in (min, statistics.median))
    torch_best, torch_middle = (
        min(value for name, value in seconds.items() if name.startswith("torch")) for seconds in (best, middle)
    )
    work = 6 * steps * batch * (inputs + hidden) * CELLS[cell].gates * hidden / 1e9
    return {
        "cell": cell, "shape": shape, "precision": precision,
        "native_ms": best["native"] * 1e3, "torch_ms": torch_best * 1e3,
        "native_gflops": work / best["native"], "torch_gflops": work / torch_best,
        "of_peak": work / best["native"] / limit, "of_peak_median": work / middle["native"] / limit,
        "ratio": torch_best / best["native"], "ratio_median": torch_middle / middle["native"],
        "others_ms": {name: value * 1e3 for name, value in best.items()
                      if name.startswith(("our", "compiled", "flax"))},
    }  # fmt: skip


class Model(torch.nn.Module):
    """A tied LSTM language model: ours, or as one would write it with torch alone."""

    def __init__(self, vocabulary: int, size: int, depth: int, *, ours: bool) -> None:
        super().__init__()
        self.ours = ours
        self.weight = torch.nn.Parameter(torch.randn(vocabulary, size) * 0.05)
        self.bias = torch.nn.Parameter(torch.zeros(vocabulary))
        self.layers = LSTM(size, size, depth, backend="native") if ours else torch.nn.LSTM(size, size, depth)

    def forward(self, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if self.ours:
            rows, weight = shared(self.weight)
            y, _ = self.layers(functional.embedding(ids, rows, sparse=True))
            return linear_cross_entropy(y.flatten(0, 1), weight, self.bias, targets.flatten())
        y, _ = self.layers(functional.embedding(ids, self.weight))
        return functional.cross_entropy(functional.linear(y.flatten(0, 1), self.weight, self.bias), targets.flatten())


def training_step(shape: str, name: str) -> Callable[[], None]:
    """A whole step of `name`: "native bf16", "torch fp32", ..."""
    vocabulary, size, depth, batch, length = (int(n) for n in shape.split("x"))
    library, precision = name.split()
    torch.manual_seed(0)
    model: torch.nn.Module = Model(vocabulary, size, depth, ours=library == "native")
    if library == "compiled":
        model = compiled(model)
    optimizer: torch.optim.Optimizer
    if library == "native":
        optimizer = NativeAdamW(model.parameters(), 1e-3, clip=1.0)
    else:
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    ids, targets = torch.randint(vocabulary, (2, length, batch))

    def run() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = model(ids, targets)
        loss.backward()
        if library != "native":
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return run


def memory(shape: str, name: str, threads: int) -> float:
    """MB at the peak of a step beyond imports and 16 bytes a parameter (itself, gradient, AdamW's two moments)."""
    if not Path("/proc/self/clear_refs").exists():
        return float("nan")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_memory, (shape, name, threads))


def _memory(shape: str, name: str, threads: int) -> float:
    torch.set_num_threads(threads)
    training_step("10x8x1x2x3", name)()  # libraries load what they load late
    before = _status("VmRSS")
    run = training_step(shape, name)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    for _ in range(3):
        run()
    vocabulary, size, depth, *_ = (int(n) for n in shape.split("x"))
    parameters = vocabulary * (size + 1) + depth * (8 * size * size + 8 * size)
    return _status("VmHWM") - before - 16 * parameters / 2**20


def _status(field: str) -> float:
    """MB, from the kernel's record of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def steps(shape: str, given: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows of one model in the table of steps."""
    _, _, _, batch, length = (int(n) for n in shape.split("x"))
    libraries = ("native", "torch", "compiled") if given.compile else ("native", "torch")
    names = [f"{library} {precision}" for precision in given.precisions for library in libraries]
    candidates = {name: training_step(shape, name) for name in names}
    if given.jax:
        candidates |= {f"flax {p}": Flax(given.jax, given.threads, shape=shape, precision=p) for p in given.precisions}
    return [
        {"shape": shape, "name": name, "ms": min(values) * 1e3, "median_ms": statistics.median(values) * 1e3,
         "tokens_per_second": batch * length / min(values),
         "memory_mb": memory(shape, name, given.threads)
         if name.startswith(("native", "torch")) and not given.no_memory else None}
        for name, values in rounds_of(candidates, given.rounds).items()
    ]  # fmt: skip


def denormals(shape: str, rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of a head, forward and backward, fresh and nearly fitted: the other words' probabilities then lie
    around e^-95, below the least normal float."""
    vocabulary, size, *_, batch, length = (int(n) for n in shape.split("x"))
    weight = (torch.randn(vocabulary, size) * 0.05).requires_grad_()
    bias = torch.zeros(vocabulary, requires_grad=True)
    targets = torch.randint(vocabulary, (batch * length,))
    rows = weight.detach()[targets]
    features = {"fresh": torch.randn(rows.shape) * 0.05, "nearly fitted": 95 * rows / rows.pow(2).sum(1, keepdim=True)}

    def run(loss: Callable[..., torch.Tensor], x: torch.Tensor, *, bf16: bool) -> None:
        x = x.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            value = loss(x, weight, bias, targets)
        torch.autograd.grad(value, (x, weight, bias))

    def plain(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(functional.linear(x, weight, bias).float(), targets)

    losses = {"native": linear_cross_entropy, "torch": plain}
    candidates = {
        f"{name} {precision}|{kind}": functools.partial(run, loss, x, bf16=precision == "bf16")
        for name, loss in losses.items() for precision in ("fp32", "bf16") for kind, x in features.items()
    }  # fmt: skip
    seconds = interleaved(candidates, rounds)
    found: dict[str, dict[str, float]] = {}
    for key, value in seconds.items():
        name, kind = key.split("|")
        found.setdefault(name, {})[kind] = value * 1e3
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes and one round: does it run?")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cells", nargs="+", default=list(OURS), choices=list(OURS))
    parser.add_argument("--shapes", nargs="*", default=list(SHAPES), metavar="TxBxIxH")
    parser.add_argument("--steps", nargs="*", default=list(STEPS), metavar="VxExLxBxT")
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"], choices=["fp32", "bf16"])
    parser.add_argument("--no-memory", action="store_true", help="leave out the memory of steps, and the last head")
    parser.add_argument("--backends", action="store_true", help="our other backends too: reference and torch")
    parser.add_argument("--compile", action="store_true", help="torch.compile too")
    parser.add_argument("--jax", metavar="PYTHON", help="a Python with jax, flax and optax, to measure too")
    parser.add_argument("--json", help="also write the figures here")
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.shapes, given.steps = 1, ["5x4x16x16"], ["50x16x1x4x5"]
    prepare_torch()
    torch.set_num_threads(given.threads)
    if native.kernels_for(torch.empty(1), ()) is None:
        raise SystemExit(f"no compiled kernels here: {choose_isa().why}")
    figures: dict[str, Any] = {"isa": choose_isa().isa, "threads": given.threads, "layers": [], "steps": []}
    print(f"{choose_isa().isa}, {given.threads} threads, torch {torch.__version__}\n")
    figures["peak_gflops"] = {p: peak(p, 64 if given.quick else 2048, given.rounds) for p in given.precisions}
    print("product of 2048² matrices:", ", ".join(f"{p} {v:.0f} GFLOP/s" for p, v in figures["peak_gflops"].items()))
    print("\n| cell | T×B×I×H | precision | native ms | torch ms | native GFLOP/s | torch GFLOP/s "
          "| of the peak, best / median | ratio, best / median | others, ms |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|")
    for shape in given.shapes:
        for precision in given.precisions:
            for cell in given.cells:
                row = layers(cell, shape, precision, given)
                figures["layers"].append(row)
                numbers = f"{row['native_ms']:.1f} | {row['torch_ms']:.1f} | {row['native_gflops']:.0f}"
                numbers += f" | {row['torch_gflops']:.0f} | {row['of_peak']:.2f} / {row['of_peak_median']:.2f}"
                numbers += f" | {row['ratio']:.2f} / {row['ratio_median']:.2f}"
                others = ", ".join(f"{name} {value:.1f}" for name, value in row["others_ms"].items())
                print(f"| {cell} | {shape} | {precision} | {numbers} | {others} |", flush=True)
    print("\n| V×E×layers×B×T | | ms, best / median | tokens/s | MB |\n|---|---|---|---|---|")
    for shape in given.steps:
        for row in steps(shape, given):
            figures["steps"].append(row)
            memory_mb = "" if row["memory_mb"] is None else f"{row['memory_mb']:.0f}"
            times = f"{row['ms']:.1f} / {row['median_ms']:.1f} | {row['tokens_per_second']:.0f}"
            print(f"| {shape} | {row['name']} | {times} | {memory_mb} |", flush=True)
    figures["denormals"] = denormals(given.steps[0], given.rounds) if given.steps and not given.no_memory else {}
    print("\n| head | fresh ms | nearly fitted ms |\n|---|---|---|")
    for name, row in figures["denormals"].items():
        print(f"| {name} | {row['fresh']:.1f} | {row['nearly fitted']:.1f} |")
    if given.json:
        Path(given.json).write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
