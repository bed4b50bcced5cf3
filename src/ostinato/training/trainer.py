"""The training loop: truncated back-propagation through time, evaluation, early stopping, exact checkpoints."""

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from ostinato.errors import TrainingError
from ostinato.layers.threads import training_threads, wanted_threads
from ostinato.models.device import autocast
from ostinato.randomness import mix
from ostinato.settings import ResolvedTraining
from ostinato.terminal import activity
from ostinato.training.averaging import Average
from ostinato.training.checkpoint import Checkpoint, Position, load_checkpoint, save_checkpoint
from ostinato.training.observers import Observer, Observers, Row
from ostinato.training.optimizers import (
    build_optimizer,
    clipped_step,
    load_optimizer_tensors,
    optimizer_tensors,
    set_learning_rate,
)
from ostinato.training.schedules import Budget, schedule_factor
from ostinato.training.team import ALONE, Team

CHECKPOINT_SECONDS = 60.0
ROWS = 24
"""Rows that are reported over a run at least, however seldom it is evaluated."""
SKIPS_ALLOWED = 10


class Batches(Protocol):
    """The minibatches of one epoch; minibatch k can be asked for directly."""

    @property
    def carries_state(self) -> bool:
        """Whether row i of minibatch k+1 continues row i of minibatch k."""

    def __len__(self) -> int: ...

    def __getitem__(self, k: int) -> Sequence[Any]:
        """NumPy arrays: the arguments of the model's `loss`."""


class TrainingData(Protocol):
    """What a model learns from and is judged on. `LanguageData` is a text, `tasks.data.TaskData` records."""

    def epoch(self, number: int) -> Batches:
        """The minibatches of an epoch: a function of its number alone, and always as many."""

    def targets(self, batch: Sequence[Any]) -> int:
        """How many targets the loss of a minibatch is the mean of."""

    def evaluate(self) -> tuple[float | None, dict[str, float]]:
        """Mean loss over what is held out, None if nothing is; and other scores by name. The model is as it was."""


class Trainable(Protocol):
    """What a trainer asks of a model, beside being a torch.nn.Module."""

    def loss(self, *batch: Any) -> tuple[torch.Tensor, Any]:
        """The arrays of a minibatch, then a state or None: the mean loss and the new state."""

    def detach(self, state: Any) -> Any:
        """The state as a constant."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended: `finished`, `early` (no improvement), or `interrupted`."""

    reason: str
    position: Position


class Trainer:
    """Trains one model (a torch.nn.Module that is `Trainable`) on its data.

    The model's randomness (dropout) and the order of the minibatches are functions of (seed, step): with the tensors
    and the position of a checkpoint, a run goes on as if it had not stopped, on any number of `threads` (None:
    OSTINATO_THREADS, else torch's number). Of a `team`, each member has a trainer,
    whose data is its share of every minibatch.
    """

    def __init__(
        self,
        model: Any,
        data: TrainingData,
        settings: ResolvedTraining,
        *,
        folder: Path,
        device: torch.device,
        observers: Sequence[Observer] = (),
        run: dict[str, Any] | None = None,
        team: Team = ALONE,
        threads: int | None = None,
    ) -> None:
        self.model, self.settings, self.folder, self.device, self.team = model, settings, folder, device, team
        self.data, self.run_description, self.threads = data, run or {}, wanted_threads(threads)
        self.observers = Observers(observers if team.rank == 0 else ())
        self.position = Position()
        self.interrupted = False
        """Set (from a signal handler, say) to stop after the minibatch in progress."""
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        graded = settings.layer_rates != 1.0 or settings.unfreeze > 0.0
        levels = model.levels() if graded else None
        self.optimizer = build_optimizer(model.parameters(), settings, settings.learning_rate, levels)
        self.average = Average(model, settings.averaging) if settings.averaging else None
        self.state: Any = None
        self.steps_per_epoch = len(data.epoch(0))
        steps = settings.steps if settings.steps is not None else None
        if settings.epochs is not None:
            by_epochs = max(1, round(settings.epochs * self.steps_per_epoch))
            steps = by_epochs if steps is None else min(steps, by_epochs)
        self.budget = Budget(steps, 60.0 * settings.minutes if settings.minutes is not None else None)
        if steps is None and settings.minutes is None:
            raise TrainingError("no budget is set: give minutes, epochs or steps")
        every = settings.evaluate_every if settings.evaluate_every else 1.0
        self.evaluate_steps = max(1, round(every * self.steps_per_epoch))

    def resume(self) -> None:
        """Go on from the checkpoint in the output folder. Raises TrainingError when there is none."""
        checkpoint = load_checkpoint(self.folder / "checkpoint")
        parts: dict[str, dict[str, torch.Tensor]] = {"model": {}, "optimizer": {}, "average": {}, "state": {}}
        for name, tensor in checkpoint.tensors.items():
            part, rest = name.split(".", 1)
            parts[part][rest] = tensor.to(self.device) if part != "optimizer" else tensor
        self.model.load_state_dict(parts["model"])
        load_optimizer_tensors(self.optimizer, parts["optimizer"])
        if self.average is not None:
            self.average.load(parts["average"])
        state = self.team.own(tuple(parts["state"][key] for key in sorted(parts["state"])))
        self.state = None if not state else state[0] if len(state) == 1 else state
        self.position = checkpoint.position

    def save(self) -> None:
        """Write the checkpoint, atomically."""
        state = () if self.state is None else self.state if isinstance(self.state, tuple) else (self.state,)
        state = self.team.gather(state)
        if self.team.rank:
            return
        parts = {
            "model": self.model.state_dict(),
            "optimizer": optimizer_tensors(self.optimizer),
            "average": self.average.tensors() if self.average is not None else {},
            "state": {str(k): tensor for k, tensor in enumerate(state)},
        }
        tensors = {f"{part}.{name}": tensor for part, entries in parts.items() for name, tensor in entries.items()}
        with activity("saving a checkpoint"):
            save_checkpoint(self.folder / "checkpoint", Checkpoint(tensors, self.position, self.run_description))

    def train(self) -> Outcome:
        """Train until the budget is used, no evaluation improves any more, or `interrupted` is set."""
        with training_threads(self.model, self.device, self.threads):
            return self._train()

    def _train(self) -> Outcome:
        self.observers.started(self.settings, self.position)
        clock = _Clock(self.position, self.team)
        outcome = None
        if self.settings.patience and self.position.stale >= self.settings.patience:
            outcome = Outcome("early", self.position)
        while outcome is None:
            outcome = self._epoch(clock)
        self.observers.finished()
        return outcome

    def _epoch(self, clock: "_Clock") -> Outcome | None:
        """The rest of an epoch, from the position on; the outcome if training ends in it."""
        p, patience = self.position, self.settings.patience
        epoch = self.data.epoch(p.epoch)
        while p.batch < len(epoch):
            progress, self.interrupted = self.budget.progress(p.step, p.seconds), clock.stops(self.interrupted)
            if progress >= 1.0 or self.interrupted:
                return self._end(clock)
            loss = self._step(epoch[p.batch], progress, epoch.carries_state)
            p.step, p.batch = p.step + 1, p.batch + 1
            clock.read(self.interrupted)
            self.observers.stepped(p, loss, self.budget.progress(p.step, p.seconds))
            if p.step % self.evaluate_steps == 0:
                self._evaluate_and_save(clock)
                if patience and p.stale >= patience:
                    return Outcome("early", p)
                continue
            self._log(clock)
            if p.seconds - clock.saved > CHECKPOINT_SECONDS:
                self._save_at(clock)
        p.epoch, p.batch, self.state = p.epoch + 1, 0, None
        return None

    def _log(self, clock: "_Clock") -> None:
        """Report the training loss, if a part of the run has passed without a row."""
        p = self.position
        part = self._part()
        if part > p.row_part and p.row_tokens and part < ROWS:  # the end is evaluated
            self.observers.logged(self._row(p.row_sum / p.row_tokens, None, clock.rate(), {}))
            p.row_part, p.row_sum, p.row_tokens = part, 0.0, 0

    def _part(self) -> int:
        """How many of ROWS parts of the run are over."""
        return math.floor(ROWS * min(self.budget.progress(self.position.step, self.position.seconds), 1.0))

    def _row(self, train_loss: float, heldout: float | None, tokens_per_second: float, scores: dict[str, float]) -> Row:
        p = self.position
        return Row(p.step, p.epoch + p.batch / self.steps_per_epoch, round(p.seconds, 3), p.tokens, train_loss, heldout,
                   self.optimizer.param_groups[0]["lr"], round(tokens_per_second, 1), scores)  # fmt: skip

    def _end(self, clock: "_Clock") -> Outcome:
        """The budget is used, or someone asked to stop."""
        p = self.position
        if self.interrupted:
            self.save()  # before the evaluation, which an uninterrupted run would not have made here
            if p.best_step == 0:  # a model to write with; else `model/` stays what it would have been
                self._evaluate(0.0)
            return Outcome("interrupted", p)
        resumed_there = bool(p.step) and not p.loss_tokens  # it was evaluated, and then killed before it ended
        if clock.evaluated != p.step and not resumed_there:
            self._evaluate_and_save(clock)
        return Outcome("finished", p)

    def _evaluate_and_save(self, clock: "_Clock") -> None:
        self._evaluate(clock.rate())
        clock.read(self.interrupted)
        clock.mark()
        self._save_at(clock)

    def _save_at(self, clock: "_Clock") -> None:
        self.save()
        clock.read(self.interrupted)
        clock.saved = self.position.seconds

    def _step(self, batch: Sequence[Any], progress: float, carries_state: bool) -> float:
        """One minibatch: forward, backward, clip, update. Returns its mean loss."""
        s, p = self.settings, self.position
        torch.manual_seed(mix(mix(s.seed) ^ p.step) >> 1)  # torch takes 63 bits
        if p.batch == 0:
            p.loss_sum, p.loss_tokens = 0.0, 0
        rate = s.learning_rate * schedule_factor(s.schedule, progress, s.warmup) * s.plateau_factor**p.plateau.cuts
        set_learning_rate(self.optimizer, rate, s, progress)
        self.model.train()
        arrays = [torch.from_numpy(a).to(self.device) for a in batch]
        self.optimizer.zero_grad(set_to_none=True)  # before the loss, which comes with its gradient
        with autocast(s.precision, self.device):
            mean, state = self.model.loss(*arrays, self.state if carries_state else None)
        mean.backward()
        loss, count = self.team.reduce(self.parameters, float(mean.detach()), self.data.targets(batch))
        norm = clipped_step(self.optimizer, s.clip) if math.isfinite(loss) else math.nan
        if not math.isfinite(norm):
            self._skip(loss, norm)
            return loss
        p.skipped_in_a_row = 0
        if self.average is not None:
            self.average.update(self.model, p.step)
        self.state = self.model.detach(state) if carries_state else None
        p.tokens += count
        p.loss_sum, p.loss_tokens = p.loss_sum + loss * count, p.loss_tokens + count
        p.row_sum, p.row_tokens = p.row_sum + loss * count, p.row_tokens + count
        return loss

    def _skip(self, loss: float, norm: float) -> None:
        """Count a minibatch whose loss or gradient is not finite; its gradient never reaches the weights."""
        p = self.position
        p.skipped, p.skipped_in_a_row, self.state = p.skipped + 1, p.skipped_in_a_row + 1, None
        if p.skipped_in_a_row == 1:
            what = f"its gradient's norm {norm}" if math.isfinite(loss) else f"loss {loss}"
            self.observers.noted(f"step {p.step}: {what}: minibatch skipped")
        if p.skipped_in_a_row >= SKIPS_ALLOWED:
            raise self._diverged(f"the loss or its gradient was not finite {SKIPS_ALLOWED} times in a row")

    def _diverged(self, what: str) -> TrainingError:
        return TrainingError(
            f"training diverged: {what} (step {self.position.step}); lower training.learning_rate, "
            "or clip gradients with training.clip"
        )

    def _evaluate(self, tokens_per_second: float) -> None:
        s, p = self.settings, self.position
        with self._evaluated_weights():
            with activity("evaluating"):
                heldout, scores = self.data.evaluate()
            heldout = self.team.lead(heldout)
            if heldout is not None and math.isnan(heldout):
                raise self._diverged("the held-out loss is not a number")
            train = p.loss_sum / p.loss_tokens if p.loss_tokens else math.nan
            judged = train if heldout is None else heldout
            best = judged < p.best_loss or p.best_step == 0
            if best:
                p.best_loss, p.best_step, p.stale = judged if math.isfinite(judged) else math.inf, p.step, 0
            else:
                p.stale += 1
            p.plateau.observe(judged, s.plateau_patience if s.schedule == "plateau" else 1 << 60)
            self.observers.evaluated(self._row(train, heldout, tokens_per_second, scores), best)
        p.loss_sum, p.loss_tokens = 0.0, 0
        p.row_part, p.row_sum, p.row_tokens = self._part(), 0.0, 0

    @contextlib.contextmanager
    def _evaluated_weights(self) -> Iterator[None]:
        """Inside, the model holds the weights that are judged and saved: the average's, if one is kept."""
        with self.average.applied(self.model) if self.average is not None else contextlib.nullcontext():
            yield


class _Clock:
    """Writes the seconds of a run, those before a resume included, into its position; a team goes by rank 0's."""

    def __init__(self, position: Position, team: Team) -> None:
        self._position, self._team = position, team
        self._started = time.perf_counter() - position.seconds
        self._stop = False
        self.saved = position.seconds if position.step else -math.inf
        """When the last checkpoint was written; a new run has one after its first minibatch."""
        self.evaluated = -1
        """The step of the last evaluation."""
        self._mark = position.tokens, position.seconds

    def read(self, interrupted: bool) -> None:
        """Set the position's seconds; remember whether any member of the team was interrupted."""
        p = self._position
        p.seconds, self._stop = self._team.agree(time.perf_counter() - self._started, interrupted)

    def stops(self, interrupted: bool) -> bool:
        """Whether the team stops before the next step: what all agreed on when the clock was read."""
        return self._stop if self._team.size > 1 else interrupted

    def rate(self) -> float:
        """Tokens per second since the last mark."""
        p = self._position
        return (p.tokens - self._mark[0]) / max(p.seconds - self._mark[1], 1e-9)

    def mark(self) -> None:
        """An evaluation is done."""
        p = self._position
        self._mark, self.evaluated = (p.tokens, p.seconds), p.step
