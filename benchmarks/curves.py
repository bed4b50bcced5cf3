"""Held-out loss against minutes: one recipe trained by ostinato and by torch alone, everything else the same.

    python benchmarks/curves.py {ours,torch} TEXT --out DIR [--minutes N] [--set SECTION.KEY=VALUE ...]
    python benchmarks/curves.py table DIR DIR

`torch` trains with torch.nn's layers, torch.nn.functional.linear and cross_entropy on stored logits, and torch's fused
AdamW, under bf16 autocast where `ours` uses bf16; minibatches, dropout, schedule and evaluation are ours. Its softmax
is over the whole vocabulary; with more than 12,000 tokens that of `ours` is over candidates, unless
training.candidates=0. `table` puts two runs side by side, and says when the first had reached what the second ended
with. Run both on the same machine: one after the other with nothing beside them, or at once with one thread each
(OMP_NUM_THREADS=1).
"""

import argparse
import math
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn import functional

from ostinato.layers.native_adamw import NativeAdamW
from ostinato.models.language_model import LanguageModel
from ostinato.runs import train
from ostinato.settings import apply_overrides, load_recipe, with_budget
from ostinato.training.metrics import read_metrics


def _plain_loss(self: Any, ids: Tensor, targets: Tensor, state: Any = None) -> tuple[Tensor, Any]:
    features, state = self.hidden(ids, state)
    logits = functional.linear(features.flatten(0, 1), self.output_weight, self.head.bias)
    return functional.cross_entropy(logits.float(), targets.flatten().long()), state


def run(kind: str, text: str, out: Path, minutes: float, overrides: list[str]) -> None:
    """Train, and print what came of it."""
    if kind == "torch":
        LanguageModel.loss = _plain_loss  # type: ignore[method-assign]
        NativeAdamW.available = staticmethod(lambda: False)  # type: ignore[method-assign]
        overrides = [*overrides, "model.backend=torch"]
    recipe = with_budget(
        apply_overrides(load_recipe("default"), ["model.mixture=none", *overrides]),
        minutes=minutes,
        epochs=None,
        steps=None,
        seed=None,
    )
    print(train([text], out=out, recipe=recipe, overwrite=True).summary())


def table(first: Path, second: Path) -> None:
    """Both curves at the minutes of the second, as Markdown."""
    ours, theirs = (
        [(row["seconds"] / 60, row["heldout_loss"]) for row in read_metrics(folder / "metrics.jsonl")]
        for folder in (first, second)
    )
    print(f"| minutes | {first.name} | {second.name} |\n|---|---|---|")
    for minute, loss in theirs:
        so_far = [value for at, value in ours if at <= minute]
        best = f"{math.exp(min(so_far)):.2f}" if so_far else ""
        print(f"| {minute:.1f} | {best} | {math.exp(loss):.2f} |")
    best, goal = (min(loss for _, loss in rows) for rows in (ours, theirs))
    reached = [at for at, loss in ours if loss <= goal]
    print(f"\n{second.name}'s best: {math.exp(goal):.2f}, in {theirs[-1][0]:.1f} minutes; {first.name} had it ", end="")
    print(f"after {reached[0]:.1f}" if reached else "never", f"and reached {math.exp(best):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="kind", required=True)
    for kind in ("ours", "torch"):
        command = commands.add_parser(kind)
        command.add_argument("text")
        command.add_argument("--out", type=Path, required=True)
        command.add_argument("--minutes", type=float, default=30.0)
        command.add_argument("--set", action="append", default=[], dest="overrides")
    beside = commands.add_parser("table")
    beside.add_argument("runs", nargs=2, type=Path)
    given = parser.parse_args()
    if given.kind == "table":
        table(*given.runs)
    else:
        run(given.kind, given.text, given.out, given.minutes, given.overrides)


if __name__ == "__main__":
    main()
