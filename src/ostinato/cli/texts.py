"""Texts given on the command line, tokenized and divided like a model's own text."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ostinato.settings import TextSettings, recorded_settings
from ostinato.text import BaseTokenizer, Corpus, Split, prepare


def settings_of(config: dict[str, Any]) -> TextSettings:
    """The text settings of a model with this config, except that a new text is used whole and nothing is held out."""
    return dataclasses.replace(recorded_settings(TextSettings, config, "the model's config"), limit=0, heldout=0.0)


def whole_text(
    texts: Sequence[str], settings: TextSettings, folder: Path, *, tokenizer: BaseTokenizer, encoding: str | None = None
) -> tuple[Split, Corpus]:
    """The given texts as ids of `tokenizer`, stored in `folder`, and the corpus they belong to."""
    corpus = prepare(texts, settings, folder, encoding=encoding, tokenizer=tokenizer)
    return corpus.train, corpus
