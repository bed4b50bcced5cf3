"""A whole training run: from texts to a model on disk."""

import dataclasses
import json
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from ostinato.errors import TrainingError
from ostinato.evaluation import baselines
from ostinato.layers import start_output_bias
from ostinato.models.candidates import Candidates
from ostinato.models.device import prepare_torch, resolve_device, resolve_precision
from ostinato.models.language_model import LanguageModel
from ostinato.models.window_mlp import build_language_model
from ostinato.runs import defaults as plan
from ostinato.runs.folder import check_folder, empty_folder
from ostinato.runs.language_data import LanguageData
from ostinato.runs.picture import LossPicture
from ostinato.runs.progress import Progress, Silent
from ostinato.runs.samples import sample_text
from ostinato.runs.saving import ModelWriter
from ostinato.settings import Recipe, TrainingSettings, recipe_from_mapping, to_mapping, to_toml
from ostinato.text import Corpus, prepare
from ostinato.training.checkpoint import Position, load_checkpoint
from ostinato.training.metrics import Row
from ostinato.training.trainer import Outcome, Trainer

_BUDGET = ("minutes", "epochs", "steps")
_SAMPLE_SECONDS = 20.0


@dataclass(frozen=True)
class Result:
    """What a run came to. `evaluation` is the saved (best) model's, by split; `signal` is 0 or what interrupted it."""

    folder: Path
    reason: str
    position: Position
    evaluation: dict[str, Any]
    signal: int

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        p = self.position
        return {
            "model": str(self.folder / "model"),
            "reason": self.reason,
            "steps": p.step,
            "seconds": round(p.seconds, 1),
            "best_step": p.best_step,
            "skipped": p.skipped,
            "evaluation": self.evaluation,
        }

    def summary(self) -> str:
        """A few lines for a person."""
        p = self.position
        why = {"finished": "", "early": " (stopped early: no improvement any more)", "interrupted": " (interrupted)"}
        lines = [f"{self.folder / 'model'}: {p.step:,} steps in {p.seconds / 60:.1f} minutes{why[self.reason]}"]
        for split, values in self.evaluation.items():
            if "perplexity" not in values:
                lines.append(f"  {split}: " + ", ".join(f"{k.replace('_', ' ')} {v:,.4g}" for k, v in values.items()))
                continue
            bits = values.get("bits_per_character")
            lines.append(
                f"  {split}: perplexity {values['perplexity']:,.2f} per token"
                + ("" if bits is None else f", {bits:.3f} bits per character")
            )
        if p.skipped:
            lines.append(f"  {p.skipped} minibatches were skipped: their loss was not finite")
        return "\n".join(lines)


def train(
    texts: Sequence[str],
    *,
    out: Path,
    recipe: Recipe,
    device: str = "auto",
    resume: bool = False,
    same_recipe: bool = True,
    overwrite: bool = False,
    encoding: str | None = None,
    progress: bool = True,
) -> Result:
    """Train a language model on `texts` into the folder `out`: `model/` (the best), `checkpoint/`, `metrics.jsonl`,
    `loss.svg`, `loss.png`, `text/` (token ids).

    `resume` goes on from `out`'s checkpoint; the texts must be the same, and so must the recipe if `same_recipe`
    (otherwise the recorded one is used). A larger budget than the recorded one extends the run.

    Raises TextError, SettingsError, TrainingError, BundleError.
    """
    prepare_torch()
    watcher = Progress() if progress else Silent()
    check_folder(out, resume=resume, overwrite=overwrite)
    where = resolve_device(device)
    recorded = load_checkpoint(out / "checkpoint").run if resume else None
    if recorded is not None:
        recipe = resumed_recipe(recipe, recorded, same_recipe)
    expected = None if recorded is None else recorded["fingerprint"]
    corpus = prepare(texts, recipe.text, out / "text", encoding=encoding, expected=expected)
    for note in corpus.notes:
        watcher.noted(note)
    size = plan.CorpusSize(corpus.train.tokens, corpus.heldout.tokens, corpus.tokenizer.vocabulary_size)
    speed = plan.machine_speed(
        torch.get_num_threads(), fast_bf16=resolve_precision("auto", where, hidden_size=512) == "bf16"
    )
    resolved = plan.resolve(recipe, size, speed)
    resolved, settings, run = settle(recipe, resolved, corpus.fingerprint, recorded, where, watcher)

    torch.manual_seed(settings.seed)
    model = build_language_model(resolved.model, size.vocabulary_size).to(where)
    counts = baselines.token_counts(corpus.train.ids, size.vocabulary_size)
    start_output_bias(model.head.bias, counts, resolved.model.initialisation)
    if settings.candidates:
        model.candidates = Candidates(counts, settings.candidates, where)
        watcher.over_candidates = True
    recorder = _Recorder(watcher, ModelWriter(out / "model", model, resolved, corpus), corpus, model, out)
    trainer = Trainer(
        model,
        LanguageData(model, corpus.train.ids, corpus.heldout.ids, settings),
        settings,
        folder=out,
        device=where,
        watcher=recorder,
        run=run,
    )
    if overwrite:
        empty_folder(out)
    (out / "recipe.toml").write_text(to_toml(resolved), "utf-8")
    watcher.noted(_headline(corpus, model, resolved, settings.precision, where))
    if resume:
        trainer.resume()
        watcher.noted(f"resumed at step {trainer.position.step}")
    with stop_on_signals(trainer) as received:
        outcome = trainer.train()
    recorder.finish()
    return result_of(out, outcome, received)


def settle(
    recipe: Recipe,
    resolved: Recipe,
    fingerprint: str,
    recorded: dict[str, Any] | None,
    device: torch.device,
    watcher: Progress | Silent,
) -> tuple[Recipe, TrainingSettings, dict[str, Any]]:
    """The recipe in force (the `recorded` run's where one is resumed), its training settings with the precision
    decided, and the run's description for the checkpoint. Raises TrainingError and UsageError."""
    run = {"fingerprint": fingerprint, "requested": to_mapping(recipe), "resolved": to_mapping(resolved),
           "precision": recipe.training.precision, "threads": torch.get_num_threads()}  # fmt: skip
    if recorded is not None:
        resolved = check_resume(recipe, resolved, run, recorded, watcher)
    m = resolved.model
    assert m.hidden_size is not None
    precision = resolve_precision(resolved.training.precision, device, hidden_size=m.hidden_size, cell=m.cell)
    return resolved, dataclasses.replace(resolved.training, precision=precision), run


def _without_budget(mapping: dict[str, Any]) -> dict[str, Any]:
    training = {k: v for k, v in mapping["training"].items() if k not in _BUDGET}
    return {**mapping, "training": training}


def resumed_recipe(recipe: Recipe, recorded: dict[str, Any], same_recipe: bool) -> Recipe:
    """The recorded recipe, with the budget of `recipe` where it names one; checked to be the same if asked to, where
    `recipe` does not leave it to the program."""
    before = recipe_from_mapping(recorded["requested"], "the checkpoint's recipe")
    if same_recipe:
        old, new = _without_budget(to_mapping(before)), _without_budget(to_mapping(recipe))
        for section, table in old.items():
            for key, value in table.items():
                if new[section][key] not in (value, "auto"):
                    raise TrainingError(
                        f"cannot resume with another recipe: {section}.{key} was {value}, now {new[section][key]}; "
                        "leave --recipe and --set out to go on with the recorded one, or start anew with -o"
                    )
    given = {k: getattr(recipe.training, k) for k in _BUDGET}
    if any(value is not None for value in given.values()):
        before = dataclasses.replace(before, training=dataclasses.replace(before.training, **given))
    return dataclasses.replace(before, name=recipe.name)


def check_resume(
    recipe: Recipe, resolved: Recipe, run: dict[str, Any], recorded: dict[str, Any], watcher: Progress | Silent
) -> Recipe:
    """The recorded recipe as it was resolved, with the (possibly extended) budget. Raises for another corpus."""
    if recorded["fingerprint"] != run["fingerprint"]:
        raise TrainingError("cannot resume with another text: give the same files as before, or start anew with -o")
    if recorded["threads"] != run["threads"]:
        watcher.noted(
            f"the run was started with {recorded['threads']} threads, now there are {run['threads']}: "
            "it goes on, but not bit for bit"
        )
    before = recipe_from_mapping(recorded["resolved"], "the checkpoint's recipe")
    budget = {k: getattr(resolved.training, k) for k in _BUDGET}
    before = dataclasses.replace(before, training=dataclasses.replace(before.training, **budget), name=recipe.name)
    run["resolved"] = to_mapping(before)
    return before


def _headline(corpus: Corpus, model: LanguageModel, recipe: Recipe, precision: str, device: torch.device) -> str:
    m, t = recipe.model, recipe.training
    softmax = f"softmax over {t.candidates:,} tokens and the targets a step, " if t.candidates else ""
    return (
        f"{corpus.train.documents:,} documents, {corpus.train.tokens:,} tokens to learn from, "
        f"{corpus.heldout.tokens:,} held out, vocabulary {model.vocabulary_size:,}\n"
        f"{m.shape}, {model.parameter_count:,} parameters, {softmax}"
        f"minibatches {t.batch_size} × {t.window} {t.sampling}, {t.optimizer} {t.learning_rate:g}, "
        f"{precision} on {device}"
    )


@contextmanager
def stop_on_signals(trainer: Trainer) -> Iterator[list[int]]:
    """Inside, Ctrl-C and SIGTERM end training after the minibatch in progress; a second one ends it at once.

    Yields the list of signals received. Does nothing outside the main thread.
    """
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        trainer.interrupted = True

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Recorder:
    """Passes events on to the progress display; saves the best model, and now and then shows what it writes."""

    def __init__(
        self, watcher: Progress | Silent, writer: ModelWriter, corpus: Corpus, model: LanguageModel, out: Path
    ) -> None:
        self.watcher, self.writer, self.corpus, self.model = watcher, writer, corpus, model
        self.picture = LossPicture(out, watcher.noted, title=", ".join(corpus.names))
        self.sample, self._sampled = "", 0.0
        self.stepped, self.noted = watcher.stepped, watcher.noted

    def evaluated(self, row: Row, best: bool) -> None:
        """Save and show."""
        self.watcher.evaluated(row, best)
        if best:
            self.writer.save(row)
        now = time.perf_counter()
        if now - self._sampled > _SAMPLE_SECONDS:
            self._sampled = now
            self.sample = sample_text(self.model, self.corpus)
            self.watcher.noted("\n".join(f"    {line}" for line in self.sample.splitlines()))
            self.picture.draw(self.sample)

    def finish(self) -> None:
        """The last picture; the display is done."""
        self.picture.draw(self.sample)
        self.watcher.finished()


def result_of(out: Path, outcome: Outcome, received: list[int]) -> Result:
    """The result of a run whose best model is in `out`."""
    config = json.loads((out / "model" / "config.json").read_text("utf-8"))
    return Result(out, outcome.reason, outcome.position, config["evaluation"], received[0] if received else 0)
