"""What a person sees while a model trains: a live bar in a terminal, plain lines elsewhere."""

import math
import time
from typing import TYPE_CHECKING

from ostinato.evaluation import figure, perplexity
from ostinato.settings import ResolvedTraining
from ostinato.terminal import draw, erase, in_notebook, is_live, note
from ostinato.training.observers import Observer, Row

if TYPE_CHECKING:
    from ostinato.training.checkpoint import Position

_BAR_CELLS = 24
_REDRAW_SECONDS = 0.2
_LINE_SECONDS = 10.0


def duration(seconds: float) -> str:
    """`75` becomes `1:15`."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def evaluation_line(row: Row, best: bool, *, over_candidates: bool = False) -> str:
    """One line that says how an evaluation came out, and on which split; `over_candidates` is of the training loss."""
    parts = [f"step {row.step}", f"epoch {row.epoch:.2f}", duration(row.seconds)]
    if row.scores:
        parts += [] if math.isnan(row.train_loss) else [f"training loss {row.train_loss:.4f}"]
        parts += [] if row.heldout_loss is None else [f"held-out loss {row.heldout_loss:.4f}"]
        parts += [f"{name.replace('heldout', 'held-out').replace('_', ' ')} {v:.4g}" for name, v in row.scores.items()]
        return " · ".join(parts) + (" · best" if best else "")
    if not math.isnan(row.train_loss):
        meaning = "over candidates" if over_candidates else f"perplexity {figure(perplexity(row.train_loss))}"
        parts.append(f"training loss {row.train_loss:.3f} ({meaning})")
    if row.heldout_loss is not None:
        parts.append(f"held-out loss {row.heldout_loss:.3f} (perplexity {figure(perplexity(row.heldout_loss))})")
    return " · ".join(parts) + (" · best" if best else "")


class Progress(Observer):
    """Writes to standard error: a bar that is redrawn in a terminal or a notebook, else a line now and then.

    A notebook has the bar alone, which says what the last evaluation gave; it has no lines above it.
    """

    def __init__(self) -> None:
        self._notebook = in_notebook()
        self._live = self._notebook or is_live()
        self._width = 0
        self._over_candidates = False
        self._drawn = 0.0
        self._first: tuple[float, float] | None = None
        self._loss = math.nan
        self._heldout: float | None = None
        self._rate = (0.0, 0)

    def started(self, settings: ResolvedTraining, position: "Position") -> None:
        """Note whether the training loss will be over candidates, and so no logarithm of a perplexity."""
        self._over_candidates = settings.candidates > 0
        if self._live:
            self._draw("the first minibatch ...")

    def stepped(self, position: "Position", loss: float, progress: float) -> None:
        """Note a minibatch and redraw if it is time."""
        now = time.perf_counter()
        if self._first is None:
            self._first, self._rate = (now, progress), (now, position.tokens)
        if math.isfinite(loss):
            self._loss = loss if math.isnan(self._loss) else 0.98 * self._loss + 0.02 * loss
        if now - self._drawn < (_REDRAW_SECONDS if self._live else _LINE_SECONDS) and progress < 1.0:
            return
        if self._drawn == 0.0 and not self._live:
            self._drawn = now  # the first line comes after _LINE_SECONDS, when it can say something
            return
        self._drawn = now
        self._draw(self._status(position, progress, now))

    def _status(self, position: "Position", progress: float, now: float) -> str:
        started, from_progress = self._first or (now, progress)
        left = (now - started) * (1 - progress) / max(progress - from_progress, 1e-9)
        since, tokens = self._rate
        rate = (position.tokens - tokens) / max(now - since, 1e-9)
        if now - since > 5.0:
            self._rate = (now, position.tokens)
        from ostinato.layers.threads import threads_in_use  # torch is there by now

        count = threads_in_use()
        threads = "1 thread" if count == 1 else f"{count} threads"
        filled = round(progress * _BAR_CELLS)
        bar = "█" * filled + "░" * (_BAR_CELLS - filled)
        heldout = "" if self._heldout is None else f" · held-out perplexity {figure(perplexity(self._heldout))}"
        return (
            f"{bar} {100 * progress:3.0f} % · loss {self._loss:.3f}{heldout} · "
            f"{rate:,.0f} tokens/s on {threads} · {duration(left)} left"
        )

    def _draw(self, text: str) -> None:
        if self._notebook:  # which knows no escape sequences
            text = text[:110]
            note("\r" + text + " " * (self._width - len(text)), end="")
            self._width = len(text)
        elif self._live:
            draw(text)
        else:
            note(text.lstrip("█░ "))

    def evaluated(self, row: Row, best: bool) -> None:
        """Print the evaluation on a line of its own."""
        self._heldout = None if row.scores else row.heldout_loss
        self.noted(evaluation_line(row, best, over_candidates=self._over_candidates))

    def noted(self, text: str) -> None:
        """Print a line (or several) above the bar; in a notebook, the first of them in its place."""
        if self._notebook:
            self._draw(text.strip().partition("\n")[0])
            return
        note(text)
        self._drawn = 0.0 if self._live else self._drawn

    def finished(self) -> None:
        """Leave the bar's line."""
        if self._notebook:
            note()
        else:
            erase()
