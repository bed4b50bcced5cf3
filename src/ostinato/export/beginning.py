"""Where a text without a prompt begins, in ids: for formats that know neither titles nor letters."""

from dataclasses import dataclass

import numpy as np

from ostinato.bundle import Bundle
from ostinato.protocols import END_OF_DOCUMENT
from ostinato.text.openings import Openings, read_opening


@dataclass(frozen=True)
class Beginning:
    """prefix: the ids that `ostinato write` reads when it is given no prompt, END_OF_DOCUMENT first. first_tokens: the
    ids that may then be the text's first token, in ascending order; empty if any may be."""

    prefix: tuple[int, ...]
    first_tokens: tuple[int, ...]


def beginning(bundle: Bundle) -> Beginning:
    """From the bundle's heading or, without one, its opening. Raises BundleError for a damaged opening."""
    text, tokenizer = bundle.config.get("text", {}), bundle.tokenizer
    heading, backward = text.get("heading", ""), text.get("direction") == "backward"
    if heading and not backward:
        return Beginning((END_OF_DOCUMENT, *map(int, tokenizer.encode(heading.rstrip() or heading))), ())
    opening = read_opening(text, tokenizer.vocabulary_size)
    forbidden = None if heading else Openings(opening, tokenizer, backward=backward).forbidden("")
    first_tokens = () if forbidden is None else tuple(np.flatnonzero(~forbidden).tolist())
    return Beginning((END_OF_DOCUMENT, *opening.after), first_tokens)
