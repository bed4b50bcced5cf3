"""What a saved model remembers of the text it was made from."""

import dataclasses
import re
from typing import Any

from ostinato.text.corpus import Corpus


def describe(corpus: Corpus) -> dict[str, Any]:
    """`config["text"]` of a bundle: how the text was read and divided, and how much there is of it. JSON types only."""
    return {
        **dataclasses.asdict(corpus.settings),
        "names": list(corpus.names),
        "fingerprint": corpus.fingerprint,
        "split": corpus.split,
        "heading": heading_of(corpus.settings.documents),
        **{
            name: {"documents": split.documents, "tokens": split.tokens, "characters": split.characters}
            for name, split in (("train", corpus.train), ("heldout", corpus.heldout))
        },
    }


def heading_of(documents: str) -> str:
    """What a title line begins with, where documents are cut at one: `^# ` gives "# ", other ways of cutting ""."""
    literal = documents.removeprefix("^")
    return literal if documents.startswith("^") and literal == re.sub(r"[\\^$.|?*+()\[\]{}]", "", literal) else ""
