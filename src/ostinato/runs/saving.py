"""From a trained language model to a bundle: its settings, its card, and what was measured."""

import dataclasses
import math
from functools import cached_property
from pathlib import Path
from typing import Any

from ostinato.bundle import write_bundle
from ostinato.evaluation import Evaluation, baselines
from ostinato.models.language_model import LanguageModel
from ostinato.runs.progress import duration
from ostinato.settings import Recipe
from ostinato.text import Corpus
from ostinato.text.description import describe
from ostinato.text.known_words import words_file
from ostinato.training.metrics import Row


def heldout_evaluation(corpus: Corpus, loss: float) -> Evaluation:
    """A mean loss (nats per token) over the held-out split as an `Evaluation`."""
    tokens = corpus.heldout.tokens
    return Evaluation(loss * tokens, tokens, corpus.heldout.characters, "held-out")


class ModelWriter:
    """Saves the best model of a run as `folder`, with a card that says what is known of it."""

    def __init__(self, folder: Path, model: LanguageModel, recipe: Recipe, corpus: Corpus) -> None:
        self.folder, self.model, self.recipe, self.corpus = folder, model, recipe, corpus
        self.baselines: dict[str, Evaluation] = {}
        if corpus.heldout.tokens:
            v = corpus.tokenizer.vocabulary_size
            self.baselines = {
                "uniform": baselines.uniform(corpus.heldout.ids, v, corpus.heldout.characters),
                "unigram": baselines.unigram(corpus.train.ids, corpus.heldout.ids, v, corpus.heldout.characters),
            }

    def save(self, row: Row) -> None:
        """Write the bundle with the weights now in the model. Raises BundleError; the old one then stays."""
        evaluation = self.evaluation(row)
        config = {
            "kind": "window" if self.recipe.model.context else "recurrent",
            "model": {**dataclasses.asdict(self.recipe.model), "vocabulary_size": self.model.vocabulary_size},
            "text": describe(self.corpus),
            "training": self.training_config(row),
            "evaluation": evaluation,
        }
        write_bundle(
            self.folder,
            config=config,
            tokenizer=self.corpus.tokenizer,
            tensors=self.model.save_tensors(),
            card=self.card(row, evaluation),
            extra=self.words,
        )

    @cached_property
    def words(self) -> dict[str, bytes]:
        """The words of the training text as a file, for a model that spells."""
        corpus = self.corpus
        backward = corpus.settings.direction == "backward"
        return words_file(corpus.train.ids, corpus.tokenizer, backward=backward)

    def training_config(self, row: Row) -> dict[str, Any]:
        """The training settings (without those of the machine) and how far the run had come."""
        settings = dataclasses.asdict(self.recipe.training)
        del settings["precision"]
        return {
            **settings,
            "steps_done": row.step,
            "epochs_done": round(row.epoch, 3),
            "seconds": round(row.seconds, 1),
        }

    def evaluation(self, row: Row) -> dict[str, Any]:
        """What was measured, each number with the split it was measured on."""
        report: dict[str, Any] = {}
        if row.heldout_loss is not None:
            report["held-out"] = heldout_evaluation(self.corpus, row.heldout_loss).to_json()
        if not (math.isnan(row.train_loss) or self.model.candidates):  # else it is no perplexity
            report["training"] = {"nats_per_token": row.train_loss, "perplexity": math.exp(min(row.train_loss, 700))}
        report.update({f"held-out, {name}": baseline.to_json() for name, baseline in self.baselines.items()})
        return report

    def card(self, row: Row, evaluation: dict[str, Any]) -> str:
        """The model's card, Markdown."""
        m, c = self.recipe.model, self.corpus
        lines = [
            f"# A {'window' if m.context else 'recurrent'} language model of {', '.join(c.names)}",
            "",
            f"- model: {m.shape}, embedding {m.embedding_size or 'one-hot'}"
            f"{', tied' if m.tied else ''}; {self.model.parameter_count:,} parameters",
            f"- text: {c.train.documents:,} documents, {c.train.tokens:,} tokens ({c.settings.tokenizer}), "
            f"{c.train.characters:,} characters; held out: {c.heldout.documents:,} documents, "
            f"{c.heldout.tokens:,} tokens",
            f"- training: recipe {self.recipe.name}, {row.step:,} steps, {row.epoch:.1f} epochs, "
            f"{duration(row.seconds)}",
            "",
        ]
        if evaluation:
            lines += ["| measured on | perplexity per token | bits per character |", "|---|---|---|"]
        for split, values in evaluation.items():
            bits = values.get("bits_per_character")
            lines.append(f"| {split} | {values['perplexity']:.2f} | {'' if bits is None else f'{bits:.3f}'} |")
        lines += [
            "",
            "Perplexity on the training text says how well the text was learnt by heart, not how good the model is.",
        ]
        return "\n".join(lines) + "\n"
