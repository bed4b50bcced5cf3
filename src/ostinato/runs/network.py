"""The steps that everything learnt by a network shares: settle, train, resume, stop on a signal."""

import dataclasses
import json
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch

from ostinato.cells import describe_cell, same_cell
from ostinato.errors import TrainingError, counted
from ostinato.models.device import prepare_torch, resolve_device, resolve_precision
from ostinato.models.saved import SavedModule
from ostinato.processors import processors
from ostinato.runs.expected import expected_time
from ostinato.runs.overfitting import Overfitting
from ostinato.runs.saving import ModelWriter
from ostinato.runs.signals import ending_signals
from ostinato.runs.task import Result, Run, Task
from ostinato.settings import Recipe, ResolvedRecipe, ResolvedTraining, decide, recipe_from_mapping, to_mapping
from ostinato.training.checkpoint import load_checkpoint
from ostinato.training.launcher import processes_here
from ostinato.training.metrics import MetricsFile
from ostinato.training.observers import Observer
from ostinato.training.team import ALONE, Team
from ostinato.training.trainable import TrainingData
from ostinato.training.trainer import Outcome, Trainer

_BUDGET = ("minutes", "epochs", "steps")


@dataclass(frozen=True)
class Settled:
    """Nothing is "auto" any more. training: the recipe's, with the precision decided for the device.

    description: what the checkpoint says of the run.
    """

    recipe: ResolvedRecipe
    training: ResolvedTraining
    device: torch.device
    description: Mapping[str, Any]


@dataclass(frozen=True)
class Built:
    """A network that has not learnt yet. headline: what it is, for the user. observers: of this run alone.

    `module` is a `trainer.Trainable`.
    """

    module: SavedModule
    data: TrainingData
    headline: str
    observers: Sequence[Observer]


class NetworkTask(Task):
    """What is learnt by a network with the trainer."""

    shared = True

    def open(self, run: Run) -> Run:
        """A resumed run has the checkpoint's recipe, and the budget of the one given."""
        prepare_torch()
        resolve_device(run.device)
        if not run.resume:
            return run
        recorded = load_checkpoint(run.out / "checkpoint").run
        recipe = resumed_recipe(run.recipe, recorded, run.same_recipe)
        return dataclasses.replace(run, recipe=recipe, recorded=recorded)

    @abstractmethod
    def resolve(self, run: Run, data: Any, device: torch.device) -> ResolvedRecipe:
        """The recipe with every "auto" decided but the precision. Raises SettingsError."""

    @abstractmethod
    def fingerprint(self, data: Any) -> str:
        """By which a resumed run knows its data."""

    @abstractmethod
    def build(self, run: Run, settled: Settled, data: Any) -> Built:
        """The network with its first weights, from torch's global random generator."""

    def settle(self, run: Run, data: Any) -> Settled:
        """The recipe in force, which is the recorded run's where one is resumed. Raises TrainingError, UsageError."""
        device = resolve_device(run.device)
        fingerprint = self.fingerprint(data)
        if run.told is not None:
            return _as_told(run, run.told, fingerprint, device)
        recipe = self.resolve(run, data, device)
        if run.recorded is not None:
            recipe = _check_resume(recipe, run, fingerprint)
        m = recipe.model
        cell = _cell(recipe)
        for line in check_cell(cell, (run.recorded or {}).get("cell")):
            run.seen.noted(line)
        precision = resolve_precision(recipe.training.precision, device, hidden_size=m.hidden_size, cell=m.cell)
        description = {"fingerprint": fingerprint, "requested": to_mapping(run.recipe), "resolved": to_mapping(recipe),
                       "precision": run.recipe.training.precision, "cell": cell}  # fmt: skip
        start = str(run.start.path) if run.start is not None else (run.recorded or {}).get("start")
        if start is not None:
            description["start"] = start
        return Settled(recipe, dataclasses.replace(recipe.training, precision=precision), device, description)

    def tell(self, settled: Settled) -> dict[str, Any]:
        """The recipe in force, the precision and the data's name."""
        return {"resolved": to_mapping(settled.recipe), "precision": settled.training.precision,
                "name": settled.recipe.name, "fingerprint": settled.description["fingerprint"],
                "cell": settled.description["cell"]}  # fmt: skip

    def train(self, run: Run, settled: Settled, built: Built) -> Result:
        """Until the budget is used; the best model is saved whenever there is one."""
        if run.team is not None:
            run.team.share(None)  # the first one may take its time to build, longer than a sum is waited for
        metrics = MetricsFile(run.out / "metrics.jsonl")
        # what was measured is saved before it is printed, which may fail
        writers = [observer for observer in built.observers if isinstance(observer, ModelWriter)]
        trainer = Trainer(
            built.module,
            built.data,
            self.time_left(run, settled, built),
            folder=run.out,
            device=settled.device,
            observers=[
                metrics,
                *writers,
                *run.seen.all,
                Overfitting(run.seen),
                *(o for o in built.observers if o not in writers),
            ],
            run=dict(settled.description),
            team=run.team or ALONE,
            threads=run.threads,
        )
        run.seen.noted(built.headline)
        for line in in_parallel(run.team, trainer.threads, settled):
            run.seen.noted(line)
        if run.resume:
            trainer.resume()
            run.seen.noted(f"resumed at step {trainer.position.step}")
        if (expected := expected_time(trainer, self.evaluation_steps(settled, built))) is not None:
            run.seen.noted(expected)
        with stop_on_signals(trainer, lambda: run.seen.noted(run.stopping)) as received:
            outcome = trainer.train()
        if not run.leads:
            return Result(run.out, outcome.reason, "", {}, {})
        notes = self.finish(run, settled, built)
        result = _result(run, outcome, received[0] if received else 0)
        return dataclasses.replace(result, notes=(*result.notes, *notes, *self.remarks(result.evaluation)))

    def time_left(self, run: Run, settled: Settled, built: Built) -> ResolvedTraining:
        """The training's settings, with the minutes that are left for the network."""
        return settled.training

    def evaluation_steps(self, settled: Settled, built: Built) -> float:
        """What an evaluation costs, in steps of training."""
        return 0.0

    def finish(self, run: Run, settled: Settled, built: Built) -> Sequence[str]:
        """What follows training; returns what is to be said of it."""
        return ()

    def remarks(self, evaluation: Mapping[str, Any]) -> Sequence[str]:
        """What is to be said of the saved model's figures when training is over."""
        return ()


def in_parallel(team: Team | None, threads: int, settled: Settled) -> list[str]:
    """What is said of several processes: how many there are, what they use, and whether that is too much."""
    if team is None or team.size == 1:
        return []
    here, cores = processes_here(), processors()
    machines = "" if here == team.size else f", {here} of them on this machine"
    lines = [f"{team.size} processes{machines}, {counted(threads, 'thread')} each, {counted(cores, 'core')} here"]
    if settled.device.type == "cpu" and here * threads > cores:
        lines.append(
            f"{here} processes of {counted(threads, 'thread')} share {counted(cores, 'core')}: fewer processes, or "
            "--threads 1, are faster"
        )
    return lines


def _as_told(run: Run, told: Mapping[str, Any], fingerprint: str, device: torch.device) -> Settled:
    """What the first process of the team has settled. Raises TrainingError where this one has other data."""
    if told["fingerprint"] != fingerprint:
        raise TrainingError(
            "this process reads other records than the first one: the same files must lie in the same places on all "
            "machines"
        )
    recipe = decide(dataclasses.replace(recipe_from_mapping(told["resolved"], "the recipe"), name=told["name"]))
    if not _same_cell(_cell(recipe), told["cell"]):
        raise TrainingError(
            f"the cell {recipe.model.cell} computes something else in this process than in the first one: the same "
            "--cell-file must be given on all machines"
        )
    return Settled(recipe, dataclasses.replace(recipe.training, precision=told["precision"]), device, {})


def _result(run: Run, outcome: Outcome, received: int) -> Result:
    """The result of a run whose best model is in its folder."""
    p = outcome.position
    why = {"finished": "", "early": " (stopped early: no improvement any more)", "interrupted": " (interrupted)"}
    skipped = (f"{p.skipped} minibatches were skipped: their loss was not finite",) if p.skipped else ()
    evaluation = json.loads((run.out / "model" / "config.json").read_text("utf-8"))["evaluation"]
    figures = {"reason": outcome.reason, "steps": p.step, "seconds": round(p.seconds, 1), "best_step": p.best_step,
               "skipped": p.skipped}  # fmt: skip
    return Result(
        run.out,
        outcome.reason,
        f"{p.step:,} steps in {p.seconds / 60:.1f} minutes{why[outcome.reason]}",
        figures,
        evaluation,
        skipped,
        received,
        p,
    )


def resumed_recipe(recipe: Recipe, recorded: Mapping[str, Any], same_recipe: bool) -> Recipe:
    """The recorded recipe, with the budget of `recipe` where it names one; checked to be the same if asked to, where
    `recipe` does not leave it to the program."""
    before = recipe_from_mapping(recorded["requested"], "the checkpoint's recipe")
    if same_recipe:
        old, new = to_mapping(before), to_mapping(recipe)
        for section, table in old.items():
            for key, value in table.items():
                if (section == "training" and key in _BUDGET) or new[section][key] in (value, "auto"):
                    continue
                raise TrainingError(
                    f"cannot resume with another recipe: {section}.{key} was {value}, now {new[section][key]}; "
                    "leave out --recipe and --set to continue with the recorded one, or start a new run with -o"
                )
    given = {k: getattr(recipe.training, k) for k in _BUDGET}
    if any(value is not None for value in given.values()):
        before = dataclasses.replace(before, training=dataclasses.replace(before.training, **given))
    return dataclasses.replace(before, name=recipe.name)


def _check_resume(recipe: ResolvedRecipe, run: Run, fingerprint: str) -> ResolvedRecipe:
    """The recorded recipe as it was resolved, with the (possibly extended) budget. Raises for other data."""
    recorded = run.recorded or {}
    if recorded["fingerprint"] != fingerprint:
        raise TrainingError(
            "cannot resume with another text: give the same files as before, or learn the new one with --from MODEL"
        )
    before = recipe_from_mapping(recorded["resolved"], "the checkpoint's recipe")
    budget = {k: getattr(recipe.training, k) for k in _BUDGET}
    return decide(dataclasses.replace(before, name=recipe.name), training=budget)


def _cell(recipe: ResolvedRecipe) -> dict[str, Any] | None:
    """What the checkpoint says of the network's cell; None where the network has no cell."""
    return None if recipe.model.context else describe_cell(recipe.model.cell)


def _same_cell(now: Mapping[str, Any] | None, before: Mapping[str, Any] | None) -> bool:
    return now is None or before is None or same_cell(now["fingerprint"], before["fingerprint"])


def check_cell(now: Mapping[str, Any] | None, before: Mapping[str, Any] | None) -> list[str]:
    """What is to be said of the cell of a resumed run, whose checkpoint has `before` (None in those of version 0.1).

    Raises TrainingError where it computes something else.
    """
    if now is None or before is None:
        return []
    name, file = now["fingerprint"]["name"], now["file"] or before["file"]
    whose = f"{file} (cell {name})" if file else f"the cell {name}"
    if not _same_cell(now, before):
        as_it_was = "give the file as it was (--cell-file)" if file else "restore the cell as it was"
        raise TrainingError(
            f"cannot resume with another cell: {whose} computes something else than when this run began; {as_it_was}, "
            "or start a new run with -o"
        )
    if before["sha256"] is not None and now["sha256"] != before["sha256"]:
        return [f"{whose} was edited since this run began; it computes the same, and the run goes on"]
    return []


@contextmanager
def stop_on_signals(trainer: Trainer, answer: Callable[[], None] = lambda: None) -> Iterator[list[int]]:
    """Inside, Ctrl-C, SIGTERM and SIGHUP (its terminal was closed) end training after the minibatch in progress;
    a second one ends it at once.

    answer: says at the first one that it was heard. Yields the list of signals received. Does nothing outside the main
    thread.
    """
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        trainer.interrupted = True
        answer()

    with ending_signals(stop):
        yield received
