"""What saves a language model as it learns: its tensors with their figures, baselines and card."""

import copy
import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.bundle import Bundle, Probe
from ostinato.evaluation import Evaluation, baselines, figure
from ostinato.models.language_model import LanguageModel
from ostinato.models.step import TorchStepModel
from ostinato.runs.language_data import evaluate_text, token_scores_of
from ostinato.runs.line_to_beat import Line
from ostinato.runs.saving import ModelWriter, loss_figures
from ostinato.runs.start import Origin
from ostinato.settings import ResolvedRecipe
from ostinato.terminal import activity
from ostinato.text import Corpus
from ostinato.text.description import describe, summary
from ostinato.text.known_words import words_file
from ostinato.training.observers import Row

_INT8_TOKENS = 20_000


class LanguageWriter(ModelWriter):
    """Saves the best language model; a recurrent one with what int8 weights cost it."""

    def __init__(
        self,
        folder: Path,
        model: LanguageModel,
        recipe: ResolvedRecipe,
        corpus: Corpus,
        origin: Origin | None = None,
        line: Line | None = None,
    ) -> None:
        super().__init__(folder, model, recipe, corpus.tokenizer)
        self.model, self.origin = model, origin
        self._start: dict[str, Any] | None = None
        self.corpus, self.over_candidates = corpus, model.candidates is not None
        self.baselines: dict[str, Evaluation] = {}
        heldout, v = corpus.heldout, corpus.tokenizer.vocabulary_size
        if heldout.tokens:
            self.baselines = {
                "held-out, uniform": baselines.uniform(heldout.ids, v, heldout.characters),
                "held-out, unigram": baselines.unigram(corpus.train.ids, heldout.ids, v, heldout.characters),
            }
        if line is not None:
            self.baselines[line.split] = line.evaluation

    def probe(self) -> Probe:
        """The scores of a few texts, computed in float32 on the CPU as the network computes them."""
        model = self.model if self.model.head.bias.device.type == "cpu" else copy.deepcopy(self.model).cpu()
        return Probe.of(TorchStepModel(model))

    def token_scores(self, tensors: Mapping[str, Any]) -> npt.NDArray[np.float64]:
        """ln P of each held-out token, (T,), under these weights, which the network keeps."""
        self.model.load_tensors(tensors)
        return token_scores_of(self.model, self.recipe.training, self.corpus.heldout.ids)

    def unmeasured(self, config: Mapping[str, Any]) -> bool:
        """The test text's figures, and int8 weights, which a window has none of."""
        lacks_test = self.corpus.test is not None and "test" not in config["evaluation"]
        return lacks_test or ("int8" not in config and not self.recipe.model.context)

    def tested(self, tensors: Mapping[str, Any]) -> Mapping[str, Any]:
        """The saved model's figures on the test text, which nothing was chosen by."""
        test = self.corpus.test
        if test is None:
            return {}
        with activity("measuring the test text"):
            self.module.load_tensors(tensors)
            scores = token_scores_of(self.model, self.recipe.training, test.ids)
        return Evaluation(-float(scores.sum()), test.tokens, test.characters, "test").to_json()

    def tables(self) -> dict[str, Any]:
        """Kind, text, and the model that this one started from."""
        kind = "window" if self.recipe.model.context else "recurrent"
        return {
            "kind": kind,
            "text": describe(self.corpus),
            **({"start": self._start} if self._start is not None else {}),
        }

    def evaluated(self, row: Row, best: bool) -> None:
        """Measure the start's old text with the weights that are saved, once, while they are in the model."""
        if best and self.origin is not None:
            old = self.origin.old
            after = {} if old is None else {"old text": evaluate_text(self.model, self.recipe.training, *old).to_json()}
            self._start = self.origin.table(after)
        super().evaluated(row, best)

    def evaluation(self, row: Row) -> dict[str, Any]:
        """The losses and the baselines."""
        report: dict[str, Any] = {}
        heldout = self.corpus.heldout
        if row.heldout_loss is not None:
            measured = Evaluation(row.heldout_loss * heldout.tokens, heldout.tokens, heldout.characters, "held-out")
            report["held-out"] = measured.to_json()
        if not (math.isnan(row.train_loss) or self.over_candidates):  # else it is no perplexity
            report["training"] = loss_figures(row.train_loss)
        return report | {split: baseline.to_json() for split, baseline in self.baselines.items()}

    def measured(self, config: dict[str, Any], tensors: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """What int8 weights cost, on up to _INT8_TOKENS held-out tokens, else on text of the model's own."""
        if self.recipe.model.context:
            return {}, ""
        from ostinato.runtime import precision_loss

        heldout = self.corpus.heldout.ids[:_INT8_TOKENS]
        loss = precision_loss(
            Bundle(self.folder, config, self.tokenizer, tensors, ""), heldout if len(heldout) else None
        )
        return {"int8": {"perplexity": loss.int8, "fp32": loss.fp32, "tokens": loss.tokens}}, str(loss)

    @cached_property
    def extra(self) -> Mapping[str, bytes]:
        """The words of the training text, for a model that spells."""
        backward = self.corpus.settings.direction == "backward"
        return words_file(self.corpus.train.ids, self.tokenizer, backward=backward)

    def card(self, row: Row, config: Mapping[str, Any]) -> list[str]:
        """Model, text, training, and a table of what was measured."""
        m, c, evaluation = self.recipe.model, self.corpus, config["evaluation"]
        lines = [
            f"# A {'window' if m.context else 'recurrent'} language model of {', '.join(c.names)}",
            "",
            f"- model: {m.shape}, embedding {m.embedding_size or 'one-hot'}"
            f"{', tied' if m.tied else ''}; {self.module.parameter_count:,} parameters",
            f"- text: {summary(c)}",
            f"- training: recipe {self.recipe.name}, {self.how_long(row)}",
            *(_origin_lines(config["start"], evaluation) if "start" in config else []),
            "",
        ]
        if evaluation:
            lines += ["| measured on | perplexity per token | bits per character |", "|---|---|---|"]
        for split, values in evaluation.items():
            bits = values.get("bits_per_character")
            lines.append(f"| {split} | {figure(values['perplexity'])} | {'' if bits is None else f'{bits:.3f}'} |")
        return [
            *lines,
            "",
            "Perplexity on the training text shows how well the model memorised the text, not how good it is.",
        ]


def _origin_lines(table: Mapping[str, Any], evaluation: Mapping[str, Any]) -> list[str]:
    """Where the model came from, and both texts before and after."""
    after = {"new text": evaluation.get("held-out"), **table["after"]}
    lines = [f"- started from {table['name']}" + (f" ({', '.join(table['texts'])})" if table["texts"] else "")]
    for name, before in table["before"].items():
        if (now := after.get(name)) is not None:
            lines.append(
                f"- {name}, held out: {before['bits_per_character']:.3f} bits per character before, "
                f"{now['bits_per_character']:.3f} after"
            )
    return lines
