"""The training loop: truncated back-propagation through time, evaluation, early stopping, exact checkpoints."""

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ostinato.errors import TrainingError
from ostinato.layers.shares import Share, sharing
from ostinato.layers.threads import training_threads, wanted_threads
from ostinato.models.device import autocast
from ostinato.randomness import mix
from ostinato.settings import ResolvedTraining
from ostinato.terminal import activity
from ostinato.training.averaging import Average
from ostinato.training.checkpoint import Checkpoint, Position, load_checkpoint, save_checkpoint
from ostinato.training.clock import Clock
from ostinato.training.observers import Observer, Observers, Row
from ostinato.training.optimizers import (
    build_optimizer,
    clipped_step,
    load_optimizer_tensors,
    optimizer_tensors,
    set_learning_rate,
)
from ostinato.training.outer import Outer
from ostinato.training.schedules import Budget, schedule_factor
from ostinato.training.team import ALONE, Team, Touched, rows_of
from ostinato.training.trainable import Batches, TrainingData

CHECKPOINT_SECONDS = 60.0
ROWS = 24
"""Rows that are reported over a run at least, however seldom it is evaluated."""
SKIPS_ALLOWED = 10


@dataclass(frozen=True)
class Outcome:
    """How a run ended: `finished`, `early` (no improvement), or `interrupted`."""

    reason: str
    position: Position


class Trainer:
    """Trains one model (a torch.nn.Module that is `Trainable`) on its data.

    The model's randomness (dropout) and the order of the minibatches are functions of (seed, step): with the tensors
    and the position of a checkpoint, a run goes on as if it had not stopped, on any number of `threads` (None:
    OSTINATO_THREADS, else torch's number). Of a `team`, each member has a trainer with the same data and the same
    model, and computes its rows of every minibatch. One step takes `training.accumulate` minibatches.
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
        if team.size > 1:
            team.compression = settings.compression
        team.copy([t.data for t in (*model.parameters(), *model.buffers())])
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        graded = settings.layer_rates != 1.0 or settings.unfreeze > 0.0
        levels = model.levels() if graded else None
        self.optimizer = build_optimizer(model.parameters(), settings, settings.learning_rate, levels)
        self.average = Average(model, settings.averaging) if settings.averaging else None
        self.state: Any = None
        self.steps_per_epoch = -(-len(data.epoch(0)) // settings.accumulate)
        steps = settings.steps if settings.steps is not None else None
        if settings.epochs is not None:
            by_epochs = max(1, round(settings.epochs * self.steps_per_epoch))
            steps = by_epochs if steps is None else min(steps, by_epochs)
        self.budget = Budget(steps, 60.0 * settings.minutes if settings.minutes is not None else None)
        if steps is None and settings.minutes is None:
            raise TrainingError("no budget is set: give minutes, epochs or steps")
        every = settings.evaluate_every if settings.evaluate_every else 1.0
        self.evaluate_steps = max(1, round(every * self.steps_per_epoch))
        self.outer: Outer | None = None
        if team.size > 1 and settings.local_steps > 1:  # members are judged where they meet
            self.outer = Outer(self.parameters, team)
            self.evaluate_steps = -(-self.evaluate_steps // settings.local_steps) * settings.local_steps

    def resume(self) -> None:
        """Go on from the checkpoint in the output folder, whatever the size of the team that wrote it.

        Raises TrainingError when there is none.
        """
        checkpoint = load_checkpoint(self.folder / "checkpoint")
        parts: dict[str, dict[str, torch.Tensor]] = {
            "model": {}, "optimizer": {}, "average": {}, "state": {}, "outer": {}
        }  # fmt: skip
        for name, tensor in checkpoint.tensors.items():
            part, rest = name.split(".", 1)
            parts[part][rest] = tensor.to(self.device) if part != "optimizer" else tensor
        self.model.load_state_dict(parts["model"])
        load_optimizer_tensors(self.optimizer, parts["optimizer"])
        if self.average is not None:
            self.average.load(parts["average"])
        if self.outer is not None:
            self.outer.load(parts["outer"])
        state = tuple(parts["state"][key] for key in sorted(parts["state"]))
        if state:
            rows = rows_of(self.team, state[0].shape[1])
            state = tuple(part[:, rows].contiguous() for part in state)
        self.state = None if not state else state[0] if len(state) == 1 else state
        self.position = checkpoint.position

    def save(self) -> None:
        """Write the checkpoint, atomically."""
        state = () if self.state is None else self.state if isinstance(self.state, tuple) else (self.state,)
        if self.team.size > 1:
            all_have_one = self.team.sums([bool(state)])[0] == self.team.size
            state = self.team.gather(state) if all_have_one else ()
        optimizer = optimizer_tensors(self.optimizer)
        if self.outer is not None:  # the members' moments differ
            optimizer = dict(zip(optimizer, self.team.mean(list(optimizer.values())), strict=True))
        if self.team.rank:
            return
        parts = {
            "model": self.model.state_dict(),
            "optimizer": optimizer,
            "average": self.average.tensors() if self.average is not None else {},
            "state": {str(k): tensor for k, tensor in enumerate(state)},
            "outer": self.outer.tensors() if self.outer is not None else {},
        }
        tensors = {f"{part}.{name}": tensor for part, entries in parts.items() for name, tensor in entries.items()}
        with activity("saving a checkpoint"):
            save_checkpoint(self.folder / "checkpoint", Checkpoint(tensors, self.position, self.run_description))

    def train(self) -> Outcome:
        """Train until the budget is used, no evaluation improves any more, or `interrupted` is set."""
        with training_threads(self.model, self.device, self.threads):
            return self._train()

    def rehearse(self) -> float:
        """Seconds that the forward and backward passes of a step take; nothing is learnt.

        Of a `Team`, call it in none or in all.
        """
        with training_threads(self.model, self.device, self.threads):
            began, group = time.perf_counter(), self._group(self.data.epoch(self.position.epoch), 0)
            self.model.train()
            for number, batch in enumerate(group):
                mean, _ = self._forward(*self._own_rows(batch), number, None)
                mean.backward()
                float(mean.detach())  # a device that works on its own has finished
            self.optimizer.zero_grad(set_to_none=True)
            return time.perf_counter() - began

    def steps_left(self) -> int | None:
        """How many steps the budget still allows; None where only time limits it."""
        return None if self.budget.steps is None else max(self.budget.steps - self.position.step, 0)

    def _train(self) -> Outcome:
        self.observers.started(self.settings, self.position)
        clock = Clock(self.position, self.team)
        outcome = None
        if self.settings.patience and self.position.stale >= self.settings.patience:
            outcome = Outcome("early", self.position)
        while outcome is None:
            outcome = self._epoch(clock)
        self.observers.finished()
        return outcome

    def _epoch(self, clock: Clock) -> Outcome | None:
        """The rest of an epoch, from the position on; the outcome if training ends in it."""
        p, patience = self.position, self.settings.patience
        epoch = self.data.epoch(p.epoch)
        while p.batch < self.steps_per_epoch:
            progress, stopping = self.budget.progress(p.step, p.seconds), clock.stops(self.interrupted)
            if progress >= 1.0 or stopping:
                self.interrupted = stopping
                return self._end(clock)
            loss = self._step(self._group(epoch, p.batch), progress, epoch.carries_state)
            p.step, p.batch = p.step + 1, p.batch + 1
            if self.outer is not None:
                if p.step % self.settings.local_steps:
                    self.observers.stepped(p, loss, self.budget.progress(p.step, p.seconds))
                    continue
                self._meet()
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

    def _group(self, epoch: Batches, step: int) -> list[Sequence[Any]]:
        """The minibatches of a step of an epoch."""
        accumulate = self.settings.accumulate
        first = step * accumulate
        return [epoch[k] for k in range(first, min(first + accumulate, len(epoch)))]

    def _log(self, clock: Clock) -> None:
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

    def _meet(self) -> None:
        """The members, which learn alone in between, take an outer step."""
        assert self.outer is not None
        self.outer.step()
        if self.average is not None:
            self.average.update(self.model, self.position.step)

    def _end(self, clock: Clock) -> Outcome:
        """The budget is used, or someone asked to stop."""
        p = self.position
        if self.outer is not None and p.step % self.settings.local_steps:
            self._meet()
        if self.interrupted:
            self.save()  # before the evaluation, which an uninterrupted run would not have made here
            if p.best_step == 0:  # a model to write with; else `model/` stays what it would have been
                self._evaluate(0.0)
            return Outcome("interrupted", p)
        resumed_there = bool(p.step) and not p.loss_tokens  # it was evaluated, and then killed before it ended
        if clock.evaluated != p.step and not resumed_there:
            self._evaluate_and_save(clock)
        return Outcome("finished", p)

    def _evaluate_and_save(self, clock: Clock) -> None:
        self._evaluate(clock.rate())
        clock.read(self.interrupted)
        clock.mark()
        self._save_at(clock)

    def _save_at(self, clock: Clock) -> None:
        self.save()
        clock.read(self.interrupted)
        clock.saved = self.position.seconds

    def _step(self, group: Sequence[Sequence[Any]], progress: float, carries_state: bool) -> float:
        """The minibatches of one step: forward, backward, clip, update. Returns their mean loss."""
        s, p = self.settings, self.position
        if p.batch == 0:
            p.loss_sum, p.loss_tokens = 0.0, 0
        rate = s.learning_rate * schedule_factor(s.schedule, progress, s.warmup) * s.plateau_factor**p.plateau.cuts
        set_learning_rate(self.optimizer, rate, s, progress)
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)  # before the loss, which comes with its gradient
        parts = [self._own_rows(batch) for batch in group]
        count = sum(self.data.targets(part if self.outer is not None else whole)
                    for whole, (part, _) in zip(group, parts, strict=True))  # fmt: skip
        touched: dict[torch.Tensor, torch.Tensor] = {}
        loss, state = 0.0 if count else math.nan, self.state if carries_state else None
        for number, (whole, (part, share)) in enumerate(zip(group, parts, strict=True)):
            here = self.data.targets(part)
            if count and (here or self.team.size == 1):
                mean, state = self._forward(part, share, number, state if carries_state else None)
                state = self.model.detach(state) if carries_state else None
                weight = here / count
                (mean if weight == 1.0 else mean * weight).backward()
                loss += float(mean.detach()) * weight
            if self.team.size > 1:
                touched = self._touched(whole, touched if number else None)
        if self.outer is None:
            loss = self.team.reduce(self.parameters, loss, touched)
        norm = clipped_step(self.optimizer, s.clip) if math.isfinite(loss) else math.nan
        if not math.isfinite(norm):
            self._skip(loss, norm)
            return loss
        p.skipped_in_a_row = 0
        if self.average is not None and self.outer is None:
            self.average.update(self.model, p.step)
        self.state = state
        p.tokens += sum(map(self.data.targets, group))
        p.loss_sum, p.loss_tokens = p.loss_sum + loss * count, p.loss_tokens + count
        p.row_sum, p.row_tokens = p.row_sum + loss * count, p.row_tokens + count
        return loss

    def _own_rows(self, batch: Sequence[Any]) -> tuple[Sequence[Any], Share | None]:
        """This member's rows of a minibatch."""
        if self.team.size == 1:
            return batch, None
        whole = len(batch[0])
        rows = rows_of(self.team, whole)
        share = Share(rows.start, rows.stop, whole, torch.from_numpy(np.ascontiguousarray(batch[-1])).to(self.device))
        return [np.ascontiguousarray(array[rows]) for array in batch], share

    def _touched(self, whole: Sequence[Any], before: Touched | None) -> dict[torch.Tensor, torch.Tensor]:
        """The rows in which this minibatch, or one `before` it in the step, has a gradient; where they are few."""
        found: dict[torch.Tensor, torch.Tensor] = getattr(self.model, "touched", lambda ids: {})(
            torch.from_numpy(whole[0]).to(self.device)
        )
        if before is not None:
            found = {p: torch.unique(torch.cat([rows, before[p]])) for p, rows in found.items() if p in before}
        return {p: rows for p, rows in found.items() if 2 * len(rows) < len(p)}

    def _forward(self, part: Sequence[Any], share: Share | None, number: int, state: Any) -> tuple[Any, Any]:
        """The mean loss of the rows of one minibatch of the step, and the new state."""
        s = self.settings
        seed = mix(mix(s.seed) ^ self.position.step)
        torch.manual_seed((mix(seed ^ number) if number else seed) >> 1)  # torch takes 63 bits
        arrays = [torch.from_numpy(a).to(self.device) for a in part]
        with sharing(share), autocast(s.precision, self.device):
            mean, state = self.model.loss(*arrays, state)
        return mean, state

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
            heldout = self.team.share(heldout)
            if heldout is not None and math.isnan(heldout):
                raise self._diverged("the held-out loss is not a number")
            sums = [p.loss_sum, p.loss_tokens] if self.outer is None else self.team.sums([p.loss_sum, p.loss_tokens])
            train = sums[0] / sums[1] if sums[1] else math.nan
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
