"""Training from Python."""

import json
import shutil
import signal
import tempfile
import weakref
from pathlib import Path
from typing import Any

from ostinato.api.model import Model, bundle_files
from ostinato.bundle import read_bundle, write_folder
from ostinato.errors import UsageError, needs

_INT8_TOKENS = 20_000


def train(
    *texts: str | Path,
    out: str | Path | None = None,
    recipe: str = "default",
    minutes: float | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    seed: int | None = None,
    settings: dict[str, Any] | None = None,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    encoding: str | None = None,
    progress: bool = True,
) -> Model:
    """Train a language model on texts (files, folders, zips, `lyrics-zh`, `lyrics-en`) and return the best one.

    out: the output folder (None: a temporary one that lives as long as the model). recipe: a recipe's name or file.
    settings: overrides by dotted name, such as {"model.cell": "gru"}. minutes, epochs, steps: how long.
    Ctrl-C ends training after a minibatch and saves the run in `out`, for resume=True; then it is KeyboardInterrupt, as
    it would be anywhere (SIGTERM: what it does by itself). A temporary folder goes with what is raised, and with the
    process that a signal ends.
    Raises UsageError, TextError, TrainingError, and MissingExtraError where torch is not installed.
    """
    if not texts:
        raise UsageError("no text given: name at least one file, folder, zip, or lyrics-zh / lyrics-en")
    from ostinato.settings import apply_overrides, load_recipe, with_budget

    chosen = apply_overrides(load_recipe(recipe), [f"{k}={_toml_value(v)}" for k, v in (settings or {}).items()])
    chosen = with_budget(chosen, minutes=minutes, epochs=epochs, steps=steps, seed=seed)
    if chosen.task.name != "language":
        raise UsageError(
            f"ostinato.train makes language models, got task.name = {chosen.task.name}: for that use "
            f"`ostinato train --task {chosen.task.name}` or ostinato.runs.train_task"
        )
    if resume and out is None:
        raise UsageError("resume=True goes on with the run in a folder: name it with out=")
    if resume and chosen.ngram.smoothing != "none":
        raise UsageError("an n-gram model is counted anew each time: leave out resume=True, or give overwrite=True")
    folder = Path(out) if out is not None else Path(tempfile.mkdtemp(prefix="ostinato-")) / "run"
    try:
        if chosen.ngram.smoothing != "none":
            from ostinato.runs.ngram import train_ngram

            train_ngram([str(t) for t in texts], out=folder, recipe=chosen, overwrite=overwrite, encoding=encoding)
            return _owner(Model(folder), temporary=out is None)
        with needs("train", "training"):
            from ostinato.runs.language import train as run
        result = run([str(t) for t in texts], out=folder, recipe=chosen, device=device, resume=resume,
                     overwrite=overwrite, encoding=encoding, progress=progress)  # fmt: skip
        measure_int8(folder)
        if result.signal:
            if out is None and signal.getsignal(result.signal) == signal.SIG_DFL:
                shutil.rmtree(folder.parent, ignore_errors=True)  # the process ends at once, without what is below
            signal.raise_signal(result.signal)
        return _owner(Model(folder), temporary=out is None)
    except BaseException:
        if out is None:
            shutil.rmtree(folder.parent, ignore_errors=True)
        raise


def _owner(model: Model, *, temporary: bool) -> Model:
    """`model`, which takes its folder with it when it goes if that is temporary."""
    if temporary:
        weakref.finalize(model, shutil.rmtree, model.path.parents[1], ignore_errors=True)
    return model


def measure_int8(folder: Path) -> None:
    """Measure what int8 weights cost the recurrent model of the run in `folder`, and say so in its card and config.

    On up to _INT8_TOKENS tokens of its held-out text, else on text of its own. Raises BundleError.
    """
    from ostinato.runtime import precision_loss
    from ostinato.text import open_corpus

    bundle = read_bundle(folder)
    if bundle.kind != "recurrent":
        return
    heldout = open_corpus(folder / "text").heldout.ids[:_INT8_TOKENS]
    loss = precision_loss(bundle, heldout if len(heldout) else None)
    config = {**bundle.config, "int8": {"perplexity": loss.int8, "fp32": loss.fp32, "tokens": loss.tokens}}
    files = bundle_files(bundle.path)
    files["config.json"] = (json.dumps(config, indent=1, ensure_ascii=False) + "\n").encode("utf-8")
    card = "\n".join(line for line in bundle.card.splitlines() if not line.startswith("int8 weights:")).rstrip()
    files["card.md"] = f"{card}\n\n{loss}\n".encode()
    write_folder(bundle.path, files)


def _toml_value(value: Any) -> str:
    return json.dumps(value)
