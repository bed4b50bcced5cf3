"""A comparison from texts to a table and a saved mixture."""

import dataclasses
import signal
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from ostinato.api import Model
from ostinato.bundle import Probe, write_bundle
from ostinato.comparing.measuring import Measuring
from ostinato.comparing.networks import STOPPING
from ostinato.comparing.plan import Measured, Plan
from ostinato.errors import ShortTextError, TextError, UsageError
from ostinato.evaluation import from_log_probabilities
from ostinato.evaluation.compare import ADAPTING, Comparison
from ostinato.ngram import Mixture, join_parts
from ostinato.runs.folder import run_folder
from ostinato.runs.signals import ending_signals
from ostinato.settings import TextSettings, recorded_settings
from ostinato.terminal import activity, note
from ostinato.text import Corpus, prepare
from ostinato.text.description import describe
from ostinato.text.known_words import words_file


def compare(texts: Sequence[str], plan: Plan) -> Comparison:
    """Measure all models on the held-out part of `texts`. Raises TextError where nothing is held out, and what
    preparing the text raises, and UsageError for a model that would be overwritten. A network that cannot be trained is
    left out with a note.

    A signal (Ctrl-C, SIGTERM, SIGHUP) that comes once the text is prepared ends it: what was measured by then is
    returned and saved.
    """
    with activity("loading the model"):
        given = None if plan.model is None else _network(Model(plan.model))
    refuse_to_replace(plan.model, plan.out, overwrite=plan.overwrite)
    with run_folder(plan.out, resume=None, overwrite=plan.overwrite, comparison=True, what="comparing") as folder:
        comparison = _compare(texts, plan, given)
        folder.complete = not comparison.signal
        return comparison


def _network(model: Model) -> Model:
    """The network of a mixture, which the comparison mixes itself; any other model as it is.

    Raises UsageError for a mixture without a network: mixtures do not nest.
    """
    if model.network is None and model.kind == "mixture":
        raise UsageError(
            f"{model.path} is a mixture without a network, and a comparison mixes models itself: name another"
        )
    return model if model.network is None else model.network


def refuse_to_replace(model: Path | None, out: Path | None, *, overwrite: bool) -> None:
    """Raise UsageError where a model that is to be measured would be replaced."""
    if overwrite and model is not None and out is not None and model.resolve().is_relative_to(out.resolve()):
        raise UsageError(
            f"--model {model} lies in {out}, which --overwrite would replace: copy the model to "
            "another folder, or name another one with -o"
        )


def _compare(texts: Sequence[str], plan: Plan, given: Model | None) -> Comparison:
    corpus, own_vocabulary, notes = _prepare(texts, plan, given)
    heldout = corpus.heldout
    if not heldout.tokens or not heldout.characters:
        raise TextError("no text is held out, so nothing can be compared: set text.heldout above 0")
    measuring, received = Measuring(plan, corpus, own_vocabulary, notes), 0

    def stop(number: int, frame: FrameType | None) -> None:
        if plan.progress:
            note(STOPPING)
        raise KeyboardInterrupt(number)

    try:
        with ending_signals(stop):
            measuring.everything(given, texts)
    except KeyboardInterrupt as interruption:
        received = next(iter(interruption.args), signal.SIGINT)
        measuring.notes.append("interrupted: what is not in the table was not measured")
    with activity("measuring the baselines"):
        rows = measuring.rows()
    comparison = Comparison(
        corpus.settings.tokenizer, corpus.tokenizer.vocabulary_size, heldout.tokens, heldout.characters,
        rows, tuple(measuring.notes), int(received),
    )  # fmt: skip
    _save(measuring, comparison)
    return comparison


@activity("reading the text")
def _prepare(texts: Sequence[str], plan: Plan, given: Model | None) -> tuple[Corpus, bool, list[str]]:
    """The corpus, cut as the given model's was; whether its vocabulary is its own; what there is to say about it."""
    settings, folder = plan.recipe.text, plan.out / "text"
    if given is not None:
        settings = recorded_settings(TextSettings, given.config, str(plan.model))
    whole = settings if plan.heldout is None else dataclasses.replace(settings, heldout=0.0)
    # what a given model learnt from is divided as it was for it, so that all models learn from the same
    try:
        corpus = prepare(texts, whole if given is None else settings, folder, encoding=plan.encoding)
    except ShortTextError as error:  # without a held-out part there is nothing to compare
        raise TextError(f"{error.fact}: give a longer text, or one to measure on with --heldout") from None
    notes = list(corpus.notes)
    own_vocabulary = given is None or corpus.fingerprint == given.config.get("text", {}).get("fingerprint")
    if given is not None and not own_vocabulary:
        corpus = prepare(texts, whole, folder, encoding=plan.encoding, tokenizer=given.tokenizer)
        notes.append("the given model was trained on another text: it may have learnt what is held out here")
    if plan.heldout is not None:
        other = prepare([plan.heldout], whole, plan.out / "heldout", encoding=plan.encoding, tokenizer=corpus.tokenizer)
        corpus = dataclasses.replace(corpus, heldout=other.train)
    return corpus, own_vocabulary, notes


@activity("saving the mixtures")
def _save(measuring: Measuring, comparison: Comparison) -> None:
    """The mixtures as bundles, ready to write and score with."""
    for folder, (parts, whole) in measuring.kept.items():
        if isinstance(whole.model, Mixture):
            _save_mixture(measuring, comparison, measuring.plan.out / folder / "model", parts, whole, whole.model)


def _save_mixture(
    measuring: Measuring, comparison: Comparison, out: Path, parts: list[Measured], whole: Measured, mixture: Mixture
) -> None:
    corpus = measuring.corpus
    model, tensors = join_parts([part.saved for part in parts if part.saved is not None], mixture.weights)
    evaluation = from_log_probabilities(whole.scores, corpus.heldout.characters)
    weights = zip(parts, mixture.weights, strict=True)
    adapting = whole.group == ADAPTING
    card = (
        f"# A mixture of models of {', '.join(corpus.names)}\n\n"
        + "".join(f"- {part.name}: weight {weight:.3f}\n" for part, weight in weights)
        + f"\n{'Adapting to the text it reads, ' if adapting else ''}{evaluation}\n\n```\n{comparison}\n```\n"
    )
    config = {
        "kind": "mixture",
        "model": model,
        "text": describe(corpus),
        "training": {"seconds": round(whole.seconds, 2)},
        "evaluation": {"held-out, adapting" if adapting else "held-out": evaluation.to_json()},
    }
    write_bundle(
        out, config=config, tokenizer=corpus.tokenizer, tensors=tensors, card=card,
        extra=words_file(corpus.train.ids, corpus.tokenizer, backward=corpus.settings.direction == "backward"),
        probe=Probe.of(mixture),
    )  # fmt: skip
