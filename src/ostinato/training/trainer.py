"""The training loop: truncated back-propagation through time, evaluation, early stopping, exact checkpoints."""

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from ostinato.batching import Minibatches, minibatches
from ostinato.errors import TrainingError
from ostinato.models.device import autocast
from ostinato.models.language_model import LanguageModel
from ostinato.models.step import TorchStepModel
from ostinato.protocols import Ids
from ostinato.settings import TrainingSettings
from ostinato.training.averaging import Average
from ostinato.training.checkpoint import Checkpoint, Position, load_checkpoint, save_checkpoint
from ostinato.training.metrics import MetricsFile, Row
from ostinato.training.optimizers import (
    build_optimizer,
    load_optimizer_tensors,
    optimizer_tensors,
    set_learning_rate,
)
from ostinato.training.schedules import Budget, schedule_factor

CHECKPOINT_SECONDS = 60.0
SKIPS_ALLOWED = 10
_ROWS, _TOKENS_A_ROW = 32, 512
"""A held-out split is scored as this many rows side by side, each of at least so many tokens."""


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
    """Trains one language model on one array of ids.

    The settings are resolved: no field of `TrainingSettings` that the loop uses is None. The model's randomness
    (dropout) and the order of the minibatches are functions of (seed, step): with the tensors and the position of a
    checkpoint, a run goes on as if it had not stopped.
    """

    def __init__(
        self,
        model: LanguageModel,
        train_ids: Ids,
        heldout_ids: Ids,
        settings: TrainingSettings,
        *,
        folder: Path,
        device: torch.device,
        watcher: Watcher,
        run: dict[str, Any] | None = None,
    ) -> None:
        self.model, self.settings, self.folder, self.device, self.watcher = model, settings, folder, device, watcher
        self.train_ids, self.heldout_ids, self.run_description = train_ids, heldout_ids, run or {}
        self.position = Position()
        self.interrupted = False
        """Set (from a signal handler, say) to stop after the minibatch in progress."""
        assert settings.learning_rate is not None
        self.optimizer = build_optimizer(model.parameters(), settings, settings.learning_rate)
        self.average = Average(model, settings.averaging) if settings.averaging else None
        self.state: Any = None
        self.steps_per_epoch = len(self._epoch(0))
        steps = settings.steps if settings.steps is not None else None
        if settings.epochs is not None:
            by_epochs = max(1, round(settings.epochs * self.steps_per_epoch))
            steps = by_epochs if steps is None else min(steps, by_epochs)
        self.budget = Budget(steps, 60.0 * settings.minutes if settings.minutes is not None else None)
        if steps is None and settings.minutes is None:
            raise TrainingError("no end is set: give minutes, epochs or steps")
        every = settings.evaluate_every if settings.evaluate_every else 1.0
        self.evaluate_steps = max(1, round(every * self.steps_per_epoch))

    def _epoch(self, epoch: int) -> Minibatches:
        s = self.settings
        assert s.batch_size is not None
        assert s.window is not None
        return minibatches(
            s.sampling,
            self.train_ids,
            batch_size=s.batch_size,
            window=s.window,
            stride=s.stride,
            seed=s.seed,
            epoch=epoch,
        )

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

        while True:
            epoch = self._epoch(self.position.epoch)
            while self.position.batch < len(epoch):
                progress = self.budget.progress(self.position.step, self.position.seconds)
                if progress >= 1.0 or self.interrupted:
                    break
                loss = self._step(*epoch[self.position.batch], progress, epoch.carries_state)
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
                p.epoch, p.batch, p.loss_sum, p.loss_tokens, self.state = p.epoch + 1, 0, 0.0, 0, None
                continue
            break
        if self.interrupted:
            self.save()  # before the evaluation, which an uninterrupted run would not have made here
            if evaluated_at != self.position.step:
                self._evaluate(metrics, 0.0)
            return Outcome("interrupted", self.position)
        if evaluated_at != self.position.step:
            evaluate()
        return Outcome("finished", self.position)

    def _step(self, x: Any, y: Any, progress: float, carries_state: bool) -> float:
        """One minibatch: forward, backward, clip, update. Returns its mean loss in nats per token."""
        s, p = self.settings, self.position
        torch.manual_seed((s.seed << 40) + p.step)
        assert s.learning_rate is not None
        rate = s.learning_rate * schedule_factor(s.schedule, progress, s.warmup) * s.plateau_factor**p.plateau.cuts
        set_learning_rate(self.optimizer, rate)
        self.model.train()
        ids, targets = (torch.from_numpy(a).to(self.device) for a in (x, y))
        with autocast(s.precision, self.device):
            mean, state = self.model.loss(ids, targets, self.state if carries_state else None)
        self.optimizer.zero_grad(set_to_none=True)
        mean.backward()  # type: ignore[no-untyped-call]
        loss = float(mean.detach())
        limit = s.clip if s.clip else math.inf
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit, foreach=True))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self._skip(loss, norm)
            return loss
        p.skipped_in_a_row = 0
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.model, p.step)
        self.state = self.model.detach(state) if carries_state else None
        p.tokens += x.size
        p.loss_sum, p.loss_tokens = p.loss_sum + loss * x.size, p.loss_tokens + x.size
        return loss

    def _skip(self, loss: float, norm: float) -> None:
        """Count a minibatch whose loss or gradient is not finite; its gradient never reaches the weights."""
        p = self.position
        p.skipped, p.skipped_in_a_row, self.state = p.skipped + 1, p.skipped_in_a_row + 1, None
        if p.skipped_in_a_row == 1:
            self.watcher.noted(f"step {p.step}: loss {loss}, gradient norm {norm}: minibatch skipped")
        if p.skipped_in_a_row >= SKIPS_ALLOWED:
            raise TrainingError(
                f"training diverged: the loss or its gradient was not finite {SKIPS_ALLOWED} times in a row "
                f"(step {p.step}); lower training.learning_rate or training.clip; the weights before that are saved"
            )

    def _evaluate(self, metrics: MetricsFile, tokens_per_second: float) -> None:
        s, p = self.settings, self.position
        with self._evaluated_weights():
            heldout = self.heldout_loss() if len(self.heldout_ids) else None
            train = p.loss_sum / p.loss_tokens if p.loss_tokens else math.nan
            judged = train if heldout is None else heldout
            best = judged < p.best_loss or p.best_step == 0
            if best:
                p.best_loss, p.best_step, p.stale = judged if math.isfinite(judged) else math.inf, p.step, 0
            else:
                p.stale += 1
            p.plateau.observe(judged, s.plateau_patience if s.schedule == "plateau" else 1 << 60)
            row = Row(p.step, p.epoch + p.batch / self.steps_per_epoch, round(p.seconds, 3), p.tokens, train, heldout,
                      self.optimizer.param_groups[0]["lr"], round(tokens_per_second, 1))  # fmt: skip
            metrics.append(row)
            self.watcher.evaluated(row, best)
        p.loss_sum, p.loss_tokens = 0.0, 0

    @contextlib.contextmanager
    def _evaluated_weights(self) -> Iterator[None]:
        """Inside, the model holds the weights that are judged and saved: the average's, if one is kept."""
        with self.average.applied(self.model) if self.average is not None else contextlib.nullcontext():
            yield

    def heldout_loss(self) -> float:
        """Mean loss over the whole held-out split with carried state, nats per token."""
        scorer = TorchStepModel(self.model, precision=self.settings.precision)
        rows = min(max(len(self.heldout_ids) // _TOKENS_A_ROW, 1), _ROWS)
        return float(-np.mean(scorer.score_rows(self.heldout_ids, rows=rows)))
