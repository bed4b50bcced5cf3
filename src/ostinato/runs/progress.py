"""What a person sees while a model trains: a live bar in a terminal, plain lines elsewhere."""

import math
import time

from ostinato.terminal import draw, erase, is_live, note
from ostinato.training.checkpoint import Position
from ostinato.training.metrics import Row

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
        meaning = "over candidates" if over_candidates else f"perplexity {math.exp(min(row.train_loss, 700)):.2f}"
        parts.append(f"training loss {row.train_loss:.3f} ({meaning})")
    if row.heldout_loss is not None:
        parts.append(f"held-out loss {row.heldout_loss:.3f} (perplexity {math.exp(min(row.heldout_loss, 700)):.2f})")
    return " · ".join(parts) + (" · best" if best else "")


class Progress:
    """Writes to standard error: a bar that is redrawn when it is a terminal, else a line now and then."""

    over_candidates = False
    """Whether the training loss is over candidates (models.candidates), and so no logarithm of a perplexity."""

    def __init__(self) -> None:
        self._live = is_live()
        self._drawn = 0.0
        self._first: tuple[float, float] | None = None
        self._loss = math.nan
        self._heldout: float | None = None
        self._rate = (0.0, 0)

    def stepped(self, position: Position, loss: float, progress: float) -> None:
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

    def _status(self, position: Position, progress: float, now: float) -> str:
        assert self._first is not None
        started, from_progress = self._first
        left = (now - started) * (1 - progress) / max(progress - from_progress, 1e-9)
        since, tokens = self._rate
        rate = (position.tokens - tokens) / max(now - since, 1e-9)
        if now - since > 5.0:
            self._rate = (now, position.tokens)
        filled = round(progress * _BAR_CELLS)
        bar = "█" * filled + "░" * (_BAR_CELLS - filled)
        heldout = "" if self._heldout is None else f" · held-out perplexity {math.exp(min(self._heldout, 700)):.2f}"
        return (
            f"{bar} {100 * progress:3.0f} % · loss {self._loss:.3f}{heldout} · "
            f"{rate:,.0f} tokens/s · {duration(left)} left"
        )

    def _draw(self, text: str) -> None:
        if self._live:
            draw(text)
        else:
            note(text.lstrip("█░ "))

    def evaluated(self, row: Row, best: bool) -> None:
        """Print the evaluation on a line of its own."""
        self._heldout = None if row.scores else row.heldout_loss
        self.noted(evaluation_line(row, best, over_candidates=self.over_candidates))

    def noted(self, text: str) -> None:
        """Print a line (or several) above the bar."""
        note(text)
        self._drawn = 0.0 if self._live else self._drawn

    def finished(self) -> None:
        """Leave the bar's line."""
        erase()


class Silent:
    """Says nothing."""

    over_candidates = False

    def stepped(self, position: Position, loss: float, progress: float) -> None:
        """Say nothing."""

    def evaluated(self, row: Row, best: bool) -> None:
        """Say nothing."""

    def noted(self, text: str) -> None:
        """Say nothing."""

    def finished(self) -> None:
        """Say nothing."""
