"""A whole n-gram run: from texts to a model on disk. The counterpart of `runs.language`; needs no torch."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ostinato.bundle import write_bundle
from ostinato.errors import TrainingError
from ostinato.evaluation import Evaluation, baselines, evaluate
from ostinato.ngram import NgramModel, fit_ngram, unseen_note
from ostinato.runs.folder import check_folder, empty_folder
from ostinato.settings import NgramSettings, Recipe, to_toml
from ostinato.text import Corpus, prepare
from ostinato.text.description import describe
from ostinato.text.known_words import words_file


@dataclass(frozen=True)
class NgramResult:
    """What a run came to. `notes` are for the user, `evaluation` is by split, as the bundle has it."""

    folder: Path
    seconds: float
    sizes: tuple[int, ...]
    evaluation: dict[str, Any]
    notes: tuple[str, ...]
    signal: int = 0

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "model": str(self.folder / "model"),
            "seconds": round(self.seconds, 2),
            "ngrams": list(self.sizes),
            "evaluation": self.evaluation,
            "notes": list(self.notes),
        }

    def summary(self) -> str:
        """A few lines for a person."""
        counts = " + ".join(f"{size:,}" for size in self.sizes)
        lines = [f"{self.folder / 'model'}: {counts} n-grams of orders 1 to {len(self.sizes)} in {self.seconds:.1f} s"]
        for split, values in self.evaluation.items():
            lines.append(f"  {split}: {_figures(values)}")
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


def fit_settings(corpus: Corpus, settings: NgramSettings) -> NgramModel:
    """The n-gram model of the corpus's training split that `settings` describe."""
    return fit_ngram(
        corpus.train.ids,
        corpus.tokenizer.vocabulary_size,
        order=settings.order,
        smoothing=settings.smoothing,
        k=settings.k,
        prune_counts=(0, 0, settings.prune)[: settings.order] if settings.prune else (),
    )


def train_ngram(
    texts: Sequence[str], *, out: Path, recipe: Recipe, overwrite: bool = False, encoding: str | None = None
) -> NgramResult:
    """Count the n-grams of `texts` into the folder `out`: `model/`, `recipe.toml`, `text/` (token ids).

    Raises TextError, SettingsError, TrainingError where `out` holds a run already, and BundleError.
    """
    check_folder(out, resume=None, overwrite=overwrite)
    corpus = prepare(texts, recipe.text, out / "text", encoding=encoding)
    started = time.perf_counter()
    model = fit_settings(corpus, recipe.ngram)
    seconds = time.perf_counter() - started
    evaluation, notes = _evaluate(model, corpus)
    notes = [*corpus.notes, *model.settings["notes"], *notes]
    if overwrite:
        empty_folder(out)
    save_ngram(out / "model", model, corpus, recipe.name, seconds, evaluation, notes)
    try:
        (out / "recipe.toml").write_text(to_toml(recipe), "utf-8")
    except OSError as error:
        raise TrainingError(f"cannot write to the output folder {out}: {error.strerror}") from None
    return NgramResult(out, seconds, model.sizes, evaluation, tuple(notes))


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
    card = [
        f"# An n-gram model of {', '.join(corpus.names)}",
        "",
        f"- model: {s['smoothing']}, order {s['order']}; {' + '.join(f'{size:,}' for size in model.sizes)} n-grams",
        f"- text: {corpus.train.documents:,} documents, {corpus.train.tokens:,} tokens ({corpus.settings.tokenizer}), "
        f"{corpus.train.characters:,} characters; held out: {corpus.heldout.documents:,} documents, "
        f"{corpus.heldout.tokens:,} tokens",
        f"- recipe {recipe}, counted in {seconds:.1f} s",
        *(f"- {note}" for note in notes),
        "",
        *(f"- {split}: {_figures(values)}" for split, values in evaluation.items()),
    ]
    config = {
        "kind": "ngram",
        "model": dict(s),
        "text": describe(corpus),
        "training": {"seconds": round(seconds, 2)},
        "evaluation": evaluation,
    }
    write_bundle(
        folder, config=config, tokenizer=corpus.tokenizer, tensors=model.arrays, card="\n".join(card) + "\n",
        extra=words_file(corpus.train.ids, corpus.tokenizer, backward=corpus.settings.direction == "backward"),
    )  # fmt: skip


def _evaluate(model: NgramModel, corpus: Corpus) -> tuple[dict[str, Any], list[str]]:
    """The held-out figures of the model and of the baselines, and a note on what the model holds for impossible."""
    heldout, size = corpus.heldout, corpus.tokenizer.vocabulary_size
    if not heldout.tokens:
        return {}, []
    report: dict[str, Evaluation] = {
        "held-out": evaluate(model, heldout.ids, heldout.characters),
        "held-out, uniform": baselines.uniform(heldout.ids, size, heldout.characters),
        "held-out, unigram": baselines.unigram(corpus.train.ids, heldout.ids, size, heldout.characters),
    }
    note = unseen_note(model.score(heldout.ids))
    return {split: values.to_json() for split, values in report.items()}, [note] if note else []


def _figures(values: dict[str, Any]) -> str:
    perplexity, bits = values["perplexity"], values["bits_per_character"]
    if perplexity is None:
        return "perplexity infinite"
    return f"perplexity {perplexity:,.2f} per token, {bits if bits is not None else math.inf:.3f} bits per character"
