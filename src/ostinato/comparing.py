"""Everything side by side: n-grams, the network and their mixture, measured on one held-out text of one tokenizer."""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.api import Model
from ostinato.bundle import write_bundle
from ostinato.errors import OstinatoError, TextError
from ostinato.evaluation import baselines, from_log_probabilities
from ostinato.evaluation.compare import ADAPTING, Comparison, Row
from ostinato.evaluation.novelty import TrainingText, measure, open_training_text
from ostinato.generation import Sampler, Stop, write
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
    join_parts,
)
from ostinato.ngram.continuous import read_features
from ostinato.protocols import END_OF_DOCUMENT, StepModel
from ostinato.settings import Recipe, TextSettings
from ostinato.text import Corpus, prepare
from ostinato.text.description import describe

_COLOURS = {
    "baseline": "#b9b9b9",
    "n-gram": "#4a6fa5",
    "network": "#b5322f",
    "mixture": "#6b3f7d",
    ADAPTING: "#d9b8a5",
}
_FLATNESS = (0.03, 0.1, 0.3, 1.0)
"""What is tried of a continuous cache's only free value."""
_WRITTEN = 300
"""Tokens that each model writes to see how much of them it copied."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to compare. order: the longest n-grams. model: a trained network to measure; otherwise one is trained by
    `recipe`, or none where `network` is False. cache: tokens that the caches remember. heldout: a text to
    measure on; by default a part of the text is held out. dynamic: dynamic evaluation, too, which takes many times as
    long as scoring. out: the folder of all results.
    """

    out: Path
    recipe: Recipe
    order: int = 5
    model: Path | None = None
    network: bool = True
    cache: int = 2000
    heldout: str | None = None
    dynamic: bool = True
    device: str = "auto"
    encoding: str | None = None
    progress: bool = True


@dataclass(frozen=True)
class _Measured:
    """A model with what it gives the held-out tokens, (T,) nats, and what it cost."""

    name: str
    group: str
    scores: npt.NDArray[np.float64]
    seconds: float
    scoring_seconds: float
    parameters: int = 0
    bytes: int = 0
    model: StepModel | None = None
    saved: SavedPart | None = None


@dataclass
class _Comparing:
    plan: Plan
    corpus: Corpus
    notes: list[str] = field(default_factory=list)

    def measure(
        self, name: str, group: str, model: StepModel, seconds: float, saved: SavedPart, parameters: int
    ) -> _Measured:
        started = time.perf_counter()
        scores = model.score(self.corpus.heldout.ids)
        elapsed = time.perf_counter() - started
        size = sum(array.nbytes for array in saved.tensors.values())
        return _Measured(name, group, scores, seconds, elapsed, parameters, size, model, saved)

    @property
    def middle(self) -> int:
        """Where the second half of the held-out text begins: with a document, if one begins there."""
        ids = self.corpus.heldout.ids
        ends = np.flatnonzero(ids == END_OF_DOCUMENT) + 1
        later = ends[ends >= len(ids) // 2]
        return int(later[0]) if len(later) and later[0] < len(ids) else len(ids) // 2

    def ngrams(self) -> list[_Measured]:
        """Kneser-Ney of orders 2 .. N."""
        measured = []
        for order in range(min(2, self.plan.order), self.plan.order + 1):
            started = time.perf_counter()
            model = fit_ngram(self.corpus.train.ids, self.corpus.tokenizer.vocabulary_size, order=order)
            seconds = time.perf_counter() - started
            saved = SavedPart("ngram", model.settings, model.arrays)
            name = f"Kneser-Ney {order}"
            measured.append(self.measure(name, "n-gram", model, seconds, saved, model.parameter_count))
            if order == self.plan.order:
                self.notes += model.settings["notes"]
        return measured

    def network(self, given: Model | None, texts: Sequence[str]) -> _Measured | None:
        """The network that was given, or one trained now; None, and a note why, where there is none."""
        if given is None:
            if not self.plan.network:
                return None
            try:
                given = self._train(texts)
            except ModuleNotFoundError as error:
                self.notes.append(f"no network: training needs {error.name} (pip install 'ostinato[train]')")
                return None
            except OstinatoError as error:
                self.notes.append(f"no network: {error}")
                return None
        config, tensors = given.config, given.tensors
        model = config["model"]
        shape = [str(model[key]) for key in ("cell", "hidden_size") if key in model]
        saved = SavedPart(str(config["kind"]), model, tensors)
        seconds = float(config.get("training", {}).get("seconds", 0.0))
        parameters = sum(tensor.size for tensor in tensors.values())
        name = " ".join(shape) or str(config["kind"])
        return self.measure(name, "network", given.step_model, seconds, saved, parameters)

    def _train(self, texts: Sequence[str]) -> Model:
        from ostinato.training.run import train

        folder = self.plan.out / "network"
        recipe = self.plan.recipe
        if self.plan.heldout is not None:
            recipe = dataclasses.replace(recipe, text=dataclasses.replace(recipe.text, heldout=0.0))
        train(list(texts), out=folder, recipe=recipe, device=self.plan.device, overwrite=True,
              encoding=self.plan.encoding, progress=self.plan.progress)  # fmt: skip
        return Model(folder)

    def mixture(self, name: str, group: str, parts: Sequence[_Measured]) -> _Measured:
        """The parts interpolated, each half of the text with the weights of the other."""
        scores = np.array([part.scores for part in parts])
        models = [part.model for part in parts if part.model is not None]
        model = Mixture(tuple(models), fit_weights(scores)) if len(models) == len(parts) else None
        return _Measured(
            name,
            group,
            cross_fit(scores, self.middle),
            sum(part.seconds for part in parts),
            sum(part.scoring_seconds for part in parts),
            sum(part.parameters for part in parts),
            sum(part.bytes for part in parts),
            model,
        )

    def cache(self) -> _Measured:
        """The last words of the held-out text itself."""
        size = self.corpus.tokenizer.vocabulary_size
        counts = np.bincount(self.corpus.train.ids, minlength=size) + 1.0
        cache = UnigramCache(counts / counts.sum(), self.plan.cache)
        return self.measure("cache", ADAPTING, cache, 0.0, cache_part(cache), size)

    def continuous(self, network: _Measured) -> _Measured | None:
        """The network with a continuous cache of the flatness that suits the held-out text best; None where it shows no
        hidden states."""
        if not isinstance(network.model, HiddenStates) or network.saved is None:
            return None
        ids = self.corpus.heldout.ids
        started = time.perf_counter()
        scores, hidden = read_features(network.model, ids)
        reading = time.perf_counter() - started
        tried = []
        for flatness in _FLATNESS:
            started = time.perf_counter()
            cache = ContinuousCache(network.model, self.plan.cache, flatness, 0.0)
            both = np.array([scores, cache.cache_score(ids, hidden)])
            mixed = cross_fit(both, self.middle)
            elapsed = time.perf_counter() - started
            tried.append((mixed.sum(), flatness, float(fit_weights(both)[1]), mixed, elapsed))
        _, flatness, share, mixed, elapsed = max(tried, key=lambda one: one[0])
        cache = ContinuousCache(network.model, self.plan.cache, flatness, share)
        return dataclasses.replace(
            network,
            name=f"{network.name} + continuous cache",
            group=ADAPTING,
            scores=mixed,
            scoring_seconds=reading + elapsed,
            model=cache,
            saved=continuous_part(cache, network.saved),
        )

    def dynamic(self, network: _Measured) -> _Measured | None:
        """The network learning on, where torch is installed."""
        if not self.plan.dynamic or network.saved is None or network.saved.kind != "recurrent":
            return None
        try:
            from ostinato.models.language_model import LanguageModel
            from ostinato.settings import ModelSettings
            from ostinato.training.dynamic import dynamic_scores
        except ModuleNotFoundError as error:
            self.notes.append(f"no dynamic evaluation: it needs {error.name} (pip install 'ostinato[train]')")
            return None
        known = {f.name for f in dataclasses.fields(ModelSettings)}
        settings = ModelSettings(**{k: v for k, v in network.saved.model.items() if k in known})
        model = LanguageModel(settings, network.saved.model["vocabulary_size"])
        model.load_tensors(network.saved.tensors)
        started = time.perf_counter()
        scores = dynamic_scores(model, self.corpus.heldout.ids, self.corpus.train.ids)
        elapsed = time.perf_counter() - started
        if not np.isfinite(scores).all():
            self.notes.append("no dynamic evaluation: it diverged, which happens to networks that have learnt little")
            return None
        name = f"{network.name}, dynamic evaluation"
        return _Measured(name, ADAPTING, scores, network.seconds, elapsed, network.parameters, network.bytes)

    def row(self, measured: _Measured, training: TrainingText) -> Row:
        heldout = self.corpus.heldout
        return Row(
            measured.name,
            measured.group,
            from_log_probabilities(measured.scores, heldout.characters),
            measured.parameters,
            measured.bytes,
            measured.seconds,
            heldout.tokens / max(measured.scoring_seconds, 1e-9),
            None if measured.group == ADAPTING else self._longest_copy(measured.model, training),
        )

    def _longest_copy(self, model: StepModel | None, training: TrainingText) -> int | None:
        if model is None:
            return None
        heading = describe(self.corpus)["heading"]
        try:
            written = write(model, self.corpus.tokenizer, sampler=Sampler(), stop=Stop(tokens=_WRITTEN), seed=1,
                            heading=heading)[0]  # fmt: skip
            return self._longest(self.corpus.tokenizer.encode(written.text), training)
        except OstinatoError:
            return None

    def _longest(self, ids: npt.NDArray[Any], training: TrainingText) -> int:
        if len(ids) == 0:
            return 0
        longest = measure(training, ids, self.corpus.tokenizer).longest
        return longest.length if longest else 0


def compare(texts: Sequence[str], plan: Plan) -> Comparison:
    """Measure all models on the held-out part of `texts`. Raises TextError where nothing is held out, and what
    preparing the text raises; a network that cannot be trained is left out with a note.
    """
    given = Model(plan.model) if plan.model is not None else None
    corpus, notes = _prepare(texts, plan, given)
    if not corpus.heldout.tokens or not corpus.heldout.characters:
        raise TextError("nothing of the text is held out, so nothing can be compared: set text.heldout above 0")
    comparing = _Comparing(plan, corpus, notes)
    size, heldout = corpus.tokenizer.vocabulary_size, corpus.heldout
    rows = [
        Row("uniform", "baseline", baselines.uniform(heldout.ids, size, heldout.characters)),
        Row("unigram", "baseline", baselines.unigram(corpus.train.ids, heldout.ids, size, heldout.characters), size),
    ]
    ngrams = comparing.ngrams()
    best = min(ngrams, key=lambda measured: -measured.scores.sum())
    network = comparing.network(given, texts)
    cache = comparing.cache()
    measured = [*ngrams]
    parts = [best]
    if network is not None:
        parts.append(network)
        measured += [network, comparing.mixture(f"{best.name} + {network.name}", "mixture", parts)]
    adapting, name = [*parts, cache], f"{best.name} + cache" if network is None else "mixture + cache"
    if network is not None and (continuous := comparing.continuous(network)) is not None:
        adapting, name = [best, continuous, cache], "mixture + both caches"
        measured.append(continuous)
    full = comparing.mixture(name, ADAPTING, adapting)
    measured.append(full)
    if network is not None and (dynamic := comparing.dynamic(network)) is not None:
        measured += [dynamic, comparing.mixture("mixture, dynamic + cache", ADAPTING, [best, dynamic, cache])]
    training = open_training_text(corpus.train.ids, corpus.directory)
    rows += [comparing.row(one, training) for one in measured]
    own = comparing._longest(heldout.ids[:_WRITTEN], training)
    comparing.notes.append(
        f"the longest copy is of {_WRITTEN} tokens that each model wrote; of as many held-out tokens it is {own}"
    )
    if network is not None:
        comparing.notes.append("mixtures: the weights for each half of the held-out text were fitted on the other half")
    comparison = Comparison(
        corpus.settings.tokenizer, size, heldout.tokens, heldout.characters, tuple(rows), tuple(comparing.notes)
    )
    _save(plan, corpus, adapting, full, comparison)
    return comparison


def _prepare(texts: Sequence[str], plan: Plan, given: Model | None) -> tuple[Corpus, list[str]]:
    """The corpus, cut as the given model's was; and what there is to say about it."""
    settings = plan.recipe.text
    if given is not None:
        known = {f.name for f in dataclasses.fields(TextSettings)}
        recorded = given.config.get("text", {})
        # "heldout" counts what was held out there; the share is with the split.
        cut = {k: v for k, v in recorded.items() if k in known and k != "heldout"}
        settings = TextSettings(**cut, heldout=recorded.get("split", {}).get("share", settings.heldout))
    if plan.heldout is not None:
        settings = dataclasses.replace(settings, heldout=0.0)
    corpus = prepare(texts, settings, plan.out / "text", encoding=plan.encoding)
    notes = list(corpus.notes)
    if given is not None and corpus.fingerprint != given.config.get("text", {}).get("fingerprint"):
        corpus = prepare(texts, settings, plan.out / "text", encoding=plan.encoding, tokenizer=given.tokenizer)
        notes.append("the given model was trained on another text: it may have learnt what is held out here")
    if plan.heldout is not None:
        other = prepare(
            [plan.heldout], settings, plan.out / "heldout", encoding=plan.encoding, tokenizer=corpus.tokenizer
        )
        corpus = dataclasses.replace(corpus, heldout=other.train)
    return corpus, notes


def _save(plan: Plan, corpus: Corpus, parts: Sequence[_Measured], full: _Measured, comparison: Comparison) -> None:
    """The mixture with its cache as a bundle, `model`, ready to write and score with."""
    if not isinstance(full.model, Mixture):
        return
    saved = [part.saved for part in parts if part.saved is not None]
    model, tensors = join_parts(saved, full.model.weights)
    evaluation = from_log_probabilities(full.scores, corpus.heldout.characters)
    weights = zip(parts, full.model.weights, strict=True)
    card = (
        f"# A mixture of models of {', '.join(corpus.names)}\n\n"
        + "".join(f"- {part.name}: weight {weight:.3f}\n" for part, weight in weights)
        + f"\nAdapting to the text it reads, {evaluation}\n\n```\n{comparison}\n```\n"
    )
    config = {
        "kind": "mixture",
        "model": model,
        "text": describe(corpus),
        "training": {"seconds": round(full.seconds, 2)},
        "evaluation": {"held-out, adapting": evaluation.to_json()},
    }
    write_bundle(plan.out / "model", config=config, tokenizer=corpus.tokenizer, tensors=tensors, card=card)


def draw(comparisons: Sequence[Comparison], path: Path) -> bool:
    """Bits per character of every model as bars, `path`.svg and `path`.png; False where matplotlib is not installed."""
    try:
        from ostinato.training.picture import new_figure, save_figure

        figure = new_figure(7.2, 0.9 + 0.32 * sum(len(c.rows) for c in comparisons))
    except ModuleNotFoundError:
        return False
    axes = figure.add_subplot()
    names, bits, shades = [], [], []
    for comparison in comparisons:
        for row in comparison.rows:
            if np.isfinite(row.evaluation.bits_per_character):
                names.append(row.name if len(comparisons) == 1 else f"{row.name} ({comparison.tokenizer})")
                bits.append(row.evaluation.bits_per_character)
                shades.append(_COLOURS[row.group])
    places = range(len(names))
    axes.barh(places, bits, color=shades)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    for place, value in zip(places, bits, strict=True):
        axes.text(value, place, f" {value:.3f}", va="center", fontsize=8)
    axes.set_xlabel("bits per character")
    axes.margins(x=0.12)
    figure.suptitle("held-out text; pale: models that adapt to it while reading", fontsize=10)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    save_figure(figure, path)
    return True
