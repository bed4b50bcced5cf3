"""A few lines in the model's own words, to be watched while it learns."""

from ostinato.errors import GenerationError
from ostinato.generation import Sampler, Stop, TextModel, WriteRequest, write
from ostinato.models.language_model import LanguageModel
from ostinato.models.step import TorchStepModel
from ostinato.text import Corpus
from ostinato.text.description import heading_of

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
        opening=corpus.opening,
    )
    try:
        (written,) = write(text_model, WriteRequest(sampler=_SAMPLER, stop=Stop(lines=lines, tokens=120), seed=seed))
    except GenerationError:
        return ""
    return written.text
