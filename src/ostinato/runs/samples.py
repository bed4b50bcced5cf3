"""A few lines in the model's own words, to be watched while it learns, and kept beside the metrics."""

import json
from pathlib import Path
from typing import Any

from ostinato.errors import GenerationError
from ostinato.generation import Sampler, Stop, TextModel, WriteRequest, write
from ostinato.models.language_model import LanguageModel
from ostinato.models.step import TorchStepModel
from ostinato.text import Corpus
from ostinato.text.description import heading_of

FILE = "samples.jsonl"
"""In the folder of a run: a line of JSON per sample, with `step`, `seconds` and `text`."""
_SAMPLER = Sampler(temperature=0.8, top_p=0.95)


def sample_text(model: LanguageModel, corpus: Corpus, *, lines: int = 3, seed: int = 0) -> str:
    """Text of at most `lines` lines and 120 tokens, from the start of a document."""
    settings = corpus.settings
    if settings.direction == "backward":
        return ""
    text_model = TextModel(
        TorchStepModel(model),
        corpus.tokenizer,
        heading=heading_of(settings.documents),
        line_documents=settings.documents == "lines" or settings.newlines == "blank",
    )
    try:
        (written,) = write(text_model, WriteRequest(sampler=_SAMPLER, stop=Stop(lines=lines, tokens=120), seed=seed))
    except GenerationError:
        return ""
    return written.text


def append_sample(folder: Path, *, step: int, seconds: float, text: str) -> None:
    """Keep a sample in the run's `folder`. Raises OSError."""
    with (folder / FILE).open("a+b") as file:
        if file.seek(0, 2) and (file.seek(-1, 2), file.read(1))[1] != b"\n":  # a line cut short by a kill
            file.write(b"\n")
        file.write((json.dumps({"step": step, "seconds": round(seconds, 3), "text": text}) + "\n").encode())


def read_samples(folder: Path) -> list[dict[str, Any]]:
    """The samples of a run in order; a line that was cut short is left out, a missing file has none."""
    from ostinato.training.metrics import read_metrics

    return [row for row in read_metrics(folder / FILE) if isinstance(row.get("text"), str)]
