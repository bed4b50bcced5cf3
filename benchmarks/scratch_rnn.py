"""The recipes `scratch-rnn` and `concise-rnn` beside plain loops in torch, as textbooks write them.

All: one-hot characters, 256 tanh units, 32 rows, 35 steps, cross-entropy, the first 10,000 characters of the bundled
Chinese lyrics. `scratch-rnn` is gradient descent with rate 100 and the gradient's norm clipped to 0.01; its loop has
five tensors: at each step a product of the one-hot rows, one of the hidden state and one for the output; the outputs
are concatenated at the end. `concise-rnn` is `nn.RNN`, `nn.Linear` and Adam with rate 0.001, not clipped.

Without --curves: one training step of `scratch-rnn`. The two take turns, step by step; the medians are compared.
With --curves: the training perplexity of whole epochs, of both recipes and their loops. Recipe and loop begin with the
same weights and read the same minibatches of the same ids; the loop knows only the tokens that occur. `concise-rnn`
starts its output bias from the frequencies of the tokens, which no loop does: it is run without that, too. The curves
are geometric means over the seeds. Runs that the file has already are not made again.

    python benchmarks/scratch_rnn.py [--steps 60] [--cpu-time]
    python benchmarks/scratch_rnn.py --curves [--epochs 250] [--every 50] [--seeds 1 2 3] [--out curves.json]
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ostinato.batching import minibatches
from ostinato.models import LanguageModel, prepare_torch
from ostinato.protocols import Ids
from ostinato.runs import train
from ostinato.settings import ModelSettings, Recipe, TrainingSettings, apply_overrides, load_recipe
from ostinato.text import open_corpus
from ostinato.training.checkpoint import Position
from ostinato.training.observers import Observer

BATCH, STEPS, HIDDEN, CLIP, RATE, ADAM_RATE = 32, 35, 256, 0.01, 100.0, 0.001
RUNS = {
    "scratch-rnn, random": ("scratch-rnn", "training.sampling=random"),
    "scratch-rnn, consecutive": ("scratch-rnn",),
    "concise-rnn, started as torch": ("concise-rnn", "model.initialisation=torch"),
    "concise-rnn": ("concise-rnn",),
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


def normal_weights(vocabulary_size: int) -> dict[str, Tensor]:
    """The five tensors as the textbook begins them: weights N(0, 0.01²), biases 0."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape) * 0.01

    V, H = vocabulary_size, HIDDEN
    return {
        "W_xh": normal(V, H),
        "W_hh": normal(H, H),
        "b_h": torch.zeros(H),
        "W_hq": normal(H, V),
        "b_q": torch.zeros(V),
    }


def plain(weights: Mapping[str, Tensor]) -> Step:
    """The same step, written out with five tensors and a loop."""
    W_xh, W_hh, b_h, W_hq, b_q = parameters = [
        weights[name].clone().requires_grad_() for name in ("W_xh", "W_hh", "b_h", "W_hq", "b_q")
    ]

    def step(ids: Tensor, targets: Tensor, state: Tensor | None) -> tuple[float, Tensor]:
        H = torch.zeros(len(ids), HIDDEN) if state is None else state
        outputs = []
        for X in functional.one_hot(ids.t(), len(b_q)).float():
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


def plain_layers(weights: Mapping[str, Tensor]) -> Step:
    """A training step with torch's layers and Adam."""
    vocabulary_size = len(weights["b_q"])
    rnn, dense = torch.nn.RNN(vocabulary_size, HIDDEN), torch.nn.Linear(HIDDEN, vocabulary_size)
    with torch.no_grad():
        rnn.weight_ih_l0.copy_(weights["W_xh"].t())
        rnn.weight_hh_l0.copy_(weights["W_hh"].t())
        rnn.bias_ih_l0.copy_(weights["b_ih"])
        rnn.bias_hh_l0.copy_(weights["b_hh"])
        dense.weight.copy_(weights["W_hq"].t())
        dense.bias.copy_(weights["b_q"])
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
    """The loss of every step of a run of ours."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def stepped(self, position: Position, loss: float, progress: float) -> None:
        """Note one."""
        self.losses.append(loss)


def our_losses(recipe: Recipe, folder: Path) -> tuple[list[float], Ids, int]:
    """The losses of a run of the recipe, the ids that it read, and how many tokens its vocabulary has."""
    curve = Curve()
    train(["lyrics-zh"], out=folder, recipe=recipe, device="cpu", progress=False, observers=[curve])
    corpus = open_corpus(folder / "text")
    return curve.losses, np.array(corpus.train.ids), corpus.tokenizer.vocabulary_size


def plain_losses(step: Step, ids: Ids, t: TrainingSettings) -> list[float]:
    """The losses of a loop over the same minibatches."""
    losses = []
    for epoch in range(int(t.epochs or 0)):
        batches = minibatches(t.sampling, ids, batch_size=BATCH, window=STEPS, seed=t.seed, epoch=epoch)
        state = None
        for x, y in batches:
            loss, state = step(torch.from_numpy(x), torch.from_numpy(y), state if batches.carries_state else None)
            losses.append(loss)
    return losses


def first_weights(recipe: Recipe, vocabulary_size: int, known: Ids) -> dict[str, Tensor]:
    """What the recipe begins with, for the tokens that occur, with the letters of `plain`; the output bias as
    a textbook begins it."""
    model = recipe.model
    if model.initialisation == "default":
        model = replace(model, initialisation="torch")  # draws that bias last
    torch.manual_seed(recipe.training.seed)
    w = {name: p.detach() for name, p in LanguageModel(model, vocabulary_size).named_parameters()}
    b_ih, b_hh = w["recurrent.bias_ih_l0"], w["recurrent.bias_hh_l0"]
    return {
        "W_xh": w["recurrent.weight_ih_l0"].t()[known],
        "W_hh": w["recurrent.weight_hh_l0"].t(),
        "b_ih": b_ih,
        "b_hh": b_hh,
        "b_h": b_ih + b_hh,
        "W_hq": w["head.weight"].t()[:, known],
        "b_q": w["head.bias"][known],
    }


def both(name: str, seed: int, epochs: int) -> dict[str, list[float]]:
    """Nats a step of a run of a recipe, and of its loop from the same weights."""
    recipe_name, *overrides = RUNS[name]
    recipe = apply_overrides(
        load_recipe(recipe_name), [*overrides, f"training.epochs={epochs}", f"training.seed={seed}"]
    )
    with tempfile.TemporaryDirectory() as folder:
        own, ids, size = our_losses(recipe, Path(folder) / "run")
    known, dense = np.unique(ids, return_inverse=True)
    loop = plain if recipe_name == "scratch-rnn" else plain_layers
    step = loop(first_weights(recipe, size, known))
    return {"ours": own, "plain": plain_losses(step, dense, recipe.training)}


def summary(runs: Sequence[Mapping[str, Sequence[float]]], epochs: int, every: int) -> dict[str, object]:
    """Perplexities of whole epochs, geometric means over the seeds; how far seeds lie apart, and ours over plain."""
    logs = {who: np.array([np.reshape(run[who], (epochs, -1)).mean(1)[every - 1 :: every] for run in runs])
            for who in ("ours", "plain")}  # fmt: skip
    ratios = logs["ours"] - logs["plain"]
    first = max(abs(a - b) for run in runs for a, b in zip(run["ours"][:4], run["plain"][:4], strict=True))
    found: dict[str, object] = {
        "seeds": len(runs),
        "epochs": list(range(every, epochs + 1, every)),
        **{who: _rounded(np.exp(values.mean(0))) for who, values in logs.items()},
        "ours_over_plain": _rounded(np.exp(ratios.mean(0))),
        "nats_apart_in_the_first_4_steps": round(first, 5),
    }
    if len(runs) > 1:
        found["standard_error"] = _rounded(np.exp(_deviation(ratios) / len(runs) ** 0.5) - 1)
        found["seeds_apart"] = {who: _rounded(np.exp(_deviation(values)) - 1) for who, values in logs.items()}
    return found


def _deviation(values: Any) -> Any:
    return values.std(0, ddof=1)


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 3) for value in values]


def curves(epochs: int, every: int, seeds: Sequence[int], out: Path | None) -> None:
    """Print the summary of each kind of run; `out` keeps the losses, and has those that were kept."""
    kept: dict[str, dict[str, list[float]]] = {}
    if out is not None and out.exists():
        kept = json.loads(out.read_text())
    for seed in seeds:
        for name in RUNS:
            if (key := f"{name}, {epochs} epochs, seed {seed}") not in kept:
                kept[key] = both(name, seed, epochs)
                print(key, json.dumps(summary([kept[key]], epochs, every)), flush=True)
                if out is not None:
                    out.write_text(json.dumps(kept))
    for name in RUNS:
        runs = [kept[f"{name}, {epochs} epochs, seed {seed}"] for seed in seeds]
        print(json.dumps({name: summary(runs, epochs, every)}), flush=True)


def one_step(steps: int, clock: Callable[[], float]) -> dict[str, object]:
    """The time of a training step of `scratch-rnn`, ours and the plain loop's."""
    torch.manual_seed(1)
    text = resources.files("ostinato.corpora").joinpath("lyrics-zh.txt").read_text("utf-8")[:10_000].replace("\n", " ")
    place = {character: i for i, character in enumerate(sorted(set(text)))}
    ids = torch.tensor([place[character] for character in text])
    steppers = {"ours": ours(len(place)), "plain": plain(normal_weights(len(place)))}
    seconds: dict[str, list[float]] = {name: [] for name in steppers}
    losses = {}
    for _ in range(steps):
        starts = torch.randint(len(ids) - STEPS, (BATCH,))
        rows = ids[starts[:, None] + torch.arange(STEPS + 1)]
        for name, step in steppers.items():
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
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3], help="a curve is the mean of these runs")
    parser.add_argument("--out", type=Path, help="a file that keeps the losses of every step")
    arguments = parser.parse_args()
    prepare_torch()
    if arguments.curves:
        curves(arguments.epochs, arguments.every, arguments.seeds, arguments.out)
        return
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    print(json.dumps(one_step(arguments.steps, clock), indent=2))


if __name__ == "__main__":
    main()
