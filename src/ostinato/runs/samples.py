"""A few lines in the model's own words, to be watched while it learns."""

from ostinato.errors import GenerationError
from ostinato.generation import Sampler, Stop, write
from ostinato.models.language_model import LanguageModel
from ostinato.models.step import TorchStepModel
from ostinato.text import Corpus
from ostinato.text.description import heading_of

_SAMPLER = Sampler(temperature=0.8, top_p=0.95)


def sample_text(model: LanguageModel, corpus: Corpus, *, lines: int = 3, seed: int = 0) -> str:
    """Text of at most `lines` lines and 120 tokens, from the start of a document."""
    if corpus.settings.direction == "backward":
        return ""
    try:
        written = write(
            TorchStepModel(model),
            corpus.tokenizer,
            sampler=_SAMPLER,
            stop=Stop(lines=lines, tokens=120),
            seed=seed,
            heading=heading_of(corpus.settings.documents),
        )
    except GenerationError:
        return ""
    return written[0].text
