"""A run from its sources to a model on disk: the one way, for language models, tasks and n-grams."""

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ostinato.errors import SettingsError, TrainingError, UsageError
from ostinato.files import write_file
from ostinato.runs.auto_start import choose_start
from ostinato.runs.finding import find_task
from ostinato.runs.folder import begun_before, run_folder
from ostinato.runs.progress import Progress
from ostinato.runs.reporting import reports
from ostinato.runs.start import read_start
from ostinato.runs.task import Result, Run, Task
from ostinato.settings import Recipe, load_recipe, to_mapping, to_toml
from ostinato.terminal import activity
from ostinato.text.sources import kept_streams
from ostinato.training.observers import Observer, Observers

if TYPE_CHECKING:
    from ostinato.text.records import Records
    from ostinato.training.team import Team

__all__ = ["Result", "train"]


@kept_streams()
def train(
    sources: "Sequence[str] | Records",
    *,
    out: Path,
    recipe: Recipe,
    device: str = "auto",
    resume: bool | Literal["auto"] = False,
    same_recipe: bool = True,
    overwrite: bool = False,
    encoding: str | None = None,
    progress: bool = True,
    start: Path | Literal["auto"] | None = None,
    team: "Team | None" = None,
    observers: Iterable[Observer] = (),
    threads: int | None = None,
    stopping: str | None = None,
    report: Sequence[str] = (),
) -> Result:
    """Learn what `recipe` says from files (or from records that were read before) into the folder `out`.

    A network leaves `model/` (the best), `checkpoint/`, `metrics.jsonl`, `loss.svg`, `loss.png` and `recipe.toml`
    there, a language model also `text/` (token ids). `resume` goes on from the checkpoint; the data must be the same,
    and so must the recipe if `same_recipe` (otherwise the recorded one is used); a larger budget than the recorded one
    extends the run; "auto" goes on where there is a checkpoint, and begins where there is none. `start` is a saved
    model whose weights and vocabulary the new one takes over; "auto" is a bundled base, where there is one for the text
    (see `auto_start`). `observers` are told of all that happens, after the progress bar; of a `team`, only rank 0's
    are. `threads`: at most so many (None: OSTINATO_THREADS, else torch's number); what is learnt does not depend on
    them. `stopping`: said when a signal ends training, for a run that cannot be resumed.
    report: programs that the metrics go to as well, `tensorboard` or `wandb`.

    Raises UsageError, TextError, SettingsError, TrainingError, BundleError, MissingExtraError.
    """
    if threads is not None and threads < 1:
        raise UsageError(f"threads must be at least 1, got {threads}")
    leads = team is None or team.rank == 0
    if resume == "auto":
        there = (out / "checkpoint").exists()
        resume = there if team is None else bool(team.share(there))
        overwrite = overwrite or (leads and not resume and begun_before(out))
        same_recipe = same_recipe or not resume
    if resume and not same_recipe:
        recipe = _as_before(recipe, out)
    task = find_task(recipe)
    seen = Observers([*([Progress()] if progress else []), *observers] if leads else ())
    if start == "auto" and not leads:  # the first one tells
        start = None
    if start == "auto":
        start = None if resume else _auto_start(sources, recipe, encoding, seen)
    elif start is not None:
        _check_start(recipe, resume)
    if resume and not task.resumable:
        raise UsageError(
            "an n-gram model is counted anew each time, not resumed: leave out resume, or overwrite the old one"
        )
    bundle = None if start is None else read_start(start)
    run = Run(
        sources, recipe, out, device, resume, same_recipe, overwrite, encoding, bundle, team, seen, threads=threads
    )
    if stopping is not None:
        run = dataclasses.replace(run, stopping=stopping)
    if not run.leads:
        return _follow(task, run)
    with (
        nothing_left(out),
        run_folder(out, resume=resume if task.resumable else None, overwrite=overwrite, what="training"),
    ):
        seen.all += reports(report, out, to_mapping(recipe))
        result = _through(task, run if task.shared else dataclasses.replace(run, team=None))
    if team is not None:
        team.share(result.to_team())
    return result


@contextlib.contextmanager
def nothing_left(out: Path) -> Iterator[None]:
    """A run that fails leaves no empty folder where there was none."""
    new = [folder for folder in (out, *out.parents) if not os.path.exists(folder)]
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # one that holds something stays
            for folder in new:
                folder.rmdir()
        raise


def _through(task: Task, run: Run) -> Result:
    """Every step, inside the run's folder."""
    seen = run.seen
    run = task.open(run)
    with activity("reading the text"):
        read = task.read(run)
    for note in read.notes:
        seen.noted(note)
    with activity("preparing"):
        data = task.divide(run, read)
        settled = task.settle(run, data)
    if run.team is not None and run.leads:
        run.team.share(task.tell(settled))
    with activity(task.building):
        built = task.build(run, settled, data)
    _begin(run, settled.recipe)
    return task.train(run, settled, built)


def _follow(task: Task, run: Run) -> Result:
    """The part of a process that is not the first of its team: the folder, the text and the words are that one's."""
    assert run.team is not None
    if task.shared:
        _through(task, dataclasses.replace(run, told=run.team.share(None)))
    return Result.from_team(run.out, run.team.share(None))


def _auto_start(
    sources: "Sequence[str] | Records", recipe: Recipe, encoding: str | None, seen: Observers
) -> Path | None:
    """The bundled base that the run starts from, if any, which is said."""
    if not isinstance(sources, Sequence):
        return None
    start, line = choose_start(sources, recipe, encoding)
    if line:
        seen.noted(line)
    return start


def _check_start(recipe: Recipe, resume: bool) -> None:
    if resume:
        raise UsageError("a resumed run keeps the start it had: leave out --from (start=)")
    if recipe.task.name != "language" or recipe.ngram.smoothing != "none" or recipe.model.context:
        raise UsageError("only a recurrent language model can start from another: leave out --from (start=)")


def _as_before(recipe: Recipe, out: Path) -> Recipe:
    """`recipe` with what the run in `out` reads, and what for."""
    try:
        before = load_recipe(str(out / "recipe.toml"))
    except SettingsError:  # there is none: the checkpoint says so
        return recipe
    return dataclasses.replace(recipe, text=before.text, task=before.task)


def _begin(run: Run, recipe: Recipe) -> None:
    """Everything has been read and checked: the recipe in force is written down."""
    if not run.leads:
        return
    try:
        write_file(run.out / "recipe.toml", to_toml(recipe))
    except OSError as error:
        raise TrainingError(f"cannot write to the output folder {run.out}: {error.strerror}") from None
