"""Whether a run starts from a bundled base by itself, and from which: by the language and the size of its text.

The figures behind the sizes are in docs/decisions/156-bases.md and 210-starts-from-a-base.md.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from ostinato.bases import base_folder
from ostinato.settings import Recipe, TextSettings, load_recipe
from ostinato.text.sources import CORPORA, read_texts

SMALLEST = 1_000
"""Characters of a text below which its language is not guessed."""
LARGEST = {"base-en": 1_100_000, "base-zh": 220_000}
"""Characters of a text up to which the base was measured to be at least as good as a fresh start."""
_BYTES_PER_CHARACTER = 4
"""In UTF-8, at most."""
_COMMON = frozenset(
    re.findall(
        "[a-z]+",
        "the and of to a in i you my is it that with me for on we be your not all but are so her his he she this",
    )
)
"""English words that make up a quarter of most English texts, and hardly a tenth of one in another language."""


def choose_start(sources: Sequence[str], recipe: Recipe, encoding: str | None = None) -> tuple[Path | None, str]:
    """The bundled base for a run that names no start, and the line that says so; None and "" where it stays fresh.

    The recipe must be the default one with the model and the tokenizer it has, and the text small, in English or
    Chinese. Raises TextError, as reading the text does.
    """
    if not _open_to_a_start(recipe) or not _may_be_small(sources):
        return None, ""
    text, characters = _read(sources, recipe.text, encoding)
    name = base_for(text, characters)
    if name is None:
        return None, ""
    language = {"base-en": "English", "base-zh": "Chinese"}[name]
    return base_folder(name), (
        f"{characters:,} characters of {language}: starting from {name}, which already knows the language "
        "(--from none: start from random weights)"
    )


def base_for(text: str, characters: int) -> str | None:
    """The base for a text of so many characters that begins with `text`: `base-en`, `base-zh`, or None."""
    if characters < SMALLEST:
        return None
    name = _language(text)
    return name if name is not None and characters <= LARGEST[name] else None


def _language(text: str) -> str | None:
    """By script: nine letters of ten are Han and none kana, or ASCII in common English words."""
    letters = sum(map(str.isalpha, text))
    if not letters:
        return None
    han, kana = len(re.findall(r"[\u4e00-\u9fff]", text)), len(re.findall(r"[\u3040-\u30ff]", text))
    if han >= 0.9 * letters:
        return "base-zh" if kana <= 0.01 * letters else None
    words = re.findall(r"[a-z]+", text.lower())
    if len(re.findall(r"[A-Za-z]", text)) < 0.95 * letters or not words:
        return None
    return "base-en" if sum(word in _COMMON for word in words) >= 0.15 * len(words) else None


def _open_to_a_start(recipe: Recipe) -> bool:
    """Whether nothing in the recipe asks for a network of one's own."""
    default = load_recipe("default")
    text = TextSettings()
    return (
        recipe.name == default.name
        and (recipe.model, recipe.ngram, recipe.task) == (default.model, default.ngram, default.task)
        and recipe.training.optimizer == default.training.optimizer
        and all(getattr(recipe.text, name) == getattr(text, name) for name in ("tokenizer", "direction", "newlines"))
        and recipe.text.min_count is None
    )


def _may_be_small(sources: Sequence[str]) -> bool:
    """Whether the files are not too large to be worth a look; how much a pipe holds is not known."""
    size = 0
    for source in sources:
        if source in CORPORA:
            continue
        path = Path(source)
        if path.is_dir():
            size += sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        elif path.is_file():
            size += path.stat().st_size
    return size <= _BYTES_PER_CHARACTER * max(LARGEST.values())


def _read(sources: Sequence[str], settings: TextSettings, encoding: str | None) -> tuple[str, int]:
    """The text and its length, no more than it takes to see that it is large."""
    pieces: list[str] = []
    length, limit = 0, settings.limit or max(LARGEST.values()) + 1
    for source in read_texts(sources, encoding, field=settings.field).sources:
        for piece in source.pieces():
            pieces.append(piece[: limit - length])
            length += len(pieces[-1])
            if length >= limit:
                return "".join(pieces), length
    return "".join(pieces), length
