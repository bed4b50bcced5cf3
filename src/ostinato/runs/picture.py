"""The loss curve of a run, as SVG and PNG, with a sample text beneath it that shows CJK characters correctly."""

import importlib.util
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.errors import MissingExtraError, needs
from ostinato.text.width import fit
from ostinato.training.metrics import read_metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FONTS = ("NotoSansCJKsc-Regular.otf", "SimHei.ttf")


def cjk_font() -> Path | None:
    """A font file with Chinese, Japanese and Korean characters from the package mplfonts, if it is installed."""
    spec = importlib.util.find_spec("mplfonts")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations))) / "fonts"
    return next((folder / name for name in _FONTS if (folder / name).is_file()), None)


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure (inches) whose text falls back to the CJK font where the usual one lacks a character.

    Raises MissingExtraError where matplotlib is not installed.
    """
    with needs("train", "a picture"):
        import matplotlib
        from matplotlib import font_manager
        from matplotlib.figure import Figure

    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    families = ["DejaVu Sans"]
    font = cjk_font()
    if font is not None:
        font_manager.fontManager.addfont(font)
        families.append(font_manager.FontProperties(fname=str(font)).get_name())
    matplotlib.rcParams["font.family"] = families
    matplotlib.rcParams["svg.fonttype"] = "path"  # the same picture where the font is not installed
    matplotlib.rcParams["svg.hashsalt"] = "ostinato"
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: "Figure", path: Path) -> None:
    """Save `figure` as `path`.svg and `path`.png."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # without mplfonts: boxes, but a picture
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(path.with_suffix(".png"), dpi=150)


def draw_losses(
    rows: Iterable[Mapping[str, Any]], path: Path, *, title: str, sample: str = "", unit: str = "nats per token"
) -> None:
    """Draw training and held-out loss (in `unit`) against minutes as `path`.svg and `path`.png."""
    rows = list(rows)
    lines = [fit(line, 76) for line in sample.splitlines()[:8]]
    figure = new_figure(7.2, 4.2 + 0.24 * len(lines))
    axes = figure.add_subplot()
    for key, label, colour in (("train_loss", "training", "#8a8a8a"), ("heldout_loss", "held-out", "#b5322f")):
        points = [(r["seconds"] / 60, r[key]) for r in rows if r.get(key) is not None and math.isfinite(r[key])]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, color=colour, linewidth=1.8, marker=".", markersize=5)
    axes.set_xlabel("minutes")
    axes.set_ylabel(f"loss ({unit})")
    axes.set_title(title, fontsize=11)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if axes.lines:
        axes.legend(frameon=False)
    if lines:
        text = "\n".join(lines).replace("$", r"\$")
        figure.supxlabel(text, fontsize=9, ha="left", x=0.08, color="#333333", linespacing=1.5)
    save_figure(figure, path)


class LossPicture:
    """The losses of the run in `folder` as its loss.svg and loss.png.

    Where matplotlib is not installed nothing is drawn, and `noted` is told so once.
    """

    def __init__(self, folder: Path, noted: Callable[[str], None], *, title: str, unit: str = "nats per token") -> None:
        self._folder, self._noted, self._title, self._unit = folder, noted, title, unit
        self._possible = True

    def draw(self, sample: str = "") -> None:
        """Draw all evaluations so far, with what the model writes beneath them."""
        if not self._possible:
            return
        rows = read_metrics(self._folder / "metrics.jsonl")
        try:
            draw_losses(rows, self._folder / "loss", title=self._title, sample=sample, unit=self._unit)
        except MissingExtraError as error:
            self._possible = False
            self._noted(f"loss.svg and loss.png are not drawn: {error}")
