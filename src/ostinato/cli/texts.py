"""Texts given on the command line, cut the way a model's own text was."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ostinato.settings import TextSettings, recorded_settings
from ostinato.text import BaseTokenizer, Corpus, Split, prepare


def settings_of(config: dict[str, Any]) -> TextSettings:
    """How the text of a model with this config was cut; a new text is not limited, and none of it held out."""
    return dataclasses.replace(recorded_settings(TextSettings, config, "the model's config"), limit=0, heldout=0.0)


def whole_text(
    texts: Sequence[str], settings: TextSettings, folder: Path, *, tokenizer: BaseTokenizer, encoding: str | None = None
) -> tuple[Split, Corpus]:
    """All of the given texts as ids of `tokenizer`, kept in `folder`; and the corpus they are part of."""
    corpus = prepare(texts, settings, folder, encoding=encoding, tokenizer=tokenizer)
    return corpus.train, corpus
