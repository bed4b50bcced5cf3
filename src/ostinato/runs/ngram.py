"""n-gram models: counted in seconds, so there is nothing to resume. Needs no torch."""

import dataclasses
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ostinato.bundle import Probe, write_bundle
from ostinato.evaluation import Evaluation, baselines, evaluate, figure
from ostinato.ngram import NgramModel, fit_ngram, unseen_note
from ostinato.protocols import StepModel
from ostinato.runs.folder import counting_folder
from ostinato.runs.task import Result, Run, Task
from ostinato.runs.texts import read_corpus
from ostinato.settings import NgramSettings, Recipe
from ostinato.terminal import activity
from ostinato.text import Corpus
from ostinato.text.description import describe, summary
from ostinato.text.known_words import words_file


@dataclass(frozen=True)
class Settled:
    """An n-gram recipe leaves nothing to be decided."""

    recipe: Recipe


@dataclass(frozen=True)
class Counted:
    """The model, its text, the seconds that counting took, and the folder in which it may have been counted."""

    model: NgramModel
    corpus: Corpus
    seconds: float
    folder: Path


class CountsTask(Task):
    """What is learnt from a text in one pass: there is nothing to resume, and torch is not needed."""

    writes = True
    resumable = False

    def read(self, run: Run) -> Corpus:
        """The texts as ids, divided already."""
        return read_corpus(run)

    def divide(self, run: Run, read: Corpus) -> Corpus:
        """As `prepare` did."""
        return read

    def settle(self, run: Run, data: Corpus) -> Settled:
        """As it is."""
        return Settled(run.recipe)


class NgramTask(CountsTask):
    """Counting n-grams."""

    building = "counting n-grams"

    def build(self, run: Run, settled: Settled, data: Corpus) -> Counted:
        """Count."""
        started, folder = time.perf_counter(), counting_folder(run.out)
        try:
            model = fit_settings(data, settled.recipe.ngram, folder)
            return Counted(model, data, time.perf_counter() - started, folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def train(self, run: Run, settled: Settled, built: Counted) -> Result:
        """Nothing is left to learn: measure and save."""
        try:
            return self._measured(run, settled, built)
        finally:
            shutil.rmtree(built.folder, ignore_errors=True)

    def _measured(self, run: Run, settled: Settled, built: Counted) -> Result:
        model, corpus, seconds = built.model, built.corpus, built.seconds
        with activity("measuring"):
            evaluation, notes = evaluate_counts(model, corpus)
        notes = [*model.settings["notes"], *notes]
        every = [*corpus.notes, *notes]
        save_ngram(run.out / "model", model, corpus, settled.recipe.name, seconds, evaluation, every)
        counts = " + ".join(f"{size:,}" for size in model.sizes)
        return Result(
            run.out,
            "finished",
            f"{counts} n-grams of orders 1 to {len(model.sizes)} in {seconds:.1f} s",
            {"seconds": round(seconds, 2), "ngrams": list(model.sizes), "notes": every},
            evaluation,
            tuple(notes),
        )


TASK = NgramTask()


def fit_settings(corpus: Corpus, settings: NgramSettings, folder: Path | None = None) -> NgramModel:
    """The n-gram model of the corpus's training split that `settings` describe; `folder`: for what memory is too small
    for."""
    memory = int(settings.memory * 2**30) if settings.memory else None
    return fit_ngram(
        corpus.train.ids,
        corpus.tokenizer.vocabulary_size,
        order=settings.order,
        smoothing=settings.smoothing,
        k=settings.k,
        prune_counts=(0, 0, settings.prune)[: settings.order] if settings.prune else (),
        memory=memory,
        folder=None if memory is None else folder,
    )


def save_ngram(
    folder: Path,
    model: NgramModel,
    corpus: Corpus,
    recipe: str,
    seconds: float,
    evaluation: dict[str, Any],
    notes: Sequence[str],
) -> None:
    """Write the bundle of an n-gram model. Raises BundleError."""
    s = model.settings
    line = f"{s['smoothing']}, order {s['order']}; {' + '.join(f'{size:,}' for size in model.sizes)} n-grams"
    save_counts(
        folder, corpus, recipe, seconds, evaluation, notes,
        kind="ngram", settings=s, tensors=model.arrays, title="An n-gram model", line=line,
        model=model,
    )  # fmt: skip


def save_counts(
    folder: Path,
    corpus: Corpus,
    recipe: str,
    seconds: float,
    evaluation: dict[str, Any],
    notes: Sequence[str],
    *,
    kind: str,
    settings: Mapping[str, Any],
    tensors: Mapping[str, npt.NDArray[Any]],
    title: str,
    line: str,
    model: StepModel,
) -> None:
    """Write the bundle of `model`, which was counted; its card begins with `title` and describes it in a `line`.

    Raises BundleError.
    """
    card = [
        f"# {title} of {', '.join(corpus.names)}",
        "",
        f"- model: {line}",
        f"- text: {summary(corpus)}",
        f"- recipe {recipe}, counted in {seconds:.1f} s",
        *(f"- {note}" for note in notes),
        "",
        *(f"- {split}: {_figures(values)}" for split, values in evaluation.items()),
    ]
    config = {
        "kind": kind,
        "model": dict(settings),
        "text": describe(corpus),
        "training": {"seconds": round(seconds, 2)},
        "evaluation": evaluation,
    }
    with activity("saving the model"):
        write_bundle(
            folder, config=config, tokenizer=corpus.tokenizer, tensors=tensors, card="\n".join(card) + "\n",
            extra=words_file(corpus.train.ids, corpus.tokenizer, backward=corpus.settings.direction == "backward"),
            probe=Probe.of(model),
        )  # fmt: skip


def evaluate_counts(model: StepModel, corpus: Corpus) -> tuple[dict[str, Any], list[str]]:
    """The held-out figures of the model and of the baselines, and a note on what the model takes for impossible."""
    heldout, size = corpus.heldout, corpus.tokenizer.vocabulary_size
    if not heldout.tokens:
        return {}, []
    report: dict[str, Evaluation] = {
        "held-out": evaluate(model, heldout.ids, heldout.characters),
        "held-out, uniform": baselines.uniform(heldout.ids, size, heldout.characters),
        "held-out, unigram": baselines.unigram(corpus.train.ids, heldout.ids, size, heldout.characters),
    }
    if (test := corpus.test) is not None:
        report["test"] = dataclasses.replace(evaluate(model, test.ids, test.characters), split="test")
    note = unseen_note(model.score(heldout.ids))
    return {split: values.to_json() for split, values in report.items()}, [note] if note else []


def _figures(values: dict[str, Any]) -> str:
    perplexity, bits = values["perplexity"], values["bits_per_character"]
    if perplexity is None:
        return "perplexity infinite"
    return f"perplexity {figure(perplexity)} per token, {bits if bits is not None else math.inf:.3f} bits per character"
