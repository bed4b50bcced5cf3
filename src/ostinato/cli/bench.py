"""`ostinato bench`: how fast this machine writes, compared with torch if installed. The long form is `make bench`."""

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ostinato.terminal import activity, say, say_json
from ostinato.text.width import pad

_WARM_UP, _SECONDS = 3, 0.004


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `bench`."""
    parser.add_argument("--hidden", type=int, default=512, metavar="H", help="hidden size (default: 512)")
    parser.add_argument("--vocabulary", type=int, default=5000, metavar="V", help="vocabulary size (default: 5000)")
    parser.add_argument(
        "--rounds", type=int, default=21, metavar="N", help="rounds; each measures everything once (default: 21)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print microseconds per token (embedding, cell, head, draw) for one text: medians over rounds, all in turn."""
    from ostinato.errors import UsageError
    from ostinato.kernels import choose_isa

    for name in ("hidden", "vocabulary", "rounds"):
        if getattr(args, name) < 1:
            raise UsageError(f"--{name} must be 1 or more, got {getattr(args, name)}")
    kernels = choose_isa()
    rows: list[dict[str, Any]] = []
    for cell in ("lstm", "gru", "rnn"):
        with activity(f"measuring {cell}"):
            times = _measured(_contenders(cell, args.hidden, args.vocabulary), args.rounds)
        rows += [{"cell": cell, "name": name, "microseconds": round(t * 1e6, 2)} for name, t in times.items()]
    if args.json:
        sizes = {"hidden": args.hidden, "vocabulary": args.vocabulary, "rounds": args.rounds}
        say_json({"kernels": kernels.isa, **sizes, "rows": rows})
        return 0
    say(f"kernels {kernels.isa}; hidden {args.hidden}, vocabulary {args.vocabulary}; median of {args.rounds} rounds\n")
    say(pad("cell", 6) + pad("", 16) + pad("µs/token", 12, right=True) + pad("tokens/s", 12, right=True))
    for row in rows:
        t = row["microseconds"]
        say(pad(row["cell"], 6) + pad(row["name"], 16) + pad(f"{t:,.1f}", 12, right=True)
              + pad(f"{1e6 / t:,.0f}", 12, right=True))  # fmt: skip
    return 0


def _contenders(cell: str, hidden: int, vocabulary: int) -> dict[str, Callable[[int], None]]:
    """For each contender, a function that writes a given number of tokens."""
    from ostinato.kernels.recurrent import Shape

    shape = Shape(cell, layers=1, hidden_size=hidden, embedding_size=hidden, vocabulary_size=vocabulary, tied=False)
    random = np.random.default_rng(0)
    weights = {
        name: random.standard_normal(size, np.float32) / np.float32(np.sqrt(size[-1]))
        for name, size in shape.tensors().items()
    }
    found = {f"ostinato {p}": _ours(shape, weights, p) for p in ("fp32", "int8")}
    if importlib.util.find_spec("torch"):
        found["torch.nn loop"] = _torch(shape, weights)
    return found


def _ours(shape: Any, weights: dict[str, Any], precision: str) -> Callable[[int], None]:
    from ostinato.generation import Sampler
    from ostinato.kernels.recurrent import build

    model, _ = build(shape, weights, precision=precision)
    nothing, state = (
        np.zeros(shape.vocabulary_size, np.bool_),
        np.zeros((shape.states, 1, shape.hidden_size), np.float32),
    )
    ids, sampler, random = np.zeros(1, np.uint32), Sampler(temperature=0.9), np.random.default_rng(0)

    def write(count: int) -> None:
        if hasattr(model, "decode"):
            u = random.random((1, count))
            model.decode(
                ids, state, samplers=[sampler], u=u, lengths=[count], recent=[[]], forbidden=[nothing], stops=[nothing]
            )
            return
        now, last = state, ids
        for _ in range(count):
            logits, now = model.step(last, now)
            last = sampler(logits, random.random(1)).astype(np.uint32)

    return write


def _torch(shape: Any, weights: dict[str, Any]) -> Callable[[int], None]:
    """A loop over torch's own layer, one time step per call."""
    import torch

    layer = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[shape.cell](
        shape.embedding_size, shape.hidden_size
    )
    given = {name: torch.from_numpy(value) for name, value in weights.items()}
    layer.load_state_dict({n.removeprefix("recurrent."): t for n, t in given.items() if n.startswith("recurrent.")})

    def write(count: int) -> None:
        with torch.inference_mode():
            ids, state = torch.zeros(1, dtype=torch.int64), None
            for _ in range(count):
                out, state = layer(given["embedding.weight"][ids][None], state)
                logits = torch.nn.functional.linear(out[0], given["head.weight"], given["head.bias"])
                ids = torch.multinomial(torch.softmax(logits / 0.9, -1), 1)[:, 0]

    return write


def _measured(contenders: dict[str, Callable[[int], None]], rounds: int) -> dict[str, float]:
    """Median seconds per token of each contender; they are measured in turn."""

    def timed(write: Callable[[int], None], count: int) -> float:
        started = time.perf_counter()
        write(count)
        return (time.perf_counter() - started) / count

    counts = {n: max(1, int(_SECONDS / min(timed(w, 1) for _ in range(_WARM_UP)))) for n, w in contenders.items()}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, write in contenders.items():
            write(1)
            times[name].append(timed(write, counts[name]))
    return {name: statistics.median(values) for name, values in times.items()}
