"""What there is to know of a text before anything is trained on it."""

import dataclasses
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from ostinato.errors import MissingExtraError, TextError
from ostinato.settings import TextSettings
from ostinato.text.corpus import Corpus, prepare

RHYMES_UP_TO = 5_000_000
"""Longer texts (in characters) are not searched for rhymes, which takes about a second per million characters."""


@dataclass(frozen=True)
class TextReport:
    """The figures of a text. samples: how some of its documents begin. notes: what a user should be told of it."""

    figures: dict[str, Any]
    samples: tuple[str, ...]
    notes: tuple[str, ...]


def _silent(what: str) -> AbstractContextManager[None]:
    return nullcontext()


def report_texts(
    paths: Sequence[str | os.PathLike[str]], settings: TextSettings, encoding: str | None = None, *, samples: int = 0,
    doing: Callable[[str], AbstractContextManager[None]] = _silent,
) -> TextReport:  # fmt: skip
    """Read, divide and count texts as training would. doing: entered with the name of what takes long.

    A text too short to hold a part out is reported whole. Raises TextError and SettingsError as `prepare`.
    """
    with tempfile.TemporaryDirectory(prefix="ostinato-") as folder:
        with doing("reading the text"):
            corpus = _prepared(paths, settings, Path(folder), encoding)
        figures: dict[str, Any] = {
            "names": list(corpus.names),
            "tokenizer": corpus.settings.tokenizer,
            "documents": corpus.settings.documents,
            "vocabulary": corpus.tokenizer.vocabulary_size,
            **{
                name: {"documents": split.documents, "tokens": split.tokens, "characters": split.characters}
                for name, split in (("train", corpus.train), ("heldout", corpus.heldout))
            },
        }
        if corpus.train.characters <= RHYMES_UP_TO:
            with doing("looking for rhymes"):
                figures["rhyme"] = rhyme_report(chain(corpus.texts("train"), corpus.texts("heldout")))
        begun = tuple(text[:400] for text in islice(filter(str.strip, corpus.texts("train")), samples))
    return TextReport(figures, begun, corpus.notes)


def _prepared(
    paths: Sequence[str | os.PathLike[str]], settings: TextSettings, folder: Path, encoding: str | None
) -> Corpus:
    try:
        return prepare(paths, settings, folder, encoding=encoding)
    except TextError as error:
        if "too few to hold a part out" not in str(error) or "-" in paths:  # standard input is read once
            raise
    return prepare(paths, dataclasses.replace(settings, heldout=0.0), folder, encoding=encoding)


def rhyme_report(texts: Iterable[str]) -> dict[str, Any] | None:
    """Rhyme density of texts; None if the extra `form` is not installed."""
    from ostinato.text.rhyme import rhyme_density
    from ostinato.text.sounds import Sounds

    try:
        found = rhyme_density(_lines(texts), Sounds())
    except MissingExtraError:
        return None
    return {
        "lines": found.lines,
        "rhyming": round(found.density, 4),
        "couplets": round(found.couplets / max(found.lines, 1), 4),
        "alternate": round(found.alternate / max(found.lines, 1), 4),
    }


def _lines(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield from text.split("\n")
        yield ""
