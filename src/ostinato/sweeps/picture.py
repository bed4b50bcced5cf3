"""The held-out losses of all runs in one picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ostinato.runs.picture import drawn
from ostinato.sweeps.plan import One
from ostinato.training.metrics import read_metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(plan: Sequence[One], path: Path) -> bool:
    """The held-out losses of all runs against their steps, `path`.svg and .png; those of one setting in one colour.

    False where nothing can be drawn: without matplotlib, or of models that are counted.
    """
    curves: list[tuple[str, list[tuple[int, float]]]] = []
    for one in plan:
        rows = read_metrics(one.folder / "metrics.jsonl")
        points = [(row["step"], row["heldout_loss"]) for row in rows if row.get("heldout_loss") is not None]
        if points:
            curves.append((one.setting.name, points))
    if not curves:
        return False
    return drawn(path, 7.2, 4.2, lambda figure: _draw(figure, curves))


def _draw(figure: "Figure", curves: Sequence[tuple[str, list[tuple[int, float]]]]) -> None:
    axes = figure.add_subplot()
    colours = {name: f"C{at % 10}" for at, name in enumerate(dict.fromkeys(name for name, _ in curves))}
    labelled: set[str] = set()
    for name, points in curves:
        label = None if name in labelled else name
        labelled.add(name)
        axes.plot(*zip(*points, strict=True), color=colours[name], label=label, marker=".", linewidth=1.5)
    axes.set_xlabel("steps")
    axes.set_ylabel("held-out loss (nats per token)")
    axes.grid(alpha=0.25)
    axes.legend(loc="upper right", frameon=False)
