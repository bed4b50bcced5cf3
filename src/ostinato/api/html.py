"""A model in a notebook: its card and its loss curve as plain HTML, with everything escaped."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from ostinato.errors import UsageError
from ostinato.files import write_file


@dataclass(frozen=True)
class Picture:
    """A picture that a notebook can show. svg: the SVG file as text; png: the PNG file as bytes."""

    svg: str
    png: bytes

    def save(self, path: str | Path) -> None:
        """Save the picture as `path`, which must end in .svg or .png. Raises UsageError for any other ending."""
        file = Path(path)
        if file.suffix not in (".svg", ".png"):
            raise UsageError(f"a picture is saved as .svg or .png, got {str(path)!r}")
        write_file(file, self.svg if file.suffix == ".svg" else self.png)

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"<ostinato.Picture, {len(self.png):,} bytes as PNG: save(path) writes it>"


class History(list[dict[str, Any]]):
    """The rows of a run's metrics. A notebook shows them as a loss curve and the last evaluation."""

    def _repr_html_(self) -> str:
        measured = [row for row in self if row.get("heldout_loss") is not None]
        last = measured[-1] if measured else {}
        names = ("step", "epoch", "train_loss", "heldout_loss", "learning_rate", "tokens_per_second")
        cells = [(name, last[name]) for name in names if isinstance(last.get(name), int | float)]
        head = "".join(f"<th>{name.replace('_', ' ')}</th>" for name, _ in cells)
        body = "".join(f"<td>{value:,.6g}</td>" for _, value in cells)
        table = f"<table><tr>{head}</tr><tr>{body}</tr></table>" if cells else ""
        return f"<div>{loss_curve(self)}{table}<p>{len(self):,} rows</p></div>"


_WIDTH, _HEIGHT, _MARGIN = 360, 160, 28
_LOSSES = (("train_loss", "training", "#888888"), ("heldout_loss", "held-out", "#1f77b4"))


def model_html(title: str, card: str, history: Sequence[Mapping[str, Any]]) -> str:
    """The card of a model, and its loss curve if the run's metrics (`history`) are known."""
    curve = loss_curve(history)
    return f'<div><b>{escape(title)}</b>{curve}<pre style="white-space:pre-wrap">{escape(card)}</pre></div>'


def loss_curve(history: Sequence[Mapping[str, Any]]) -> str:
    """Training and held-out loss (nats per token) over steps, as inline SVG; "" for fewer than two points."""
    lines = {key: _points(history, key) for key, _, _ in _LOSSES}
    points = [point for line in lines.values() for point in line]
    if max(map(len, lines.values())) < 2:
        return ""
    steps, losses = [step for step, _ in points], [loss for _, loss in points]
    left, right, low, high = min(steps), max(steps), min(losses), max(losses)

    def place(step: float, loss: float) -> str:
        x = _MARGIN + (step - left) / ((right - left) or 1) * (_WIDTH - 2 * _MARGIN)
        y = _MARGIN + (high - loss) / ((high - low) or 1) * (_HEIGHT - 2 * _MARGIN)
        return f"{x:.1f},{y:.1f}"

    parts = []
    for at, (key, name, colour) in enumerate(_LOSSES):
        if lines[key]:
            path = " ".join(place(*point) for point in lines[key])
            parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{path}"/>')
            parts.append(f'<text x="{_MARGIN + 110 * at}" y="14" fill="{colour}">{escape(name)}</text>')
    parts.append(f'<text x="2" y="{_MARGIN + 4}">{high:.2f}</text><text x="2" y="{_HEIGHT - _MARGIN}">{low:.2f}</text>')
    parts.append(f'<text x="{_WIDTH - _MARGIN}" y="{_HEIGHT - 6}" text-anchor="end">step {right:,.0f}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" font-size="10" '
        f'style="display:block">{"".join(parts)}</svg>'
    )


def _points(history: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    found = []
    for row in history:
        step, loss = row.get("step"), row.get(key)
        if isinstance(step, int | float) and isinstance(loss, int | float) and math.isfinite(loss):
            found.append((float(step), float(loss)))
    return found
