"""The words of a training text: what a model that spells may write in form, saved with the model."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ostinato.protocols import END_OF_DOCUMENT, Tokenizer
from ostinato.text.sounds_en import WORD
from ostinato.text.sounds_zh import HAN

WORDS_FILE = "words.txt"
"""The list's name in a bundle: one word per line, sorted."""
MOST_TOKENS = 20_000_000
"""Of the training text, so many tokens are searched for words."""


def words_of(text: str) -> frozenset[str]:
    """The words of a training text, in lower case, and its Chinese characters: what a model that spells may write."""
    return frozenset(word.lower().replace("’", "'") for word in WORD.findall(text)) | frozenset(HAN.findall(text))


def known_words_of(ids: npt.ArrayLike, tokenizer: Tokenizer, *, backward: bool = False) -> frozenset[str]:
    """The words of a training text's first MOST_TOKENS ids, (T,); `backward`: they are in the order from the right."""
    newline = tokenizer.encode("\n")
    first = np.asarray(ids)[:MOST_TOKENS]
    first = np.where(first == END_OF_DOCUMENT, newline[0], first)  # no word goes on over the end of a document
    return words_of(tokenizer.decode(first[::-1] if backward else first))


def words_file(ids: npt.ArrayLike, tokenizer: Tokenizer, *, backward: bool = False) -> dict[str, bytes]:
    """The file to be saved beside a model that spells, by name; none for models whose vocabulary has words."""
    if tokenizer.kind not in ("character", "byte"):
        return {}
    words = sorted(known_words_of(ids, tokenizer, backward=backward))
    return {WORDS_FILE: "".join(f"{word}\n" for word in words).encode("utf-8")}


def read_words(path: Path) -> frozenset[str] | None:
    """The words saved at `path`; None where there is no such file."""
    if not path.is_file():
        return None
    return frozenset(path.read_text("utf-8", errors="replace").splitlines())
