"""Tokenizers: text to ids and back. They never fail on a valid text and never lose anything."""

from collections.abc import Iterable, Mapping
from typing import Any

from ostinato.errors import BundleError, SettingsError
from ostinato.settings import TOKENIZERS
from ostinato.text.tokenizers.base import BaseTokenizer
from ostinato.text.tokenizers.character import ByteTokenizer, CharacterTokenizer
from ostinato.text.tokenizers.whitespace import WhitespaceTokenizer
from ostinato.text.tokenizers.word import WordTokenizer

__all__ = ["BaseTokenizer", "ByteTokenizer", "CharacterTokenizer", "WhitespaceTokenizer", "WordTokenizer", "build",
           "default_min_count", "from_json"]  # fmt: skip


def default_min_count(kind: str) -> int:
    """How often a token must be seen to enter the vocabulary: once for `whitespace`, as published, else twice."""
    return 1 if kind == "whitespace" else 2


def build(kind: str, pieces: Iterable[str], min_count: int | None = None) -> BaseTokenizer:
    """A tokenizer of the given kind with the vocabulary of a text that comes in `pieces`.

    Pieces should end after a newline: words are not put together over their ends. Characters and words seen fewer than
    `min_count` times stay out of the vocabulary. Raises SettingsError for an unknown kind or a `min_count` below 1,
    TextError for a lone surrogate.
    """
    least = default_min_count(kind) if min_count is None else min_count
    if least < 1:
        raise SettingsError(f"min_count must be 1 or more, got {least}")
    if kind == "character":
        return CharacterTokenizer.build(pieces, least)
    if kind == "word":
        return WordTokenizer.build(pieces, least)
    if kind == "whitespace":
        return WhitespaceTokenizer.build(pieces, least)
    if kind == "byte":
        return ByteTokenizer()
    raise SettingsError(f"tokenizer must be one of {', '.join(TOKENIZERS)}, got {kind!r}")


def from_json(data: Mapping[str, Any]) -> BaseTokenizer:
    """The tokenizer that `to_json` described. Raises BundleError for anything else."""
    kind = data.get("kind")
    characters, words, padded = data.get("characters", ""), data.get("words", []), data.get("padded", False)
    if not (isinstance(characters, str) and isinstance(words, list) and isinstance(padded, bool)
            and all(isinstance(word, str) and word for word in words)):  # fmt: skip
        raise BundleError("the tokenizer's description is damaged: characters must be a text and words a list of texts")
    if len(set(characters)) < len(characters) or len(set(words)) < len(words):
        raise BundleError("the tokenizer's description is damaged: a character or word is listed twice")
    try:
        "".join([characters, *words]).encode()
    except UnicodeEncodeError:
        raise BundleError("the tokenizer's description is damaged: it has a lone surrogate") from None
    if kind == "character":
        return CharacterTokenizer(characters)
    if kind == "word":
        return WordTokenizer(characters, words)
    if kind == "whitespace":
        return WhitespaceTokenizer(characters, words, padded=padded)
    if kind == "byte":
        return ByteTokenizer()
    raise BundleError(f"the tokenizer's kind must be one of {', '.join(TOKENIZERS)}, got {kind!r:.60}")
