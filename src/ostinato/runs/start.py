"""Starting from another model: its weights, with its vocabulary joined to the new text's.

A token that the old model does not have starts from what that model spelled it with: the mean of those tokens' rows.
Its output bias says how often the new text has it, on the scale of the old biases.
"""

import dataclasses
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.bundle import Bundle, network_of, read_bundle
from ostinato.errors import BundleError, UsageError
from ostinato.evaluation import Evaluation, baselines
from ostinato.protocols import END_OF_DOCUMENT, Ids
from ostinato.runs.task import Run
from ostinato.runtime import load
from ostinato.settings import ModelSettings, Recipe, TextSettings, recorded_settings
from ostinato.text import BaseTokenizer, corpus_of, from_json, prepare
from ostinato.text.corpus import Corpus, Split

_SHAPE = ("cell", "layers", "hidden_size", "embedding_size", "tied", "context")
"""What a model that starts from another's weights has as that one."""
_ROWS = ("embedding.weight", "head.weight", "head.bias")
"""Tensors with a row for each token."""
_ONE_HOT = "recurrent.weight_ih_l0"
"""With one-hot input, it has a column for each token."""

_SAMPLE = 2_000
"""Tokens of the new text by which it is seen whether the start knows texts of its kind."""
_TOKENS = 20_000
"""Of a held-out text, so many tokens say how good a model was before and is after."""

Array = npt.NDArray[Any]


def read_start(path: Path) -> Bundle:
    """The saved network to start from, that of a mixture with one. Raises UsageError for another kind, BundleError as
    `read_bundle`."""
    bundle = read_bundle(path)
    network = network_of(bundle)
    if network is None:
        raise UsageError(f"{path} is a model of kind {bundle.kind}: training can only start from a recurrent network")
    return network


def start_rate(start: Bundle) -> float | None:
    """The learning rate that a base names for runs that start from it; None where it names none.

    Raises BundleError for one that is no rate.
    """
    base = start.config.get("base")
    rate = base.get("start_rate") if isinstance(base, dict) else None
    if rate is not None and (type(rate) not in (int, float) or not 0 < rate <= 1):
        raise BundleError(
            f"{start.path}: base.start_rate must be above 0 and at most 1, got {rate!r:.40}; copy it again"
        )
    return None if rate is None else float(rate)


def name_of(start: Bundle) -> str:
    """What the start is called: its folder, or that of its run."""
    return start.path.parent.name if start.path.name == "model" else start.path.name


def is_strange(start: Bundle, corpus: Corpus) -> bool:
    """Whether the start predicts the new text worse than the frequencies of its tokens do: it has to learn more than
    it knows, at the rate of a fresh network (docs/decisions/210-starts-from-a-base.md)."""
    split = corpus.heldout if corpus.heldout.tokens else corpus.train
    ids, size = np.asarray(split.ids[:_SAMPLE]), corpus.tokenizer.vocabulary_size
    backward = corpus.settings.direction == "backward"
    own, characters = _recoded(ids, corpus.tokenizer, start.tokenizer, backward)
    frequencies = baselines.unigram(corpus.train.ids, ids, size, characters)
    return bool(-load(start).score(own).sum() > frequencies.nats)


def shaped(recipe: Recipe, start: Bundle) -> Recipe:
    """`recipe` with the shape of a saved network. Raises UsageError where it asks for another one."""
    own = recorded_settings(ModelSettings, start.config, str(start.path))
    default = ModelSettings()
    for name in _SHAPE:
        wanted, there = getattr(recipe.model, name), getattr(own, name)
        if wanted not in (there, None, getattr(default, name)):
            raise UsageError(
                f"model.{name} is {wanted}, but the model to start from has {there}: leave it out, or start afresh"
            )
    return dataclasses.replace(
        recipe, model=dataclasses.replace(recipe.model, **{name: getattr(own, name) for name in _SHAPE})
    )


def starting_tokenizer(run: Run, start: Bundle) -> BaseTokenizer:
    """The vocabulary of a run that starts from a model: that model's and the text's, or the text's alone.

    Every character and word that the text has becomes a token, however rare: the model can spell already. Raises
    UsageError where the two texts are cut differently.
    """
    text = run.recipe.text
    for name, own in (("tokenizer", start.tokenizer.kind), ("direction", start.config["text"].get("direction"))):
        if getattr(text, name) not in (own, getattr(TextSettings(), name)):
            raise UsageError(
                f"text.{name} is {getattr(text, name)}, but the model to start from has {own}: leave it out"
            )
    settings = dataclasses.replace(text, tokenizer=start.tokenizer.kind, min_count=text.min_count or 1)
    with tempfile.TemporaryDirectory(prefix="ostinato-") as folder:
        own_tokenizer = prepare(run.paths, settings, folder, encoding=run.encoding).tokenizer
    if run.recipe.training.vocabulary == "new":
        return own_tokenizer
    return joined(start.tokenizer, own_tokenizer)


def joined(old: BaseTokenizer, new: BaseTokenizer) -> BaseTokenizer:
    """The tokens of `old`, in their order, then those that only `new` has; both of one kind."""
    a, b = old.to_json(), new.to_json()
    known_characters, known_words = set(old.characters), set(old.words)
    if "characters" in a:
        a["characters"] += "".join(c for c in b["characters"] if c not in known_characters)
    if "words" in a:
        a["words"] = [*a["words"], *(word for word in b["words"] if word not in known_words)]
    return from_json(a)


def carried_over(start: Bundle, tokenizer: BaseTokenizer, counts: npt.NDArray[np.int64]) -> dict[str, Array]:
    """The tensors of `start` for the vocabulary of `tokenizer`; `counts` (V,) says how often the new text has each."""
    spelled = _spellings(start.tokenizer, tokenizer)
    tensors: dict[str, Array] = {}
    for name in start.tensors:
        value = np.asarray(start.tensors[name])
        if name in _ROWS:
            value = _rows(value, spelled)
        elif name == _ONE_HOT and not start.config["model"]["embedding_size"]:
            value = np.ascontiguousarray(_rows(value.T, spelled).T)
        tensors[name] = value
    tensors["head.bias"] = _biases(tensors["head.bias"], spelled, counts)
    return tensors


def _spellings(old: BaseTokenizer, new: BaseTokenizer) -> list[list[int]]:
    """For each id of `new`, (V,), the ids of `old` that it was written with."""
    found: list[list[int]] = [[token_id] for token_id in range(min(257, old.vocabulary_size))]
    characters = {character: 257 + n for n, character in enumerate(old.characters)}
    words = {word: old.first_word + n for n, word in enumerate(old.words)}
    for character in new.characters:
        known = characters.get(character)
        found.append([known] if known is not None else old.encode(character).tolist())
    for word in new.words:
        known = words.get(word)
        found.append([known] if known is not None else old.encode(word).tolist() or [0])
    return found


def _rows(old: Array, spelled: list[list[int]]) -> Array:
    """(V', ...) from (V, ...): each new row is the mean of the rows of its spelling."""
    return np.stack([old[ids].mean(axis=0) if len(ids) > 1 else old[ids[0]] for ids in spelled]).astype(old.dtype)


def _biases(biases: Array, spelled: list[list[int]], counts: npt.NDArray[np.int64]) -> Array:
    """Biases (V,): the old tokens keep theirs; a new one gets its log frequency, moved to the scale of the old."""
    is_new = np.array([len(ids) > 1 for ids in spelled])
    log_p = np.log((counts + 0.5) / (counts.sum() + 0.5 * len(counts)))
    weights = np.where(is_new, 0, counts)
    if not is_new.any() or not weights.sum():
        return biases
    offset = np.average(biases - log_p, weights=weights)
    return np.where(is_new, log_p + offset, biases).astype(np.float32)


@dataclass(frozen=True)
class Origin:
    """Where a model started, and how good it was then, for its card.

    before: by text ("new text", "old text"), what the starting model made of the held-out part. old: the start's own
    held-out text in the new vocabulary, as far as it is at hand: ids and characters.
    """

    name: str
    texts: tuple[str, ...]
    before: Mapping[str, Mapping[str, Any]]
    old: tuple[Ids, int] | None

    def table(self, after: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """For the model's config."""
        return {"name": self.name, "texts": list(self.texts), "before": dict(self.before), "after": dict(after)}


def find_origin(
    start: Bundle, tokenizer: BaseTokenizer, evaluate: Callable[[Ids, int], Evaluation], new: Split
) -> Origin:
    """What is known of a start; `evaluate` scores ids (of so many characters) with the model as it is now."""
    old = _old_text(start, tokenizer)
    before = {"new text": evaluate(new.ids[:_TOKENS], _characters(new)).to_json()} if new.tokens else {}
    if old is not None:
        before["old text"] = evaluate(*old).to_json()
    texts = start.config.get("text", {}).get("names", [])
    return Origin(name_of(start), tuple(map(str, texts)), before, old)


def recorded_origin(folder: Path) -> Origin | None:
    """Where a run that goes on started, as its saved model in `folder` says; None where that says nothing."""
    try:
        table = read_bundle(folder).config.get("start")
    except BundleError:  # none was saved yet
        return None
    if not isinstance(table, dict):
        return None
    return Origin(str(table["name"]), tuple(map(str, table["texts"])), table["before"], None)


def _characters(split: Split) -> int:
    return split.characters if split.tokens <= _TOKENS else round(split.characters * _TOKENS / split.tokens)


def _old_text(start: Bundle, tokenizer: BaseTokenizer) -> tuple[Ids, int] | None:
    """Up to _TOKENS tokens of the start's held-out text, where its run still has them, in the new vocabulary."""
    corpus = corpus_of(start.path, start.config)
    if corpus is None or not corpus.heldout.tokens:
        return None
    ids = np.asarray(corpus.heldout.ids[:_TOKENS])
    return _recoded(ids, corpus.tokenizer, tokenizer, corpus.settings.direction == "backward")


def _recoded(ids: Ids, old: BaseTokenizer, new: BaseTokenizer, backward: bool) -> tuple[Ids, int]:
    """Documents as ids of `new` in place of those of `old`, and their characters."""
    documents = np.split(ids, np.flatnonzero(ids == END_OF_DOCUMENT) + 1)
    texts = [old.decode(d[::-1] if backward else d) for d in documents if len(d)]
    found = [new.encode(text) for text in texts]
    end = np.zeros(1, found[0].dtype)
    joined_ids = np.concatenate([part for one in found for part in (one[::-1] if backward else one, end)])
    return joined_ids, sum(map(len, texts))
