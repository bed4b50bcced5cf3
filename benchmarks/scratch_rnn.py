"""The recipes `scratch-rnn` and `concise-rnn` beside plain loops in torch, as textbooks write them.

All: one-hot characters, 256 tanh units, 32 rows, 35 steps, cross-entropy, the first 10,000 characters of the bundled
Chinese lyrics. `scratch-rnn` is gradient descent with rate 100 and the gradient's norm clipped to 0.01; its loop has
five tensors: at each step a product of the one-hot rows, one of the hidden state and one for the output; the outputs
are concatenated at the end. `concise-rnn` is `nn.RNN`, `nn.Linear` and Adam with rate 0.001, not clipped.

Without --curves: one training step of `scratch-rnn`. The two take turns, step by step; the medians are compared.
With --curves: the training perplexity of whole epochs, of both recipes and their loops on the same minibatches of the
same ids. The loops know only the tokens that occur. Each begins with weights of its own; the curve is the geometric
mean over the seeds.

    python benchmarks/scratch_rnn.py [--steps 60] [--cpu-time]
    python benchmarks/scratch_rnn.py --curves [--epochs 250] [--every 50] [--seeds 3]
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ostinato.batching import minibatches
from ostinato.models import LanguageModel, prepare_torch
from ostinato.protocols import Ids
from ostinato.runs import train
from ostinato.settings import ModelSettings, Recipe, apply_overrides, load_recipe
from ostinato.text import open_corpus
from ostinato.training.observers import Observer, Row

BATCH, STEPS, HIDDEN, CLIP, RATE, ADAM_RATE = 32, 35, 256, 0.01, 100.0, 0.001
RUNS = {
    "scratch-rnn, random": ("scratch-rnn", "random"),
    "scratch-rnn, consecutive": ("scratch-rnn", "consecutive"),
    "concise-rnn, consecutive": ("concise-rnn", "consecutive"),
}

Step = Callable[[Tensor, Tensor, Tensor | None], tuple[float, Tensor]]
"""Learns from ids and targets, (B, T) each, and a state or None; the mean loss and the state after it, detached."""


def ours(vocabulary_size: int) -> Step:
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

    def step(ids: Tensor, targets: Tensor, state: Tensor | None) -> tuple[float, Tensor]:
        loss, state = model.loss(ids, targets, state)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        return loss.item(), model.detach(state)

    return step


def plain(vocabulary_size: int) -> Step:
    """The same step, written out with five tensors and a loop."""

    def normal(*shape: int) -> Tensor:
        return (torch.randn(*shape) * 0.01).requires_grad_()

    W_xh, W_hh, b_h = normal(vocabulary_size, HIDDEN), normal(HIDDEN, HIDDEN), torch.zeros(HIDDEN, requires_grad=True)
    W_hq, b_q = normal(HIDDEN, vocabulary_size), torch.zeros(vocabulary_size, requires_grad=True)
    parameters = [W_xh, W_hh, b_h, W_hq, b_q]

    def step(ids: Tensor, targets: Tensor, state: Tensor | None) -> tuple[float, Tensor]:
        H = torch.zeros(len(ids), HIDDEN) if state is None else state
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
        return loss.item(), H.detach()

    return step


def plain_layers(vocabulary_size: int) -> Step:
    """A training step with torch's layers and Adam."""
    rnn, dense = torch.nn.RNN(vocabulary_size, HIDDEN), torch.nn.Linear(HIDDEN, vocabulary_size)
    optimizer = torch.optim.Adam([*rnn.parameters(), *dense.parameters()], ADAM_RATE)

    def step(ids: Tensor, targets: Tensor, state: Tensor | None) -> tuple[float, Tensor]:
        outputs, H = rnn(functional.one_hot(ids.t(), vocabulary_size).float(), state)
        loss = functional.cross_entropy(dense(outputs).flatten(0, 1), targets.t().reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item(), H.detach()

    return step


class Curve(Observer):
    """The training losses of a run of ours where it is evaluated."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def evaluated(self, row: Row, best: bool) -> None:
        """Note one."""
        self.losses.append(row.train_loss)


def our_curve(recipe: Recipe, folder: Path) -> tuple[list[float], Ids]:
    """The losses of a run of the recipe, and the ids that it read."""
    curve = Curve()
    train(["lyrics-zh"], out=folder, recipe=recipe, device="cpu", progress=False, observers=[curve])
    return curve.losses, np.array(open_corpus(folder / "text").train.ids)


def plain_curve(step: Step, ids: Ids, recipe: Recipe) -> list[float]:
    """The losses of a loop over the same minibatches: the means of the epochs at which ours is evaluated."""
    t, losses = recipe.training, []
    for epoch in range(int(t.epochs or 0)):
        batches = minibatches(t.sampling, ids, batch_size=BATCH, window=STEPS, seed=t.seed, epoch=epoch)
        state, seen = None, []
        for x, y in batches:
            loss, state = step(torch.from_numpy(x), torch.from_numpy(y), state if batches.carries_state else None)
            seen.append(loss)
        if (epoch + 1) % int(t.evaluate_every or 1) == 0:
            losses.append(statistics.mean(seen))
    return losses


def curves(epochs: int, every: int, seeds: int) -> dict[str, object]:
    """Perplexities of the recipes and their loops."""
    found = {}
    for name, (recipe_name, sampling) in RUNS.items():
        loop = plain if recipe_name == "scratch-rnn" else plain_layers
        losses: dict[str, list[list[float]]] = {"ours": [], "plain": []}
        for seed in range(1, seeds + 1):
            recipe = apply_overrides(
                load_recipe(recipe_name),
                [f"training.sampling={sampling}", f"training.epochs={epochs}", f"training.evaluate_every={every}",
                 f"training.seed={seed}"],
            )  # fmt: skip
            with tempfile.TemporaryDirectory() as folder:
                own, ids = our_curve(recipe, Path(folder) / "run")
            known, dense = np.unique(ids, return_inverse=True)
            torch.manual_seed(seed)
            losses["ours"].append(own)
            losses["plain"].append(plain_curve(loop(len(known)), dense, recipe))
        mean = {who: np.exp(np.mean(rows, axis=0)) for who, rows in losses.items()}
        apart = {who: np.exp(np.std(rows, axis=0)) - 1 for who, rows in losses.items()}
        found[name] = {
            "epochs": list(range(every, epochs + 1, every)),
            **{who: [round(float(value), 3) for value in values] for who, values in mean.items()},
            "ours_over_plain": [round(float(value), 3) for value in mean["ours"] / mean["plain"]],
            "seeds_apart": {who: [round(float(value), 3) for value in values] for who, values in apart.items()},
        }
        print(json.dumps({name: found[name]}), flush=True)
    return found


def one_step(steps: int, clock: Callable[[], float]) -> dict[str, object]:
    """The time of a training step of `scratch-rnn`, ours and the plain loop's."""
    torch.manual_seed(1)
    text = resources.files("ostinato.corpora").joinpath("lyrics-zh.txt").read_text("utf-8")[:10_000].replace("\n", " ")
    place = {character: i for i, character in enumerate(sorted(set(text)))}
    ids = torch.tensor([place[character] for character in text])
    both = {"ours": ours(len(place)), "plain": plain(len(place))}
    seconds: dict[str, list[float]] = {name: [] for name in both}
    losses = {}
    for _ in range(steps):
        starts = torch.randint(len(ids) - STEPS, (BATCH,))
        rows = ids[starts[:, None] + torch.arange(STEPS + 1)]
        for name, step in both.items():
            begin = clock()
            losses[name], _ = step(rows[:, :-1], rows[:, 1:], None)
            seconds[name].append(clock() - begin)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "vocabulary": len(place),
        "threads": torch.get_num_threads(),
        "milliseconds_a_step": {name: round(1e3 * value, 2) for name, value in medians.items()},
        "plain_over_ours": round(medians["plain"] / medians["ours"], 2),
        "last_loss": {name: round(value, 3) for name, value in losses.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60, help="training steps of each")
    parser.add_argument("--cpu-time", action="store_true", help="compare processor time, for a machine that is shared")
    parser.add_argument("--curves", action="store_true", help="compare the perplexities of whole runs")
    parser.add_argument("--epochs", type=int, default=250, help="of a curve")
    parser.add_argument("--every", type=int, default=50, help="epochs between the points of a curve")
    parser.add_argument("--seeds", type=int, default=3, help="runs that a curve is the mean of")
    arguments = parser.parse_args()
    prepare_torch()
    if arguments.curves:
        curves(arguments.epochs, arguments.every, arguments.seeds)
        return
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    print(json.dumps(one_step(arguments.steps, clock), indent=2))


if __name__ == "__main__":
    main()
