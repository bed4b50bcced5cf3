"""The loss curve of a run, as SVG and PNG, with a sample text beneath it that shows CJK characters correctly."""

import importlib.util
import io
import logging
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.errors import MissingExtraError, needs
from ostinato.files import write_file
from ostinato.terminal import activity, note, one_line, visible
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


def drawn(path: Path, width: float, height: float, draw: "Callable[[Figure], None]") -> bool:
    """Whether there is a `picture` of what `draw` draws on a figure; a note says why there is none, but nothing is said
    where matplotlib is not installed."""
    try:
        with picture(path, width, height) as figure:
            draw(figure)
    except MissingExtraError:
        return False
    except Exception as error:  # whatever a drawing library, a font or a disk comes up with: it is only a picture
        note(f"{path.name}.svg and {path.name}.png could not be drawn: {one_line(str(error) or type(error).__name__)}")
        return False
    return True


@contextmanager
def picture(path: Path, width: float, height: float) -> Iterator["Figure"]:
    """An empty figure (inches), saved as `path`.svg and `path`.png when the caller has drawn on it.

    Text falls back to the CJK font where the usual one lacks a character, and `$` is a dollar. matplotlib's own
    settings, its backend and its fonts are what they were, and the caller's style is not used.
    Each file is written whole or not at all. Raises MissingExtraError where matplotlib is not installed, OSError, and
    what matplotlib raises.
    """
    with needs("train", "a picture"):
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

    with _style(matplotlib), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # without mplfonts: boxes, but a picture
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        _without_mathematics(figure)
        drawn = io.BytesIO()
        FigureCanvasSVG(figure).print_svg(drawn, metadata={"Date": None})  # type: ignore[no-untyped-call]
        write_file(path.with_suffix(".svg"), drawn.getvalue())
        figure.dpi, drawn = 150, io.BytesIO()
        FigureCanvasAgg(figure).print_png(drawn)  # type: ignore[no-untyped-call]
        write_file(path.with_suffix(".png"), drawn.getvalue())


@contextmanager
def _style(matplotlib: Any) -> Iterator[None]:
    """Inside, matplotlib's default settings with our fonts; afterwards those from before."""
    from matplotlib import font_manager

    logger = logging.getLogger("matplotlib.font_manager")
    level, fonts = logger.level, list(font_manager.fontManager.ttflist)
    settings = {k: v for k, v in matplotlib.rcParamsDefault.items() if not k.startswith("backend")}
    families = ["DejaVu Sans"]
    try:
        logger.setLevel(logging.ERROR)
        if (font := cjk_font()) is not None:
            font_manager.fontManager.addfont(font)
            families.append(font_manager.FontProperties(fname=str(font)).get_name())
        ours = {"font.family": families, "svg.fonttype": "path", "svg.hashsalt": "ostinato"}
        with matplotlib.rc_context({**settings, **ours}):  # "path": the same picture where the font is not installed
            yield
    finally:
        logger.setLevel(level)
        font_manager.fontManager.ttflist[:] = fonts


def _without_mathematics(figure: "Figure") -> None:
    """Take every text as it is written, but for the numbers on the axes, which may be powers."""
    from matplotlib.text import Text

    numbers = [label for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for label in axis.get_ticklabels()]
    for text in figure.findobj(Text):
        if text not in numbers:
            text.set_parse_math(False)


def draw_losses(
    rows: Iterable[Mapping[str, Any]], path: Path, *, title: str, sample: str = "", unit: str = "nats per token"
) -> None:
    """Draw training and held-out loss (in `unit`) against minutes as `path`.svg and `path`.png."""
    rows = list(rows)
    lines = [fit(visible(line), 76) for line in sample.splitlines()[:8]]
    with picture(path, 7.2, 4.2 + 0.24 * len(lines)) as figure:
        _draw_losses(figure, rows, lines, title, unit)


def _draw_losses(
    figure: "Figure", rows: Sequence[Mapping[str, Any]], lines: Sequence[str], title: str, unit: str
) -> None:
    axes = figure.add_subplot()
    for key, label, colour in (("train_loss", "training", "#8a8a8a"), ("heldout_loss", "held-out", "#b5322f")):
        points = [(r["seconds"] / 60, r[key]) for r in rows if r.get(key) is not None and math.isfinite(r[key])]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, color=colour, linewidth=1.8, marker=".", markersize=5)
    axes.set_xlabel("minutes")
    axes.set_ylabel(f"loss ({unit})")
    axes.set_title(fit(visible(title), 80), fontsize=11)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if axes.lines:
        axes.legend(loc="upper right", frameon=False)
    if lines:
        figure.supxlabel("\n".join(lines), fontsize=9, ha="left", x=0.08, color="#333333", linespacing=1.5)


class LossPicture:
    """The losses of the run in `folder` as its loss.svg and loss.png.

    Where it cannot be drawn (matplotlib is not installed, or has a backend it does not know; the folder cannot be
    written) `noted` is told so once, and the run goes on.
    """

    def __init__(self, folder: Path, noted: Callable[[str], None], *, title: str, unit: str = "nats per token") -> None:
        self._folder, self._noted, self._title, self._unit = folder, noted, title, unit
        self._possible = True

    def draw(self, sample: str = "") -> None:
        """Draw all evaluations so far, with what the model writes beneath them."""
        with activity("drawing the loss curves"):
            self._draw(sample)

    def _draw(self, sample: str) -> None:
        if not self._possible:
            return
        try:
            rows = read_metrics(self._folder / "metrics.jsonl")
            draw_losses(rows, self._folder / "loss", title=self._title, sample=sample, unit=self._unit)
        except Exception as error:  # whatever a drawing library, a font or a disk comes up with: it is only a picture
            self._possible = False
            self._noted(f"loss.svg and loss.png could not be drawn: {one_line(str(error) or type(error).__name__)}")
