"""Training a context-mixing model: one pass, in blocks that are predicted before they are counted."""

import numpy as np
import numpy.typing as npt

from ostinato.errors import UsageError
from ostinato.kernels import mixing as kernel
from ostinato.kernels.mixing_tables import LETTER, NEWLINE, OTHER, STATE_SIZE, MixingArrays, untaught
from ostinato.mixing.model import COUNTER_LIMIT, MixingModel
from ostinato.mixing.tree import build_tree
from ostinato.protocols import END_OF_DOCUMENT, Ids, Tokenizer

LARGEST_VOCABULARY = 10_000
"""Tokens: beyond it (words) the decisions along the tree are too many and seen too seldom."""
BLOCKS = 16
"""Mixers learn from a block what counters of the blocks before it are worth: as it will be on a text not seen before.
Learning token by token they would trust what was said a moment ago, and be 0.01 nats a character worse."""
_FIRST_RATE, _LAST_RATE, _FALL = 200, 40, 8
_MOST_PLACES = 1 << 24
_LEAST_PLACES = 1 << 10


def fit_mixing(ids: Ids, tokenizer: Tokenizer) -> MixingModel:
    """The model of a text's ids (T,), each document ended by END_OF_DOCUMENT. The same ids give the same model.

    Raises UsageError for a vocabulary it is not made for, and for a text without tokens.
    """
    size = tokenizer.vocabulary_size
    if not 2 <= size <= LARGEST_VOCABULARY:
        raise UsageError(
            f"a context-mixing model is made for vocabularies of 2 to {LARGEST_VOCABULARY:,} tokens, this text has "
            f"{size:,}: set text.tokenizer=character, or use --recipe kneser-ney"
        )
    if not len(ids):
        raise UsageError("a context-mixing model learns from a text, got no tokens")
    folded, classes = describe_tokens(tokenizer)
    tree = build_tree(ids, size)
    decisions = int(np.diff(tree.starts) @ np.bincount(ids, minlength=size))
    places = {"records": _places(16 * len(ids)), "slots": _places(2 * decisions)}
    arrays = untaught(tree, folded, classes, _ranks(ids, size), **places)
    _learn(arrays, np.asarray(ids))
    settings = {"vocabulary_size": size, "tokens": len(ids), **places}
    return MixingModel(arrays, settings)


def _learn(arrays: MixingArrays, ids: Ids) -> None:
    rates = np.maximum(_LAST_RATE, _FIRST_RATE / (1 + _FALL * np.arange(len(ids)) / len(ids))).astype(np.int32)
    edges = np.linspace(0, len(ids), min(BLOCKS, len(ids)) + 1).astype(np.int64)
    state = np.zeros((1, STATE_SIZE), np.uint32)
    for first, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        block = ids[first:end]
        kernel.learn(arrays, block, state, rates=rates[first:end], counters=False, limit=COUNTER_LIMIT)
        _, state = kernel.learn(arrays, block, state, rates=None, counters=True, limit=COUNTER_LIMIT)


def _places(wanted: int) -> int:
    """Of a table: a power of two, so that it stays about half empty, up to what memory is worth."""
    return min(_MOST_PLACES, max(_LEAST_PLACES, 1 << (wanted - 1).bit_length()))


def _ranks(ids: Ids, size: int) -> npt.NDArray[np.uint8]:
    counts = np.bincount(ids, minlength=size)
    ranks = np.empty(size, np.int64)
    ranks[np.argsort(-counts, kind="stable")] = np.arange(size)
    return np.minimum(ranks, 255).astype(np.uint8)


def describe_tokens(tokenizer: Tokenizer) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8]]:
    """Of each token, (V,): the token of its lower case (itself where there is none), and its class: 0 the end of a
    document, then a newline, anything else, and letters (apostrophes are among them)."""
    size = tokenizer.vocabulary_size
    texts = [tokenizer.decode(np.array([i], np.uint16)) for i in range(size)]
    first: dict[str, int] = {}
    for i, text in enumerate(texts):
        first.setdefault(text, i)
    classes = np.full(size, OTHER, np.uint8)
    folded = np.arange(size, dtype=np.uint32)
    for i, text in enumerate(texts):
        if text == "\n":
            classes[i] = NEWLINE
        elif text and all(character.isalpha() or character in "'’" for character in text):
            classes[i] = LETTER
            folded[i] = first.get(text.lower(), i)
    classes[END_OF_DOCUMENT] = 0
    return folded, classes
