"""Context-mixing models: trained in one pass, in seconds, so there is nothing to resume. Needs no torch."""

import time
from dataclasses import dataclass

from ostinato.mixing import MixingModel, fit_mixing, to_tensors
from ostinato.runs.ngram import CountsTask, Settled, evaluate_counts, save_counts
from ostinato.runs.task import Result, Run
from ostinato.terminal import activity
from ostinato.text import Corpus


@dataclass(frozen=True)
class Mixed:
    """The model, its text, and the seconds that training took."""

    model: MixingModel
    corpus: Corpus
    seconds: float


class MixingTask(CountsTask):
    """Learning counters and how to mix them."""

    building = "learning"

    def build(self, run: Run, settled: Settled, data: Corpus) -> Mixed:
        """Learn. Raises UsageError for a vocabulary that is too large."""
        started = time.perf_counter()
        return Mixed(fit_mixing(data.train.ids, data.tokenizer), data, time.perf_counter() - started)

    def train(self, run: Run, settled: Settled, built: Mixed) -> Result:
        """Nothing is left to learn: measure and save."""
        model, corpus, seconds = built.model, built.corpus, built.seconds
        with activity("measuring"):
            evaluation, notes = evaluate_counts(model, corpus)
        tensors = to_tensors(model)
        size = sum(tensor.nbytes for tensor in tensors.values()) / 1e6
        line = (
            f"counters of 20 contexts, {model.parameter_count:,} parameters, {size:.1f} MB; does not change as it reads"
        )
        save_counts(
            run.out / "model", corpus, settled.recipe.name, seconds, evaluation, (*corpus.notes, *notes),
            kind="context-mixing", settings=model.settings, tensors=tensors,
            title="A context-mixing model", line=line, model=model,
        )  # fmt: skip
        figures = {"seconds": round(seconds, 2), "parameters": model.parameter_count, "megabytes": round(size, 1)}
        return Result(
            run.out,
            "finished",
            f"{model.parameter_count:,} parameters, {size:.1f} MB, in {seconds:.1f} s",
            {**figures, "notes": [*corpus.notes, *notes]},
            evaluation,
            tuple(notes),
        )


TASK = MixingTask()
