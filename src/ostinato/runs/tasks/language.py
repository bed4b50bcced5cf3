"""The language model of a text: what is read, how "auto" is decided, what is built, measured and said of it."""

import contextlib
import dataclasses
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ostinato.errors import TextError, TrainingError, UsageError, counted
from ostinato.evaluation import baselines
from ostinato.layers import initialisation, keep_one_bias, start_output_bias
from ostinato.layers.native import instruction_set
from ostinato.layers.threads import wanted_threads
from ostinato.models.candidates import Candidates
from ostinato.models.device import resolve_precision
from ostinato.models.language_model import LanguageModel
from ostinato.models.window_mlp import build_language_model
from ostinato.runs.counts import Counts, find_counts
from ostinato.runs.defaults import CorpusSize, machine_speed, reason, resolve
from ostinato.runs.fitting import fitted
from ostinato.runs.folder import network_model
from ostinato.runs.language_data import LanguageData, evaluate_text
from ostinato.runs.language_writer import LanguageWriter
from ostinato.runs.line_to_beat import find_line, verdict
from ostinato.runs.mixture import mixed_with_counts
from ostinato.runs.network import Built, NetworkTask, Settled
from ostinato.runs.picture import LossPicture
from ostinato.runs.sample_file import append_sample
from ostinato.runs.samples import sample_text
from ostinato.runs.start import (
    Origin,
    carried_over,
    find_origin,
    is_strange,
    name_of,
    recorded_origin,
    shaped,
    start_rate,
    starting_tokenizer,
)
from ostinato.runs.task import Run
from ostinato.runs.texts import fingerprint, read_corpus
from ostinato.settings import ResolvedRecipe, ResolvedTraining
from ostinato.terminal import activity
from ostinato.text import Corpus, open_corpus
from ostinato.training.observers import Observer, Observers, Row
from ostinato.training.team import ALONE

_SAMPLE_SECONDS = 20.0


class LanguageTask(NetworkTask):
    """Token ids to a distribution over the next one."""

    writes = True

    def read(self, run: Run) -> Corpus:
        """The texts as ids in `text/`, cut with the vocabulary of the model that the run starts from, if any."""
        if run.told is not None:
            return _prepared(run, run.told["fingerprint"])
        tokenizer, expected = None, None
        if run.recorded is not None:
            expected = run.recorded["fingerprint"]
            if "start" in run.recorded:
                tokenizer = open_corpus(run.out / "text").tokenizer
        elif run.start is not None:
            tokenizer = starting_tokenizer(run, run.start)
        return read_corpus(run, tokenizer, expected)

    def divide(self, run: Run, read: Corpus) -> Corpus:
        """As `prepare` did: whole documents are held out, or the tail of a single one."""
        return read

    def fingerprint(self, data: Corpus) -> str:
        """The texts' and their settings'."""
        return fingerprint(data)

    def resolve(self, run: Run, data: Corpus, device: torch.device) -> ResolvedRecipe:
        """By the size of the corpus, the time given and the machine; the shape of a start is its own."""
        recipe, rate, started = run.recipe, None, run.start is not None
        if run.start is not None and run.recorded is None:
            recipe, rate = shaped(recipe, run.start), start_rate(run.start)
            if rate is None and recipe.training.learning_rate is None and is_strange(run.start, data):
                started = False
                run.seen.noted(
                    f"{name_of(run.start)} does not know this kind of text: training uses the learning rate of a "
                    "new network (--from none: start from random weights)"
                )
        precision = resolve_precision(recipe.training.precision, device, hidden_size=512)
        speed = machine_speed(_cores(run), instruction_set(), precision)
        size = _size(data)
        recipe = fitted(recipe, size, speed)
        return resolve(recipe, size, speed, started=started, start_rate=rate)

    def settle(self, run: Run, data: Corpus) -> Settled:
        """As every network's; each process has at least one row. Raises UsageError."""
        settled = super().settle(run, data)
        size, rows = 1 if run.team is None else run.team.size, settled.training.batch_size
        if rows < size:
            raise UsageError(
                f"{size} processes cannot share a minibatch of {counted(rows, 'row')}: start fewer "
                f"processes, or set training.batch_size to {size} or more"
            )
        return settled

    def build(self, run: Run, settled: Settled, data: Corpus) -> Built:
        """The network; its output bias starts from the frequencies of the tokens, or all of it from another model."""
        recipe, training = settled.recipe, settled.training
        torch.manual_seed(training.seed)
        model = build_language_model(recipe.model, data.tokenizer.vocabulary_size).to(settled.device)
        if initialisation(recipe.model.initialisation).one_bias:
            keep_one_bias(model)
        counts = baselines.token_counts(data.train.ids, model.vocabulary_size)
        if training.candidates:
            model.candidates = Candidates(counts, training.candidates, settled.device)
        learnt = LanguageData(model, data.train.ids, data.heldout.ids, training, run.team or ALONE)
        if not run.leads:  # the weights are the first one's
            return Built(model, learnt, "", [])
        if run.start is None:
            start_output_bias(model.head.bias, counts, recipe.model.initialisation)
        # a resumed run whose model is a mixture goes on with the network beside it
        beside = network_model(run.out) if recipe.model.mixture != "none" else None
        folder = beside if beside is not None and run.resume else run.out / "model"
        origin = None
        if run.start is not None:
            model.load_tensors(carried_over(run.start, data.tokenizer, counts))
            origin = find_origin(
                run.start, data.tokenizer, lambda ids, n: evaluate_text(model, training, ids, n), data.heldout
            )
            run.seen.noted(_started(origin))
        elif run.recorded is not None and "start" in run.recorded:
            origin = recorded_origin(folder)
        mixes = recipe.model.mixture != "none" and (run.team is None or not run.team.rank)
        models = find_counts(data, training.minutes) if mixes else None
        line = find_line(run, data) if models is None else models.line
        if line is not None:
            run.seen.noted(str(line))
        writer = LanguageWriter(folder, model, recipe, data, origin, line)
        return LanguageBuilt(
            model,
            learnt,
            "\n".join([_headline(data, model, settled), *_chosen(run, settled, data, models, origin)]),
            [writer, Samples(run.seen, data, model, run.out)],
            writer,
            models,
        )

    def time_left(self, run: Run, settled: Settled, built: Built) -> ResolvedTraining:
        """What counting took of the minutes is not the network's, which has half of them at least; a team has all."""
        minutes = settled.training.minutes
        if minutes is None or run.team is not None or not isinstance(built, LanguageBuilt) or built.counts is None:
            return settled.training
        left = max(minutes - built.counts.seconds / 60, minutes / 2)
        return dataclasses.replace(settled.training, minutes=left)

    def evaluation_steps(self, settled: Settled, built: Built) -> float:
        """A forward pass is a third of a step."""
        assert isinstance(built.data, LanguageData)
        t = settled.training
        return len(built.data.heldout_ids) / (3 * t.batch_size * t.window * t.accumulate)

    def finish(self, run: Run, settled: Settled, built: Built) -> Sequence[str]:
        """Mix the network with models of counts, where the recipe says so."""
        if not isinstance(built, LanguageBuilt) or built.counts is None:
            return ()
        w, how = built.writer, settled.recipe.model.mixture
        return mixed_with_counts(run.out, w.folder, w.corpus, w.extra, w.token_scores, built.counts, how)

    def remarks(self, evaluation: Mapping[str, Any]) -> Sequence[str]:
        """That the network did not beat the n-gram model, where that is so."""
        said = verdict(evaluation)
        return [said] if said else []


TASK = LanguageTask()


def _prepared(run: Run, fingerprint: str) -> Corpus:
    """The text that the first process of the team has prepared. Raises TrainingError where it is not seen here."""
    with contextlib.suppress(TextError):
        corpus = open_corpus(run.out / "text")
        if corpus.fingerprint == fingerprint:
            return corpus
    raise TrainingError(
        f"the text that the first process has prepared is not in {run.out / 'text'} on this machine: the output folder "
        "must be on a file system that all machines share"
    )


@dataclass(frozen=True)
class LanguageBuilt(Built):
    """A language model that has not learnt yet, what saves it, and the models of counts that it is mixed with."""

    writer: LanguageWriter
    counts: Counts | None


class Samples(Observer):
    """Now and then shows what the model writes, and draws the losses with it."""

    def __init__(self, seen: Observers, corpus: Corpus, model: LanguageModel, out: Path) -> None:
        self._seen, self._corpus, self._model = seen, corpus, model
        self._out = out
        self._picture = LossPicture(out, seen.noted, title=", ".join(corpus.names))
        self._sample, self._sampled = "", 0.0

    def evaluated(self, row: Row, best: bool) -> None:
        """Write a few lines, if it is time."""
        now = time.perf_counter()
        if now - self._sampled > _SAMPLE_SECONDS:
            self._sampled = now
            with activity("writing a sample"):
                self._sample = sample_text(self._model, self._corpus)
            self._seen.noted("\n".join(f"    {line}" for line in self._sample.splitlines()))
            with suppress(OSError):  # a sample that is not kept is no reason to end the run
                append_sample(self._out, step=row.step, seconds=row.seconds, text=self._sample)
            self._picture.draw(self._sample)

    def finished(self) -> None:
        """The last picture."""
        self._picture.draw(self._sample)


def _started(origin: Origin) -> str:
    """What is said of a start before training."""
    new = origin.before.get("new text", {}).get("bits_per_character")
    if new is None:
        return f"starts from {origin.name}"
    return f"{origin.name} before training: {new:.3f} bits per held-out character"


def _size(corpus: Corpus) -> CorpusSize:
    return CorpusSize(corpus.train.tokens, corpus.heldout.tokens, corpus.tokenizer.vocabulary_size)


def _cores(run: Run) -> int:
    """The threads of all processes."""
    return wanted_threads(run.threads) * (1 if run.team is None else run.team.size)


def _chosen(run: Run, settled: Settled, corpus: Corpus, counts: Counts | None, origin: Origin | None) -> list[str]:
    """The line that says why the network is what it is, and what it will be mixed with; none for a resumed run."""
    if run.recorded is not None or settled.device.type != "cpu":
        return []
    cores, precision = _cores(run), settled.training.precision
    why = reason(
        run.recipe, settled.recipe, _size(corpus), machine_speed(cores, instruction_set(), precision),
        f"{counted(cores, 'core')} in {precision}", None if origin is None else origin.name,
    )  # fmt: skip
    mixed = [] if counts is None else [one.name for one in counts.models]
    return [why + (f"; mixed with {' and '.join(mixed)} at the end if that is better" if mixed else "")]


def _headline(corpus: Corpus, model: LanguageModel, settled: Settled) -> str:
    m, t = settled.recipe.model, settled.training
    softmax = f"softmax over {t.candidates:,} tokens and the targets per step, " if t.candidates else ""
    apart = f" {t.stride} apart" if t.sampling == "windows" else ""
    return (
        f"{counted(corpus.train.documents, 'document')}, {counted(corpus.train.tokens, 'token')} to learn from, "
        f"{corpus.heldout.tokens:,} held out, vocabulary {model.vocabulary_size:,}\n"
        f"{m.shape}, {model.parameter_count:,} parameters, {softmax}"
        f"minibatches {t.batch_size} × {t.window} {t.sampling}{apart}, {t.optimizer} {t.learning_rate:g}, "
        f"{t.precision} on {settled.device}"
    )
