"""A network and models of counts as one: fitted on the held-out text when training is over, and kept where better."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.bundle import Bundle, read_bundle, recover_folder, write_bundle
from ostinato.errors import UsageError
from ostinato.evaluation import Evaluation, figure, from_log_probabilities
from ostinato.mixing import fit_mixing, to_tensors
from ostinato.ngram import SavedPart, cross_fit, fit_weights, join_parts, middle_of
from ostinato.runs.folder import make_network_folder, remove_network
from ostinato.runs.line_to_beat import MOST_TOKENS, ORDER, SPLIT, count
from ostinato.terminal import activity
from ostinato.text import Corpus
from ostinato.text.description import describe

NETWORK_SPLIT = "held-out, network"
MIXING_SPLIT = "held-out, context mixing"
_MOST_MIXED = 1_000_000
"""Training tokens that a context-mixing model learns from here at most: more would take minutes."""

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """A model, and what it gives each held-out token: scores (T,), natural logarithms."""

    name: str
    split: str
    saved: SavedPart
    scores: Scores


@dataclass(frozen=True)
class Mixed:
    """Parts, their weights (K,) fitted on all of the held-out text, and its figure with weights that were fitted on its
    other half each time."""

    parts: tuple[Part, ...]
    weights: Scores
    evaluation: Evaluation

    @staticmethod
    def of(parts: tuple[Part, ...], corpus: Corpus) -> "Mixed":
        """The parts, mixed."""
        scores = np.array([part.scores for part in parts])
        crossed = cross_fit(scores, middle_of(corpus.heldout.ids))
        return Mixed(parts, fit_weights(scores), from_log_probabilities(crossed, corpus.heldout.characters))

    def __str__(self) -> str:
        shares = zip(self.parts, self.weights, strict=True)
        return ", ".join(f"{part.name} {weight:.2f}" for part, weight in shares)


def mixed_with_counts(
    out: Path,
    saved: Path,
    corpus: Corpus,
    extra: Mapping[str, bytes],
    score: Callable[[Mapping[str, Any]], Scores],
) -> list[str]:
    """Replace `out/model` by a mixture of the network at `saved` with models of counts, and keep the network alone as
    `out/network/model`, where the mixture is better; else `out/model` is the network. Returns what is to be said.

    score: ln P of each held-out token under the network's tensors.
    """
    if not corpus.heldout.tokens:
        return ["no mixture: nothing is held out to fit its weights on (text.heldout)"]
    if corpus.train.tokens > MOST_TOKENS:
        return [f"no mixture: the text has more than {MOST_TOKENS:,} tokens, which takes long to count"]
    started = time.perf_counter()
    recover_folder(saved)
    network = read_bundle(saved)
    tensors = {name: np.array(network.tensors[name]) for name in network.tensors}  # its files may be replaced
    scores = score(tensors)
    parts = [
        Part("network", NETWORK_SPLIT, SavedPart(network.kind, network.config["model"], tensors), scores),
        *_counted(corpus),
    ]
    tried = [Mixed.of(tuple(parts[:n]), corpus) for n in range(2, len(parts) + 1)]
    best = min(tried, key=lambda one: one.evaluation.nats)
    alone = from_log_probabilities(scores, corpus.heldout.characters)
    if best.evaluation.nats >= alone.nats:
        _keep_network(out, saved, network, tensors, extra)
        return [f"no mixture: the network alone is better ({alone.bits_per_character:.3f} bits per held-out character)"]
    beside = make_network_folder(out)
    if saved != beside / "model":
        _write(beside / "model", network, tensors, extra)
    model, joined = join_parts([part.saved for part in best.parts], best.weights)
    config: dict[str, Any] = {
        **{name: network.config[name] for name in ("training", "start") if name in network.config},
        "kind": "mixture",
        "model": model,
        "text": describe(corpus),
        "evaluation": _evaluation(best, network),
    }
    seconds = time.perf_counter() - started
    with activity("saving the mixture"):
        write_bundle(
            out / "model", config=config, tokenizer=network.tokenizer, tensors=joined,
            card=_card(best, config["evaluation"], corpus, network), extra=extra,
        )  # fmt: skip
    return [
        f"the model is a mixture ({best}): {best.evaluation.bits_per_character:.3f} bits per held-out character, the "
        f"network alone has {alone.bits_per_character:.3f} (counted and mixed in {seconds:.1f} s)",
        f"the network alone is in {beside}",
    ]


def _counted(corpus: Corpus) -> list[Part]:
    """Models of counts of the training split: n-grams, and counters of many contexts where they fit the text."""
    ids = corpus.heldout.ids
    with activity(f"counting n-grams of order {ORDER}"):
        ngram = count(corpus)
        parts = [Part(f"Kneser-Ney {ORDER}", SPLIT, SavedPart("ngram", ngram.settings, ngram.arrays), ngram.score(ids))]
    if corpus.train.tokens > _MOST_MIXED:
        return parts
    with activity("learning a context-mixing model"):
        try:
            counters = fit_mixing(corpus.train.ids, corpus.tokenizer)
        except UsageError:  # a vocabulary of words
            return parts
        saved = SavedPart("context-mixing", counters.settings, to_tensors(counters))
        return [*parts, Part("context mixing", MIXING_SPLIT, saved, counters.score(ids))]


def _keep_network(
    out: Path, saved: Path, network: Bundle, tensors: Mapping[str, Any], extra: Mapping[str, bytes]
) -> None:
    """`out/model` is the network again, where it is a mixture from before."""
    if saved != out / "model":
        _write(out / "model", network, tensors, extra)
        remove_network(out)


def _write(folder: Path, network: Bundle, tensors: Mapping[str, Any], extra: Mapping[str, bytes]) -> None:
    write_bundle(
        folder, config=network.config, tokenizer=network.tokenizer, tensors=tensors, card=network.card, extra=extra
    )


def _evaluation(mixed: Mixed, network: Bundle) -> dict[str, Any]:
    """The mixture's figures, each part's, and the baselines of the network's config."""
    report = {"held-out": mixed.evaluation}
    report |= {part.split: from_log_probabilities(part.scores, mixed.evaluation.characters) for part in mixed.parts}
    own = {split: values.to_json() for split, values in report.items()}
    before = network.config["evaluation"]
    return own | {split: before[split] for split in ("held-out, uniform", "held-out, unigram") if split in before}


def _card(mixed: Mixed, evaluation: Mapping[str, Any], corpus: Corpus, network: Bundle) -> str:
    """The parts with their weights, what was measured, and the network's own card."""
    lines = [
        f"# A mixture of models of {', '.join(corpus.names)}",
        "",
        *(f"- {part.name}: weight {weight:.3f}" for part, weight in zip(mixed.parts, mixed.weights, strict=True)),
        "",
        "| measured on | perplexity per token | bits per character |",
        "|---|---|---|",
    ]
    for split, values in evaluation.items():
        lines.append(f"| {split} | {figure(values['perplexity'])} | {values['bits_per_character']:.3f} |")
    return "\n".join([
        *lines,
        "",
        "The weights were fitted on the held-out text. For the mixture's own figure, each half of it was measured with "
        "weights fitted on the other half.",
        "",
        f"#{network.card}",
    ])  # fmt: skip
