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
from ostinato.generation.random import mix
from ostinato.models.device import autocast
from ostinato.settings import TrainingSettings
from ostinato.training.averaging import Average
from ostinato.training.checkpoint import Checkpoint, Position, load_checkpoint, save_checkpoint
from ostinato.training.metrics import MetricsFile, Row
from ostinato.training.optimizers import (
    build_optimizer,
    clipped_step,
    load_optimizer_tensors,
    optimizer_tensors,
    set_learning_rate,
)
from ostinato.training.schedules import Budget, schedule_factor

CHECKPOINT_SECONDS = 60.0
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


class Watcher(Protocol):
    """Who is told how training goes: progress bars, pictures, saved models."""

    def stepped(self, position: Position, loss: float, progress: float) -> None:
        """One minibatch is done; `loss` is its mean in nats per token, `progress` the share of the budget used."""

    def evaluated(self, row: Row, best: bool) -> None:
        """The weights in place are the ones evaluated; `best` says whether they are the best so far."""

    def noted(self, text: str) -> None:
        """Something the user should know."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended: `finished`, `early` (no improvement), or `interrupted`."""

    reason: str
    position: Position


class Trainer:
    """Trains one model (a torch.nn.Module that is `Trainable`) on its data.

    The settings are resolved: no field of `TrainingSettings` that the loop uses is None. The model's randomness
    (dropout) and the order of the minibatches are functions of (seed, step): with the tensors and the position of a
    checkpoint, a run goes on as if it had not stopped.
    """

    def __init__(
        self,
        model: Any,
        data: TrainingData,
        settings: TrainingSettings,
        *,
        folder: Path,
        device: torch.device,
        watcher: Watcher,
        run: dict[str, Any] | None = None,
    ) -> None:
        self.model, self.settings, self.folder, self.device, self.watcher = model, settings, folder, device, watcher
        self.data, self.run_description = data, run or {}
        self.position = Position()
        self.interrupted = False
        """Set (from a signal handler, say) to stop after the minibatch in progress."""
        assert settings.learning_rate is not None
        self.optimizer = build_optimizer(model.parameters(), settings, settings.learning_rate)
        self.average = Average(model, settings.averaging) if settings.averaging else None
        self.state: Any = None
        self.steps_per_epoch = len(data.epoch(0))
        steps = settings.steps if settings.steps is not None else None
        if settings.epochs is not None:
            by_epochs = max(1, round(settings.epochs * self.steps_per_epoch))
            steps = by_epochs if steps is None else min(steps, by_epochs)
        self.budget = Budget(steps, 60.0 * settings.minutes if settings.minutes is not None else None)
        if steps is None and settings.minutes is None:
            raise TrainingError("no end is set: give minutes, epochs or steps")
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
        state = [parts["state"][key] for key in sorted(parts["state"])]
        self.state = None if not state else state[0] if len(state) == 1 else tuple(state)
        self.position = checkpoint.position

    def save(self) -> None:
        """Write the checkpoint, atomically."""
        state = () if self.state is None else self.state if isinstance(self.state, tuple) else (self.state,)
        parts = {
            "model": self.model.state_dict(),
            "optimizer": optimizer_tensors(self.optimizer),
            "average": self.average.tensors() if self.average is not None else {},
            "state": {str(k): tensor for k, tensor in enumerate(state)},
        }
        tensors = {f"{part}.{name}": tensor for part, entries in parts.items() for name, tensor in entries.items()}
        save_checkpoint(self.folder / "checkpoint", Checkpoint(tensors, self.position, self.run_description))

    def train(self) -> Outcome:
        """Train until the budget is used, no evaluation improves any more, or `interrupted` is set."""
        metrics = MetricsFile(self.folder / "metrics.jsonl")
        started = last_saved = time.perf_counter()
        base_seconds = self.position.seconds
        evaluated_at, mark = -1, (self.position.tokens, self.position.seconds)

        def evaluate() -> None:
            nonlocal evaluated_at, mark, last_saved
            p = self.position
            evaluated_at = p.step
            rate = (p.tokens - mark[0]) / max(p.seconds - mark[1], 1e-9)
            self._evaluate(metrics, rate)
            p.seconds = base_seconds + time.perf_counter() - started
            mark = (p.tokens, p.seconds)
            self.save()
            last_saved = time.perf_counter()

        if self.settings.patience and self.position.stale >= self.settings.patience:
            return Outcome("early", self.position)
        while True:
            epoch = self.data.epoch(self.position.epoch)
            while self.position.batch < len(epoch):
                progress = self.budget.progress(self.position.step, self.position.seconds)
                if progress >= 1.0 or self.interrupted:
                    break
                loss = self._step(epoch[self.position.batch], progress, epoch.carries_state)
                p = self.position
                p.step, p.batch = p.step + 1, p.batch + 1
                p.seconds = base_seconds + time.perf_counter() - started
                self.watcher.stepped(p, loss, self.budget.progress(p.step, p.seconds))
                if p.step % self.evaluate_steps == 0:
                    evaluate()
                    if self.settings.patience and p.stale >= self.settings.patience:
                        return Outcome("early", p)
                elif time.perf_counter() - last_saved > CHECKPOINT_SECONDS:
                    self.save()
                    last_saved = time.perf_counter()
            else:
                p = self.position
                p.epoch, p.batch, self.state = p.epoch + 1, 0, None
                continue
            break
        if self.interrupted:
            self.save()  # before the evaluation, which an uninterrupted run would not have made here
            if self.position.best_step == 0:  # a model to write with; else `model/` stays what it would have been
                self._evaluate(metrics, 0.0)
            return Outcome("interrupted", self.position)
        if evaluated_at != self.position.step:
            evaluate()
        return Outcome("finished", self.position)

    def _step(self, batch: Sequence[Any], progress: float, carries_state: bool) -> float:
        """One minibatch: forward, backward, clip, update. Returns its mean loss."""
        s, p = self.settings, self.position
        torch.manual_seed(mix(mix(s.seed) ^ p.step) >> 1)  # torch takes 63 bits
        if p.batch == 0:
            p.loss_sum, p.loss_tokens = 0.0, 0
        assert s.learning_rate is not None
        rate = s.learning_rate * schedule_factor(s.schedule, progress, s.warmup) * s.plateau_factor**p.plateau.cuts
        set_learning_rate(self.optimizer, rate)
        self.model.train()
        arrays = [torch.from_numpy(a).to(self.device) for a in batch]
        self.optimizer.zero_grad(set_to_none=True)  # before the loss, which comes with its gradient
        with autocast(s.precision, self.device):
            mean, state = self.model.loss(*arrays, self.state if carries_state else None)
        mean.backward()
        loss = float(mean.detach())
        norm = clipped_step(self.optimizer, s.clip) if math.isfinite(loss) else math.nan
        if not math.isfinite(norm):
            self._skip(loss, norm)
            return loss
        p.skipped_in_a_row = 0
        if self.average is not None:
            self.average.update(self.model, p.step)
        self.state = self.model.detach(state) if carries_state else None
        count = self.data.targets(batch)
        p.tokens += count
        p.loss_sum, p.loss_tokens = p.loss_sum + loss * count, p.loss_tokens + count
        return loss

    def _skip(self, loss: float, norm: float) -> None:
        """Count a minibatch whose loss or gradient is not finite; its gradient never reaches the weights."""
        p = self.position
        p.skipped, p.skipped_in_a_row, self.state = p.skipped + 1, p.skipped_in_a_row + 1, None
        if p.skipped_in_a_row == 1:
            what = f"its gradient's norm {norm}" if math.isfinite(loss) else f"loss {loss}"
            self.watcher.noted(f"step {p.step}: {what}: minibatch skipped")
        if p.skipped_in_a_row >= SKIPS_ALLOWED:
            raise TrainingError(
                f"training diverged: the loss or its gradient was not finite {SKIPS_ALLOWED} times in a row "
                f"(step {p.step}); lower training.learning_rate, or clip gradients with training.clip"
            )

    def _evaluate(self, metrics: MetricsFile, tokens_per_second: float) -> None:
        s, p = self.settings, self.position
        with self._evaluated_weights():
            heldout, scores = self.data.evaluate()
            train = p.loss_sum / p.loss_tokens if p.loss_tokens else math.nan
            judged = train if heldout is None else heldout
            best = judged < p.best_loss or p.best_step == 0
            if best:
                p.best_loss, p.best_step, p.stale = judged if math.isfinite(judged) else math.inf, p.step, 0
            else:
                p.stale += 1
            p.plateau.observe(judged, s.plateau_patience if s.schedule == "plateau" else 1 << 60)
            row = Row(p.step, p.epoch + p.batch / self.steps_per_epoch, round(p.seconds, 3), p.tokens, train, heldout,
                      self.optimizer.param_groups[0]["lr"], round(tokens_per_second, 1), scores)  # fmt: skip
            metrics.append(row)
            self.watcher.evaluated(row, best)
        p.loss_sum, p.loss_tokens = 0.0, 0

    @contextlib.contextmanager
    def _evaluated_weights(self) -> Iterator[None]:
        """Inside, the model holds the weights that are judged and saved: the average's, if one is kept."""
        with self.average.applied(self.model) if self.average is not None else contextlib.nullcontext():
            yield
