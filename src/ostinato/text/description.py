"""What a saved model remembers of the text it was made from."""

import dataclasses
import re
from typing import Any

from ostinato.errors import counted
from ostinato.text.corpus import Corpus


def describe(corpus: Corpus) -> dict[str, Any]:
    """`config["text"]` of a bundle: how the text was read and divided, and how much there is of it. JSON types only."""
    settings = dataclasses.asdict(corpus.settings)
    del settings["heldout_files"], settings["test_files"]  # paths of one machine
    parts = [("train", corpus.train), ("heldout", corpus.heldout), ("test", corpus.test)]
    return {
        **settings,
        "names": list(corpus.names),
        "fingerprint": corpus.fingerprint,
        "split": corpus.split,
        "heading": heading_of(corpus.settings.documents),
        "opening": corpus.opening.to_json(),
        **{
            name: {"documents": split.documents, "tokens": split.tokens, "characters": split.characters}
            for name, split in parts
            if split is not None
        },
    }


def summary(corpus: Corpus) -> str:
    """How much there is of the text, and how much of it is held out: a line of a model's card."""
    train, heldout = corpus.train, corpus.heldout
    return (
        f"{counted(train.documents, 'document')}, {counted(train.tokens, 'token')} ({corpus.settings.tokenizer}), "
        f"{counted(train.characters, 'character')}; held out: {counted(heldout.documents, 'document')}, "
        f"{counted(heldout.tokens, 'token')}"
    )


def heading_of(documents: str) -> str:
    """What a title line begins with, where documents are cut at one: `^# ` gives "# ", other ways of cutting ""."""
    literal = documents.removeprefix("^")
    return literal if documents.startswith("^") and literal == re.sub(r"[\\^$.|?*+()\[\]{}]", "", literal) else ""
