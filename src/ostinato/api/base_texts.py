"""Prepares the texts of a base: repeated or thinned out, or only the part that `train` would learn.

In the last case the base does not see what `train` holds out of the text. Runs on that text that start from the base
are then measured on documents that neither the run nor the base has read.
"""

import dataclasses
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ostinato.errors import TextError, UsageError
from ostinato.files import write_file
from ostinato.settings import TextSettings
from ostinato.text import Corpus, prepare

MOST_TIMES = 100


@dataclass(frozen=True)
class BaseText:
    """One text that a base learns.

    path: as for `train`. terms: the licence or other terms of use. times: how often each document is read per pass;
    below 1, the share of the documents that is read. training_part: read only what `train` learns of the text by
    default. spare: leave out the first documents of that part, up to this many characters. Raises UsageError for
    values out of range.
    """

    path: str
    terms: str = ""
    times: float = 1.0
    training_part: bool = False
    spare: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.times <= MOST_TIMES:
            raise UsageError(f"--times must be above 0 and at most {MOST_TIMES}, got {self.times:g}")
        if self.spare < 0:
            raise UsageError(f"--spare must be at least 0, got {self.spare}")
        if self.spare and not self.training_part:
            raise UsageError("--spare goes with --training-part, which names the text that it spares")

    @property
    def name(self) -> str:
        """The name on the card."""
        return Path(self.path).name

    @property
    def as_it_is(self) -> bool:
        """Whether the whole text is read once per pass."""
        return self.times == 1 and not self.training_part

    @property
    def read(self) -> str:
        """How much of the text is read, for the card; "" if it is read as it is."""
        part = "the part that `train` learns" if self.training_part else ""
        if self.spare:
            part += f" without its first {self.spare:,} characters"
        often = "" if self.times == 1 else f"{self.times:g} times per pass" if self.times > 1 else f"{self.times:.0%}"
        return ", ".join(filter(None, (part, often)))


@dataclass(frozen=True)
class Unseen:
    """Documents that a base does not learn, with a name for the card."""

    name: str
    documents: tuple[str, ...]


def write_texts(
    texts: Sequence[BaseText], folder: Path, settings: TextSettings, encoding: str | None = None
) -> tuple[list[str], list[Unseen]]:
    """Returns the paths of the files that a base reads for `texts`, and what it does not see of them.

    A text that is read as it is keeps its path. The documents of any other text are written to one file in `folder`,
    separated by blank lines. They are cut by `settings`, or for a training part as `train` cuts and splits the text.
    Raises TextError if a text cannot be read or nothing of it is left.
    """
    paths: list[str] = []
    unseen: list[Unseen] = []
    for number, text in enumerate(texts, 1):
        if text.as_it_is:
            paths.append(text.path)
            continue
        documents, left_out = _documents(text, settings, encoding)
        chosen = _repeated(documents, text.times)
        if not chosen:
            raise TextError(f"nothing of {text.path} is left to learn: raise --times, or lower --spare")
        path = folder / str(number) / (text.name if text.name.endswith(".txt") else f"{text.name}.txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, "\n\n".join(chosen) + "\n")
        paths.append(str(path))
        unseen += left_out
    return paths, unseen


def _documents(text: BaseText, settings: TextSettings, encoding: str | None) -> tuple[list[str], list[Unseen]]:
    """The documents of a text that are read, each once, and those that are not."""
    cut = TextSettings() if text.training_part else dataclasses.replace(settings, heldout=0.0)
    with tempfile.TemporaryDirectory(prefix="ostinato-") as folder:
        corpus = prepare([text.path], cut, folder, encoding=encoding)
        documents = list(corpus.texts("train"))
        if not text.training_part:
            return documents, []
        return _without_first(documents, text, corpus)


def _without_first(documents: list[str], text: BaseText, corpus: Corpus) -> tuple[list[str], list[Unseen]]:
    """The training part without its first, spared documents; and the held-out and spared documents."""
    spared = size = 0
    while size < text.spare and spared < len(documents):
        size += len(documents[spared])
        spared += 1
    unseen = [Unseen(f"{text.name}, what `train` holds out", tuple(corpus.texts("heldout")))]
    if spared:
        unseen.append(Unseen(f"{text.name}, the first {size:,} characters of the rest", tuple(documents[:spared])))
    return documents[spared:], unseen


def _repeated(documents: Sequence[str], times: float) -> list[str]:
    """All documents, repeated by the integer part of `times`, then an evenly spread share of them for the rest."""
    whole, share = int(times), times - int(times)
    rest = [d for n, d in enumerate(documents) if _floor((n + 1) * share) > _floor(n * share)]
    return list(documents) * whole + rest


def _floor(value: float) -> int:
    return math.floor(value + 1e-9)  # 10 * 0.3 is a little less than 3
