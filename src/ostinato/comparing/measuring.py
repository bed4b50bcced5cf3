"""All models of a comparison, measured one after the other on the same tokens."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.api import Model
from ostinato.comparing.networks import learning_on, train_recurrent, train_window
from ostinato.comparing.plan import Measured, Plan
from ostinato.errors import OstinatoError, UsageError
from ostinato.evaluation import baselines, from_log_probabilities
from ostinato.evaluation.compare import ADAPTING, Row
from ostinato.evaluation.novelty import TrainingText, measure, open_training_text
from ostinato.generation import Sampler, Stop, TextModel, WriteRequest, write
from ostinato.mixing import fit_mixing, to_tensors
from ostinato.ngram import (
    ContinuousCache,
    HiddenStates,
    Mixture,
    SavedPart,
    UnigramCache,
    cache_part,
    continuous_part,
    cross_fit,
    fit_ngram,
    fit_weights,
    middle_of,
)
from ostinato.protocols import StepModel
from ostinato.settings import ModelSettings, TextSettings, recorded_settings
from ostinato.terminal import activity
from ostinato.text import Corpus
from ostinato.text.description import heading_of

_FLATNESS = (6.0, 9.0, 12.0, 16.0, 22.0)
"""What is tried of a continuous cache's only free value, for features of length 1."""
_WRITTEN = 300
"""Tokens that each model writes to see how much of them it copied."""


@dataclass
class Measuring:
    """What was measured so far: `measured`, in the order of the table, and `notes` for its reader.

    own_vocabulary: whether the corpus's vocabulary is that of its text, as a network trained on it has it. kept: the
    mixtures worth keeping, by the name of their folder, each with its parts, once they are there.
    """

    plan: Plan
    corpus: Corpus
    own_vocabulary: bool
    notes: list[str]
    measured: list[Measured] = field(default_factory=list)
    kept: dict[str, tuple[list[Measured], Measured]] = field(default_factory=dict)

    def everything(self, given: Model | None, texts: Sequence[str]) -> None:
        """Measure all models of the plan. An interruption leaves what was measured before it."""
        cache = self.cache()
        best = min(self.ngrams(), key=lambda measured: -measured.scores.sum())
        counters, learning = self.context_mixing()
        self.window(texts)
        network = self.network(given, texts)
        folder, parts, name = "", [best, cache], f"{best.name} + cache"
        if network is not None:
            plain = [best, network]
            self.kept[""] = plain, self.add(self.mixed(f"{best.name} + {network.name}", "mixture", plain))
            if counters is not None:
                three = [best, counters, network]
                whole = self.add(self.mixed(f"{best.name} + {counters.name} + {network.name}", "mixture", three))
                self.kept[""] = max(self.kept[""], (three, whole), key=lambda one: one[1].scores.sum())
            folder, parts, name = "adapting", [best, network, cache], "mixture + cache"
            if (continuous := self.continuous(network)) is not None:
                parts, name = [best, continuous, cache], "mixture + both caches"
        self.kept[folder] = parts, self.add(self.mixed(name, ADAPTING, parts))
        if network is not None:
            if (dynamic := self.dynamic(network)) is not None:
                self.add(self.mixed("mixture, dynamic + cache", ADAPTING, [best, dynamic, cache]))
            if learning is not None:
                every = [one for one in (best, network, cache, learning, continuous, dynamic) if one is not None]
                self.add(self.mixed("all of these", ADAPTING, every))
            self.notes.append("mixtures: the weights for each half of the held-out text were fitted on the other half")
        self.copies()

    def add(self, measured: Measured) -> Measured:
        """Give it a row of the table."""
        self.measured.append(measured)
        return measured

    def measure(
        self, name: str, group: str, model: StepModel, seconds: float, saved: SavedPart, parameters: int
    ) -> Measured:
        """What the model gives the held-out tokens."""
        started = time.perf_counter()
        with activity(f"measuring {name}"):
            scores = model.score(self.corpus.heldout.ids)
        elapsed = time.perf_counter() - started
        size = sum(array.nbytes for array in saved.tensors.values())
        return Measured(name, group, scores, seconds, elapsed, parameters, size, model, saved)

    @property
    def middle(self) -> int:
        """Where the second half of the held-out text begins."""
        return middle_of(self.corpus.heldout.ids)

    def ngrams(self) -> list[Measured]:
        """Kneser-Ney of orders 2 .. N."""
        measured = []
        for order in range(min(2, self.plan.order), self.plan.order + 1):
            started = time.perf_counter()
            with activity(f"counting n-grams of order {order}"):
                model = fit_ngram(self.corpus.train.ids, self.corpus.tokenizer.vocabulary_size, order=order)
            seconds = time.perf_counter() - started
            saved = SavedPart("ngram", model.settings, model.arrays)
            name = f"Kneser-Ney {order}"
            measured.append(self.add(self.measure(name, "n-gram", model, seconds, saved, model.parameter_count)))
            if order == self.plan.order:
                self.notes += model.settings["notes"]
        return measured

    @activity("measuring context mixing")
    def context_mixing(self) -> tuple[Measured, Measured] | tuple[None, None]:
        """Counters of many contexts, as they are after training, and learning on from the held-out text; a note why,
        where there are none."""
        started = time.perf_counter()
        try:
            model = fit_mixing(self.corpus.train.ids, self.corpus.tokenizer)
        except UsageError as error:
            self.notes.append(f"no context mixing: {error}")
            return None, None
        seconds = time.perf_counter() - started
        saved = SavedPart("context-mixing", model.settings, to_tensors(model))
        static = self.add(self.measure("context mixing", "n-gram", model, seconds, saved, model.parameter_count))
        started = time.perf_counter()
        scores = model.score_adapting(self.corpus.heldout.ids)
        elapsed = time.perf_counter() - started
        learning = dataclasses.replace(
            static, name="context mixing, adapting", group=ADAPTING, scores=scores, scoring_seconds=elapsed, model=None
        )
        return static, self.add(learning)

    def window(self, texts: Sequence[str]) -> None:
        """The network without a hidden state, trained now, where the plan has one."""
        if not self.plan.window:
            return
        if not self.own_vocabulary:
            self.notes.append("no window: it can be trained only with the vocabulary of the text, not another model's")
        elif (trained := self._trained(train_window, texts, "window")) is not None:
            self._network(trained, "window")

    def network(self, given: Model | None, texts: Sequence[str]) -> Measured | None:
        """The network that was given, or one trained now; None, and a note why, where there is none."""
        if given is None and self.plan.network:
            given = self._trained(train_recurrent, texts, "network")
        return None if given is None else self._network(given, "network")

    def _trained(
        self, train: Callable[[Sequence[str], Plan, TextSettings], Model], texts: Sequence[str], what: str
    ) -> Model | None:
        try:
            return train(texts, self.plan, self.corpus.settings)
        except OstinatoError as error:
            self.notes.append(f"no {what}: {error}")
            return None

    def _network(self, model: Model, group: str) -> Measured:
        config, tensors = model.config, model.tensors
        saved = SavedPart(str(config["kind"]), config["model"], tensors)
        name = saved.kind
        if name in ("recurrent", "window"):
            name = recorded_settings(ModelSettings, config, str(model.path)).name
        seconds = float(config.get("training", {}).get("seconds", 0.0))
        parameters = sum(tensor.size for tensor in tensors.values())
        return self.add(self.measure(name, group, model.step_model, seconds, saved, parameters))

    @activity("fitting the weights of a mixture")
    def mixed(self, name: str, group: str, parts: Sequence[Measured]) -> Measured:
        """The parts interpolated, each half of the text with the weights of the other."""
        scores = np.array([part.scores for part in parts])
        models = [part.model for part in parts if part.model is not None]
        model = Mixture(tuple(models), fit_weights(scores)) if len(models) == len(parts) else None
        return Measured(
            name,
            group,
            cross_fit(scores, self.middle),
            sum(part.seconds for part in parts),
            sum(part.scoring_seconds for part in parts),
            sum(part.parameters for part in parts),
            sum(part.bytes for part in parts),
            model,
        )

    def cache(self) -> Measured:
        """The last words of the held-out text itself."""
        size = self.corpus.tokenizer.vocabulary_size
        counts = np.bincount(self.corpus.train.ids, minlength=size) + 1.0
        cache = UnigramCache(counts / counts.sum(), self.plan.cache)
        return self.measure("cache", ADAPTING, cache, 0.0, cache_part(cache), size)

    @activity("measuring the continuous cache")
    def continuous(self, network: Measured) -> Measured | None:
        """The network with a continuous cache of the flatness that suits the held-out text best; None where it shows no
        hidden states."""
        if not isinstance(network.model, HiddenStates) or network.saved is None:
            return None
        ids = self.corpus.heldout.ids
        started = time.perf_counter()
        scores, hidden = network.model.read(ids)
        reading = time.perf_counter() - started
        tried = []
        for flatness in _FLATNESS:
            started = time.perf_counter()
            cache = ContinuousCache(network.model, self.plan.cache, flatness, 0.0, unit=True)
            both = np.array([scores, cache.cache_score(ids, hidden)])
            mixed = cross_fit(both, self.middle)
            elapsed = time.perf_counter() - started
            tried.append((mixed.sum(), flatness, float(fit_weights(both)[1]), mixed, elapsed))
        _, flatness, share, mixed, elapsed = max(tried, key=lambda one: one[0])
        cache = ContinuousCache(network.model, self.plan.cache, flatness, share, unit=True)
        return self.add(
            dataclasses.replace(
                network,
                name=f"{network.name} + continuous cache",
                group=ADAPTING,
                scores=mixed,
                scoring_seconds=reading + elapsed,
                model=cache,
                saved=continuous_part(cache, network.saved),
            )
        )

    @activity("measuring the network as it keeps learning (--no-dynamic skips this)")
    def dynamic(self, network: Measured) -> Measured | None:
        """The network learning on; None, and a note why, where that cannot be."""
        if not self.plan.dynamic or network.saved is None or network.saved.kind != "recurrent":
            return None
        try:
            return self.add(learning_on(network, self.corpus.heldout.ids, self.corpus.train.ids))
        except OstinatoError as error:
            self.notes.append(f"no dynamic evaluation: {error}")
            return None

    @activity("looking for copies in what each model writes")
    def copies(self) -> None:
        """The longest copy in what each model writes that does not adapt, and in the held-out text."""
        training = open_training_text(self.corpus.train.ids, self.corpus.directory)
        for place, one in enumerate(self.measured):
            if one.group != ADAPTING and one.model is not None:
                self.measured[place] = dataclasses.replace(one, longest_copy=self._copied(one.model, training))
        own = self._longest(self.corpus.heldout.ids[:_WRITTEN], training)
        self.notes.append(
            f"each model wrote {_WRITTEN} tokens for the longest copy; "
            f"{_WRITTEN} held-out tokens contain a copy of {own}"
        )

    def _copied(self, model: StepModel, training: TrainingText) -> int | None:
        text_model = TextModel(model, self.corpus.tokenizer, heading=heading_of(self.corpus.settings.documents))
        try:
            (written,) = write(text_model, WriteRequest(sampler=Sampler(), stop=Stop(tokens=_WRITTEN), seed=1))
            return self._longest(self.corpus.tokenizer.encode(written.text), training)
        except OstinatoError:
            return None

    def _longest(self, ids: npt.NDArray[Any], training: TrainingText) -> int:
        if len(ids) == 0:
            return 0
        longest = measure(training, ids, self.corpus.tokenizer).longest
        return longest.length if longest else 0

    def rows(self) -> tuple[Row, ...]:
        """The baselines, and all that was measured."""
        train, heldout, size = self.corpus.train, self.corpus.heldout, self.corpus.tokenizer.vocabulary_size
        return (
            Row("uniform", "baseline", baselines.uniform(heldout.ids, size, heldout.characters)),
            Row("unigram", "baseline", baselines.unigram(train.ids, heldout.ids, size, heldout.characters), size),
            *(
                Row(
                    one.name,
                    one.group,
                    from_log_probabilities(one.scores, heldout.characters),
                    one.parameters,
                    one.bytes,
                    one.seconds,
                    heldout.tokens / max(one.scoring_seconds, 1e-9),
                    one.longest_copy,
                )
                for one in self.measured
            ),
        )
