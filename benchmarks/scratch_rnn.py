"""One training step of the `scratch-rnn` recipe: the reference cell here, beside a plain step loop in torch.

Both: one-hot characters, 256 tanh units, 32 rows, 35 steps, cross-entropy, gradient norm clipped to 0.01, SGD with
learning rate 100, on the first 10,000 characters of the bundled Chinese lyrics. The plain loop is the usual one of
textbooks: at each step a product of the one-hot rows, one of the hidden state and one for the output; the outputs
are concatenated at the end. The two take turns, step by step; the medians are compared.

    python benchmarks/scratch_rnn.py [--steps 60] [--cpu-time]
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from importlib import resources

import torch
from torch import Tensor
from torch.nn import functional

from ostinato.models import LanguageModel, prepare_torch
from ostinato.settings import ModelSettings

BATCH, STEPS, HIDDEN, CLIP, RATE = 32, 35, 256, 0.01, 100.0


def ours(vocabulary_size: int) -> Callable[[Tensor, Tensor], float]:
    """A training step of the language model with the reference backend."""
    model = LanguageModel(
        ModelSettings(
            cell="rnn",
            hidden_size=HIDDEN,
            embedding_size=0,
            dropout=0.0,
            initialisation="normal-0.01",
            backend="reference",
        ),
        vocabulary_size,
    )
    optimizer = torch.optim.SGD(model.parameters(), RATE)

    def step(ids: Tensor, targets: Tensor) -> float:
        loss, _ = model.loss(ids, targets)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        return loss.item()

    return step


def plain(vocabulary_size: int) -> Callable[[Tensor, Tensor], float]:
    """The same step, written out with five tensors and a loop."""

    def normal(*shape: int) -> Tensor:
        return (torch.randn(*shape) * 0.01).requires_grad_()

    W_xh, W_hh, b_h = normal(vocabulary_size, HIDDEN), normal(HIDDEN, HIDDEN), torch.zeros(HIDDEN, requires_grad=True)
    W_hq, b_q = normal(HIDDEN, vocabulary_size), torch.zeros(vocabulary_size, requires_grad=True)
    parameters = [W_xh, W_hh, b_h, W_hq, b_q]

    def step(ids: Tensor, targets: Tensor) -> float:
        H = torch.zeros(len(ids), HIDDEN)
        outputs = []
        for X in functional.one_hot(ids.t(), vocabulary_size).float():
            H = torch.tanh(X @ W_xh + H @ W_hh + b_h)
            outputs.append(H @ W_hq + b_q)
        loss = functional.cross_entropy(torch.cat(outputs), targets.t().reshape(-1))
        for parameter in parameters:
            parameter.grad = None
        loss.backward()
        with torch.no_grad():
            norm = torch.sqrt(sum((parameter.grad**2).sum() for parameter in parameters))
            for parameter in parameters:
                parameter -= RATE * parameter.grad * (CLIP / norm if norm > CLIP else 1.0)
        return loss.item()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60, help="training steps of each")
    parser.add_argument("--cpu-time", action="store_true", help="compare processor time, for a machine that is shared")
    arguments = parser.parse_args()
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    prepare_torch()
    torch.manual_seed(1)
    text = resources.files("ostinato.corpora").joinpath("lyrics-zh.txt").read_text("utf-8")[:10_000].replace("\n", " ")
    place = {character: i for i, character in enumerate(sorted(set(text)))}
    ids = torch.tensor([place[character] for character in text])
    steps = {"ours": ours(len(place)), "plain": plain(len(place))}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    losses = {}
    for _ in range(arguments.steps):
        starts = torch.randint(len(ids) - STEPS, (BATCH,))
        rows = ids[starts[:, None] + torch.arange(STEPS + 1)]
        for name, step in steps.items():
            begin = clock()
            losses[name] = step(rows[:, :-1], rows[:, 1:])
            seconds[name].append(clock() - begin)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(json.dumps({
        "vocabulary": len(place),
        "threads": torch.get_num_threads(),
        "milliseconds_a_step": {name: round(1e3 * value, 2) for name, value in medians.items()},
        "plain_over_ours": round(medians["plain"] / medians["ours"], 2),
        "last_loss": {name: round(value, 3) for name, value in losses.items()},
    }, indent=2))  # fmt: skip


if __name__ == "__main__":
    main()
