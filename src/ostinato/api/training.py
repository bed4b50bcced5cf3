"""Training from Python, with the function that `ostinato train` calls."""

import shutil
import signal
import tempfile
import weakref
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ostinato.api.model import Model
from ostinato.errors import UsageError
from ostinato.settings import Recipe, load_recipe, recipe_from_mapping, with_budget
from ostinato.terminal import showing

if TYPE_CHECKING:
    from ostinato.text.records import Records


def train(
    *texts: str | Path,
    text: str | Iterable[str] | None = None,
    out: str | Path | None = None,
    recipe: str | Recipe | None = None,
    minutes: float | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
    resume: bool | Literal["auto"] = False,
    overwrite: bool = False,
    encoding: str | None = None,
    progress: bool = True,
    start: str | Path | None = "auto",
) -> Model:
    """Train a language model and return the one with the best held-out loss.

    - texts: files, folders, zips, `lyrics-zh`, `lyrics-en`. text: the text itself, or an iterable of documents.
    - out: the output folder. None: a temporary folder that is deleted with the model.
    - recipe: the name or file of a recipe, or a `Recipe`. None: `default`.
    - settings: changes to the recipe, as {"model.cell": "gru"} or {"model": {"cell": "gru"}}.
    - minutes, epochs, steps: how long to train. Default: 3 minutes, if the recipe does not say.
    - start: a saved model to start from, with its weights and vocabulary. "auto": the bundled `base-en` or `base-zh`
      if the text is small and the recipe does not ask for another network. None: start from scratch.
    - resume: True continues the run in `out`; "auto" does so if there is a checkpoint and otherwise starts the run.
    - overwrite: replace the run in `out`.
    - seed, device, encoding: as the options of `ostinato train`. progress: show progress on standard error.

    Examples:

        >>> model = ostinato.train("lyrics.txt", minutes=3)
        >>> model = ostinato.train(text=["one song ...", "another ..."], settings={"model": {"cell": "gru"}})

    Processes started by `torchrun` train one model together if each makes the same call; `out` must be a folder that
    all of them can access (see docs/scale.md).

    Ctrl-C ends training after the current minibatch, saves the run in `out` and then raises KeyboardInterrupt; SIGTERM
    saves, too, and then has its usual effect. Continue with resume=True. A temporary folder is deleted in both cases.

    Raises UsageError for invalid arguments, TextError if a text cannot be read, TrainingError if training fails, and
    MissingExtraError if torch is not installed.
    """
    if not texts and text is None:
        raise UsageError("no text given: name at least one file, folder, zip, or lyrics-zh / lyrics-en")
    if texts and text is not None:
        raise UsageError("give files or text=, not both")
    chosen = _recipe(recipe, settings, minutes=minutes, epochs=epochs, steps=steps, seed=seed)
    if chosen.task.name != "language":
        raise UsageError(
            f"ostinato.train makes language models, got task.name = {chosen.task.name}: for that use "
            f"ostinato.train_task (or `ostinato train --task {chosen.task.name}`)"
        )
    if resume and chosen.ngram.smoothing != "none":
        raise UsageError("an n-gram model is counted anew each time: leave out resume=True, or give overwrite=True")
    same = recipe is not None or bool(settings) or seed is not None
    options = {"device": device, "resume": resume, "same_recipe": same or not resume, "overwrite": overwrite,
               "progress": progress, "start": start if start in (None, "auto") else Path(start)}  # fmt: skip
    if text is None:
        return _trained([str(t) for t in texts], chosen, out, encoding=encoding, **options)
    with _as_files(text) as (paths, documents):
        if documents and "documents" not in str(settings):
            chosen = recipe_from_mapping({"text": {"documents": "files"}}, "text", chosen)
        return _trained(paths, chosen, out, encoding="utf-8", **options)


def train_task(
    *paths: str | Path,
    task: str,
    records: "Records | None" = None,
    out: str | Path | None = None,
    recipe: str | Recipe | None = None,
    minutes: float | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
    resume: bool | Literal["auto"] = False,
    overwrite: bool = False,
    encoding: str | None = None,
    progress: bool = True,
) -> Model:
    """Train a task model and return the best one; use it with `model.predict([...])`.

    task: `tag`, `classify`, `translate`, `next-line` or `forecast`. paths: files in the formats of docs/tasks.md;
    alternatively, records: `Records` that were read before. All other arguments are those of `train`.

        >>> model = ostinato.train_task("moods.csv", task="classify", settings={"task.label": "mood"})

    Raises UsageError, TextError, TrainingError and MissingExtraError as `train` does.
    """
    if bool(paths) == (records is not None):
        raise UsageError("give the files to learn from, or records=")
    if task == "language":
        raise UsageError("task is language: that is what ostinato.train makes")
    chosen = _recipe(recipe, settings, minutes=minutes, epochs=epochs, steps=steps, seed=seed)
    chosen = recipe_from_mapping({"task": {"name": task}}, "task", chosen)
    same = not resume or recipe is not None or bool(settings) or seed is not None
    return _trained(
        records if records is not None else [str(path) for path in paths], chosen, out, device=device, resume=resume,
        same_recipe=same, overwrite=overwrite, encoding=encoding, progress=progress,
    )  # fmt: skip


def _recipe(recipe: str | Recipe | None, settings: Mapping[str, Any] | None, **budget: Any) -> Recipe:
    """The recipe that the arguments describe. Raises SettingsError."""
    chosen = recipe if isinstance(recipe, Recipe) else load_recipe(recipe or "default")
    for key, value in (settings or {}).items():
        section, dot, name = key.partition(".")
        table = {name: value} if dot else value
        chosen = recipe_from_mapping({section: _plain(table)}, f"settings[{key!r}]", chosen)
    return with_budget(chosen, **budget)


def _plain(table: Any) -> Any:
    """None in Python is "auto"."""
    return {k: "auto" if v is None else v for k, v in table.items()} if isinstance(table, Mapping) else table


@contextmanager
def _as_files(text: str | Iterable[str]) -> Iterator[tuple[list[str], bool]]:
    """Paths to a temporary file with the text or documents, and whether there are several documents. Raises UsageError
    if `text` is neither a string nor an iterable of strings."""
    with tempfile.TemporaryDirectory(prefix="ostinato-") as folder:
        try:
            if isinstance(text, str):
                path = Path(folder) / "text"
                path.write_text(text, "utf-8", newline="")
            else:
                path = Path(folder) / "documents.zip"
                with zipfile.ZipFile(path, "w") as archive:
                    for number, document in enumerate(text):
                        if document.strip():
                            archive.writestr(f"{number:012}.txt", document.encode("utf-8"))
        except (AttributeError, TypeError):
            raise UsageError("text must be a text, or an iterable of texts") from None
        except UnicodeEncodeError as error:
            raise UsageError(f"text has no UTF-8 form: {error.reason} at character {error.start}") from None
        yield [str(path)], not isinstance(text, str)


def _trained(sources: "list[str] | Records", recipe: Recipe, out: str | Path | None, **options: Any) -> Model:
    """Run the training and read the model. If a signal ended the run, it is raised again afterwards."""
    if options["resume"] and out is None:
        raise UsageError("resume=True continues the run in a folder: name it with out=")
    if out is not None and not str(out):
        raise UsageError("the name of the output folder is empty: give another with out=")
    from ostinato.runs.denormals import denormals_kept
    from ostinato.runs.joining import joined, refuse_launched
    from ostinato.runs.run import train as run

    if out is None:
        refuse_launched("a temporary folder (out=None)")
    folder = Path(out) if out is not None else Path(tempfile.mkdtemp(prefix="ostinato-")) / "run"
    try:
        with (
            denormals_kept(),
            joined() as team,
            showing(options["progress"] and (team is None or team.rank == 0)),
        ):
            result = run(sources, out=folder, recipe=recipe, team=team, **options)
        if result.signal:
            if out is None and signal.getsignal(result.signal) == signal.SIG_DFL:
                shutil.rmtree(folder.parent, ignore_errors=True)  # the process ends at once, without what is below
            signal.raise_signal(result.signal)
        model = Model(folder)
    except BaseException:
        if out is None:
            shutil.rmtree(folder.parent, ignore_errors=True)
        raise
    if out is None:
        weakref.finalize(model, shutil.rmtree, folder.parent, ignore_errors=True)
    return model
