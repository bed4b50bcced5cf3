"""A network and models of counts as one: fitted on the held-out text when training is over, and kept where better."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.bundle import NETWORK_SPLIT, Bundle, Probe, read_bundle, recover_folder, write_bundle
from ostinato.evaluation import Evaluation, evaluate, figure, from_log_probabilities
from ostinato.ngram import (
    GatedMixture,
    Heard,
    SavedPart,
    cross_fit,
    cross_fit_gate,
    fit_gate,
    fit_weights,
    hear,
    join_gated,
    join_parts,
    middle_of,
    untrained,
)
from ostinato.runs.counts import Counts
from ostinato.runs.folder import make_network_folder, remove_network
from ostinato.runtime import load
from ostinato.terminal import activity
from ostinato.text import Corpus
from ostinato.text.description import describe

_ENOUGH = 0.003
"""A mixture of more parts, or with a gate, must be better by this share: it is slower to write with, and larger."""
_MOST_HEARD = 120_000_000
"""Numbers that the parts say over a held-out text, (tokens, parts, vocabulary of the text), to fit a gate on."""
_MOST_GATED = 150_000
"""Held-out tokens for that: each takes a tenth of a millisecond or more."""
_ROWS = 16

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
    """Parts, and the mixture's figure: of each half of the held-out text with what was fitted on the other half.

    scores: what it gives each held-out token, (T,). heard: what the parts said, where they are mixed with a gate.
    """

    parts: tuple[Part, ...]
    scores: Scores
    evaluation: Evaluation
    heard: Heard | None = None

    @cached_property
    def weights(self) -> Scores:
        """Of a linear mixture, (K,), fitted on all of the held-out text; of a gated one, the mean powers there."""
        if self.heard is None:
            return fit_weights(np.array([part.scores for part in self.parts]))
        mean: Scores = self.heard.features.mean(axis=0) @ self.gate.T
        return mean

    @cached_property
    def gate(self) -> npt.NDArray[np.float64]:
        """Fitted on all of the held-out text."""
        assert self.heard is not None
        return fit_gate(self.heard, _equal(len(self.parts)))

    def joined(self, newline: int) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """`config["model"]` and the tensors of its bundle; newline: the id of the token that ends lines, or -1."""
        saved = [part.saved for part in self.parts]
        if self.heard is None:
            return join_parts(saved, self.weights)
        return join_gated(saved, self.gate, newline)

    def __str__(self) -> str:
        gate = "" if self.heard is None else "with a gate, mean powers: "
        shares = zip(self.parts, self.weights, strict=True)
        return gate + ", ".join(f"{part.name} {weight:.2f}" for part, weight in shares)


def mixed_with_counts(
    out: Path,
    saved: Path,
    corpus: Corpus,
    extra: Mapping[str, bytes],
    score: Callable[[Mapping[str, Any]], Scores],
    counts: Counts,
    how: str,
) -> list[str]:
    """Replace `out/model` by a mixture of the network at `saved` with models of counts, and keep the network alone as
    `out/network/model`, where the mixture is better; else `out/model` is the network. Returns what is to be said.

    score: ln P of each held-out token under the network's tensors. how: `linear`, `gated` or `best`.
    """
    if counts.reason:
        return [f"no mixture: {counts.reason}"]
    started = time.perf_counter()
    recover_folder(saved)
    network = read_bundle(saved)
    tensors = {name: np.array(network.tensors[name]) for name in network.tensors}  # its files may be replaced
    scores = score(tensors)
    own = Part("network", NETWORK_SPLIT, SavedPart(network.kind, network.config["model"], tensors), scores)
    parts = [own, *(Part(one.name, one.split, one.saved, one.scores) for one in counts.models)]
    alone = from_log_probabilities(scores, corpus.heldout.characters)
    newline = _newline(corpus)
    with activity("mixing the network with the count-based models"):
        tried = _linear(parts, corpus) if how != "gated" else []
        if how != "linear":
            memory = Bundle(network.path, network.config, network.tokenizer, tensors, network.card)
            tried += _gated(parts, memory, corpus, counts, newline)
    best = _chosen(tried, scores)
    if best is None:
        _keep_network(out, saved, network, tensors, extra)
        why = (
            "none is reliably better than the network alone"
            if tried
            else "the held-out text is too long to fit a gate on (--set model.mixture=linear mixes without one)"
        )
        return [f"no mixture: {why}; the network has {alone.bits_per_character:.3f} bits per held-out character"]
    beside = make_network_folder(out)
    if saved != beside / "model":
        _write(beside / "model", network, tensors, extra)
    model, joined = best.joined(newline)
    config: dict[str, Any] = {
        **{name: network.config[name] for name in ("training", "start", "cell_file") if name in network.config},
        "kind": "mixture",
        "model": model,
        "text": describe(corpus),
        "evaluation": _evaluation(best, network),
    }
    mixture = load(Bundle(out / "model", config, network.tokenizer, joined, ""))
    if (test := corpus.test) is not None:
        with activity("measuring the test text"):
            tested = dataclasses.replace(evaluate(mixture, test.ids, test.characters), split="test")
        config["evaluation"]["test"] = tested.to_json()
        if "test" in network.config["evaluation"]:
            config["evaluation"]["test, network"] = network.config["evaluation"]["test"]
    seconds = counts.seconds + time.perf_counter() - started
    with activity("saving the mixture"):
        write_bundle(
            out / "model", config=config, tokenizer=network.tokenizer, tensors=joined,
            card=_card(best, config["evaluation"], corpus, network), extra=extra, probe=Probe.of(mixture),
        )  # fmt: skip
    return [
        f"the model is a mixture ({best}): {best.evaluation.bits_per_character:.3f} bits per held-out character, "
        f"against {alone.bits_per_character:.3f} for the network alone (counted and mixed in {seconds:.1f} s)",
        f"the network alone is in {beside}",
    ]


def _linear(parts: Sequence[Part], corpus: Corpus) -> list[Mixed]:
    """The network with one model of counts after another."""
    tried = []
    for n in range(2, len(parts) + 1):
        chosen = tuple(parts[:n])
        crossed = cross_fit(np.array([part.scores for part in chosen]), middle_of(corpus.heldout.ids))
        tried.append(Mixed(chosen, crossed, from_log_probabilities(crossed, corpus.heldout.characters)))
    return tried


def _gated(parts: Sequence[Part], network: Bundle, corpus: Corpus, counts: Counts, newline: int) -> list[Mixed]:
    """The same with a gate, and the network with each model of counts alone; none where that would take long."""
    ids = corpus.heldout.ids
    common = np.union1d(corpus.train.ids, ids)  # a base has many tokens that the text does not
    if len(ids) > _MOST_GATED or len(ids) * len(parts) * len(common) > _MOST_HEARD:
        return []
    models = (load(network), *(one.model for one in counts.models))
    heard = hear(untrained(models, newline), ids, _ROWS, common)
    choices = [(0, k) for k in range(1, len(parts))] + ([tuple(range(len(parts)))] if len(parts) > 2 else [])
    tried = []
    for chosen in choices:
        own = heard.of(chosen)
        crossed = cross_fit_gate(own, _equal(len(chosen)), middle_of(ids))
        evaluation = from_log_probabilities(crossed, corpus.heldout.characters)
        tried.append(Mixed(tuple(parts[k] for k in chosen), crossed, evaluation, own))
    return tried


def _chosen(tried: Sequence[Mixed], alone: Scores) -> Mixed | None:
    """The first that is nearly as good as the best; None where none is better than the network alone for sure."""
    better = [one for one in tried if _surely_better(one.scores, alone)]
    best = min((one.evaluation.nats for one in better), default=0.0)
    return next((one for one in better if one.evaluation.nats <= (1 + _ENOUGH) * best), None)


def _surely_better(scores: Scores, alone: Scores) -> bool:
    """Whether the mean gain per token, (T,) against (T,), is more than twice its standard error: a held-out text of a
    few hundred tokens shows gains that others do not have."""
    gain = scores - alone
    return bool(gain.mean() > 2 * gain.std() / np.sqrt(len(gain)))


def _equal(parts: int) -> npt.NDArray[np.float64]:
    """The gate of a mixture that is the geometric mean of so many parts."""
    gate = np.zeros((parts, GatedMixture.features_of(parts)))
    gate[:, 0] = 1 / parts
    return gate


def _newline(corpus: Corpus) -> int:
    ids = corpus.tokenizer.encode("\n")
    return int(ids[0]) if len(ids) == 1 else -1


def _keep_network(
    out: Path, saved: Path, network: Bundle, tensors: Mapping[str, Any], extra: Mapping[str, bytes]
) -> None:
    """`out/model` is the network again, where it is a mixture from before."""
    if saved != out / "model":
        _write(out / "model", network, tensors, extra)
        remove_network(out)


def _write(folder: Path, network: Bundle, tensors: Mapping[str, Any], extra: Mapping[str, bytes]) -> None:
    write_bundle(
        folder, config=network.config, tokenizer=network.tokenizer, tensors=tensors, card=network.card, extra=extra,
        probe=network.probe,
    )  # fmt: skip


def _evaluation(mixed: Mixed, network: Bundle) -> dict[str, Any]:
    """The mixture's figures, each part's, and the baselines of the network's config."""
    report = {"held-out": mixed.evaluation}
    report |= {part.split: from_log_probabilities(part.scores, mixed.evaluation.characters) for part in mixed.parts}
    own = {split: values.to_json() for split, values in report.items()}
    before = network.config["evaluation"]
    kept = [split for split in before if split.startswith("held-out, ") and split not in own]
    return own | {split: before[split] for split in kept}


def _card(mixed: Mixed, evaluation: Mapping[str, Any], corpus: Corpus, network: Bundle) -> str:
    """The parts with their weights, what was measured, and the network's own card."""
    what = "weight" if mixed.heard is None else "power, on average"
    lines = [
        f"# A mixture of models of {', '.join(corpus.names)}",
        "",
        *(f"- {part.name}: {what} {weight:.3f}" for part, weight in zip(mixed.parts, mixed.weights, strict=True)),
        "",
        "| measured on | perplexity per token | bits per character |",
        "|---|---|---|",
    ]
    for split, values in evaluation.items():
        lines.append(f"| {split} | {figure(values['perplexity'])} | {values['bits_per_character']:.3f} |")
    fitted = "The weights were" if mixed.heard is None else "The gate, which sets the powers for each token, was"
    return "\n".join([
        *lines,
        "",
        f"{fitted} fitted on the held-out text. For the mixture's own figure, each half of it was measured with what "
        "was fitted on the other half.",
        "",
        f"#{network.card}",
    ])  # fmt: skip
