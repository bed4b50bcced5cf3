"""Publishes the run of a large text as a base model: small on disk, with a card that describes its texts and quality.

Its quality on each text is measured on the held-out part, with the weights as they are stored.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ostinato.api.base_texts import BaseText, Unseen
from ostinato.api.model import Model
from ostinato.bundle import Probe, write_bundle
from ostinato.errors import UsageError
from ostinato.evaluation import Evaluation
from ostinato.runtime import load
from ostinato.text import Corpus, open_corpus
from ostinato.text.known_words import WORDS_FILE, words_file
from ostinato.text.sources import read_texts

MOST = 100_000
"""Characters of a text that are scored."""
_TOGETHER = 64
"""Documents scored in one batch."""


def check_base(texts: Sequence[BaseText], others: Sequence[str]) -> None:
    """Check the texts before hours of training. Raises UsageError, or TextError if a text cannot be read."""
    paths = [text.path for text in texts]
    if "-" in [*paths, *others]:
        raise UsageError("the texts of a base are read more than once: name files, not -")
    if both := sorted(set(paths) & set(others)):
        raise UsageError(f"{both[0]} is learnt, so it is not unseen: leave it out of --unseen")
    read_texts([*paths, *others])


def publish_base(
    run: Path, out: Path, texts: Sequence[BaseText], *, read: Sequence[str] | None = None,
    others: Sequence[str] = (), unseen: Sequence[Unseen] = (), storage: str = "int8", start_rate: float | None = None,
    encoding: str | None = None,
) -> Model:  # fmt: skip
    """Save the model of the training run in `run` as the base `out` (a bundle) and return it.

    texts: the texts that the run learnt. read: the files that it read instead of them, in the same order (see
    `write_texts`; None: the texts themselves). others: texts that it has not learnt, to measure it on. unseen: the
    same as documents. start_rate: the learning rate of runs that start from the base (None: the default). storage: as
    for `write_bundle`. The base contains the weights and the words of the texts, but not the texts.
    Raises UsageError if the run is unsuitable or its text has changed, TextError if a text cannot be read, BundleError
    if a bundle cannot be read or written.
    """
    check_base(texts, others)
    trained = Model(run)
    if trained.config["kind"] != "recurrent":
        raise UsageError(f"{run} is no network alone, and a base must be one: train it with model.mixture=none")
    corpus = open_corpus(run / "text")
    if corpus.fingerprint != trained.config.get("text", {}).get("fingerprint"):
        raise UsageError(f"{run} holds another text than its model learnt: train it again")
    extra = words_file(corpus.train.ids, corpus.tokenizer, backward=trained.backward)

    def save(config: dict[str, Any], card: str, probe: Probe | None = None) -> Model:
        write_bundle(
            out, config=config, tokenizer=trained.tokenizer, tensors=trained.tensors, card=card, extra=extra,
            storage=storage, probe=probe,
        )  # fmt: skip
        return Model(out)

    stored = save(trained.config, trained.card)
    before = trained.config.get("start", {}).get("texts", [])
    held = _by_source(corpus, [text.path for text in texts] if read is None else read, encoding)
    sources = [
        {"name": text.name, "terms": text.terms, "read": text.read,
         # the model that it started from may have learnt what this run holds out
         "heldout": None if text.name in before else _bits(stored, documents)}
        for text, documents in zip(texts, held, strict=True)
    ]  # fmt: skip
    others_seen = [*unseen, *(Unseen(Path(other).name, tuple(_beginning(other, encoding))) for other in others)]
    measured = [{"name": one.name, "measured": _bits(stored, one.documents)} for one in others_seen]
    base = {"sources": sources, "unseen": measured, **({} if start_rate is None else {"start_rate": start_rate})}
    card = _card(trained, out.name, storage, sources, measured, WORDS_FILE in extra)
    return save({**trained.config, "base": base}, card, Probe.of(load(out)))


def _by_source(corpus: Corpus, paths: Sequence[str], encoding: str | None) -> list[list[str]]:
    """The held-out documents of each text. A document belongs to the first text that contains it."""
    whole = []
    for path in paths:
        found = read_texts([path], encoding, field=corpus.settings.field)
        whole.append("".join(piece for source in found.sources for piece in source.pieces()))
    held: list[list[str]] = [[] for _ in whole]
    for document in corpus.texts("heldout"):
        owner = next((at for at, text in enumerate(whole) if document in text), None)
        if owner is not None:
            held[owner].append(document)
    return held


def _beginning(path: str, encoding: str | None) -> list[str]:
    """The first MOST characters of a text, in paragraphs."""
    found = read_texts([path], encoding)
    text = ""
    for piece in (piece for source in found.sources for piece in source.pieces()):
        text += piece
        if len(text) >= MOST:
            break
    return [part for part in re.split(r"\n{2,}", text[:MOST]) if part.strip()]


def _bits(model: Model, documents: Sequence[str]) -> dict[str, Any] | None:
    """The model's evaluation on the documents, up to MOST characters of them; None if there are none."""
    chosen: list[str] = []
    characters = 0
    for document in documents:
        if not document or (chosen and characters + len(document) > MOST):
            continue
        chosen.append(document)
        characters += len(document)
    chosen.sort(key=len)
    scores = [score for at in range(0, len(chosen), _TOGETHER) for score in model.score(chosen[at : at + _TOGETHER])]
    if not scores:
        return None
    nats, tokens = sum(score.nats for score in scores), sum(score.tokens for score in scores)
    return Evaluation(nats, tokens, characters, "held-out").to_json()


def _card(
    trained: Model, name: str, storage: str, sources: Sequence[dict[str, Any]], unseen: Sequence[dict[str, Any]],
    has_words: bool,
) -> str:  # fmt: skip
    model, text, training = (trained.config[part] for part in ("model", "text", "training"))
    weights = sum(value.size for value in trained.tensors.values())
    tied = ", tied" if model["tied"] else ""
    hours = training["seconds"] / 3600
    lines = [
        f"# {name}: a base model to start from",
        "",
        f"- model: {model['cell']}, {model['layers']} × {model['hidden_size']}, "
        f"embedding {model['embedding_size']}{tied}; {weights:,} parameters, stored as {storage}; "
        f"vocabulary {model['vocabulary_size']:,} ({text['tokenizer']})",
        f"- training: {training['steps_done']:,} steps of {training['batch_size']} × {training['window']} tokens, "
        f"{training['epochs_done']:.1f} epochs, {hours:.1f} hours; dropout {model['dropout']:g}, "
        f"{training['optimizer']} {training['learning_rate']:g} {training['schedule']}, "
        f"averaging {training['averaging']:g}",
        f"- split: {_split(text)}; {text['train']['characters']:,} characters to learn from",
        *_start_line(trained),
        "- the texts themselves are not in it" + ("; the list of their words is (words.txt)" if has_words else ""),
        "",
        "| learnt from | terms | held out: bits per character |",
        "|---|---|---|",
        *(f"| {_named(s)} | {s['terms'] or 'not stated'} | {_figure(s['heldout'])} |" for s in sources),
    ]
    if unseen:
        lines += ["", "| never seen in training | bits per character |", "|---|---|"]
        lines += [f"| {u['name']} | {_figure(u['measured'])} |" for u in unseen]
    return (
        "\n".join([*lines, "", f"Up to {MOST:,} characters of each text were scored, each document by itself."]) + "\n"
    )


def _split(text: dict[str, Any]) -> str:
    """The card's words for what is held out."""
    held = text["heldout"]
    if not held["characters"]:
        return "nothing held out"
    of_all = f"{held['documents']:,} of {text['split'].get('documents', 0):,} documents ({text['documents']})"
    return f"{of_all} held out, {held['characters']:,} characters"


def _named(source: dict[str, Any]) -> str:
    """The name of a text, with how much of it was read."""
    return f"{source['name']} ({source['read']})" if source["read"] else str(source["name"])


def _start_line(trained: Model) -> list[str]:
    start = trained.config.get("start")
    if not start:
        return []
    return [f"- started from {start['name']}, which learnt {', '.join(start['texts'])}: these have no held-out figure"]


def _figure(values: dict[str, Any] | None) -> str:
    return (
        "not measured"
        if values is None
        else f"{values['bits_per_character']:.3f} ({values['characters']:,} characters)"
    )
