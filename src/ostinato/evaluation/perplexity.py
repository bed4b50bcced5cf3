"""How well a model predicts a text, in units that can be compared: all of it, weighted by tokens."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

from ostinato.errors import TextError
from ostinato.protocols import Ids, StepModel, score_many

_LARGEST = 300 * math.log(10)


def perplexity(nats_per_token: float) -> float:
    """exp of a mean loss; infinite from 1e300 on."""
    return math.exp(nats_per_token) if nats_per_token <= _LARGEST else math.inf


def figure(value: float | None) -> str:
    """A perplexity as it is printed, None being infinite: `1,234.56`, `1.23e+12`, `over 1e300`."""
    if value is None or value > 1e300:
        return "over 1e300"
    return f"{value:,.2f}" if value < 1e9 else f"{value:.2e}"


@dataclass(frozen=True)
class Evaluation:
    """The cost of a text: `nats` = -log P of its `tokens` tokens, ends of documents included; `characters` it has.

    `split` says which text it was, such as "held-out" or "training". A token to which the model gives probability 0
    makes every figure infinite. Raises TextError where there is nothing to measure or the cost is not a number.
    """

    nats: float
    tokens: int
    characters: int
    split: str = "held-out"

    def __post_init__(self) -> None:
        if self.tokens < 1 or self.characters < 1:
            raise TextError(
                f"nothing to measure in the {self.split} text: {self.tokens} tokens, {self.characters} characters"
            )
        if math.isnan(self.nats):
            raise TextError(f"the model gives no numbers on the {self.split} text (NaN): it cannot be measured")

    @property
    def nats_per_token(self) -> float:
        """Cross-entropy, the loss that training minimises."""
        return self.nats / self.tokens

    @property
    def perplexity(self) -> float:
        """exp of the nats per token; depends on how the text is cut into tokens."""
        return perplexity(self.nats_per_token)

    @property
    def bits_per_character(self) -> float:
        """Comparable between tokenizers."""
        return self.nats / self.characters / math.log(2)

    def __add__(self, other: "Evaluation") -> "Evaluation":
        """Both texts together: a mean weighted by tokens. The splits must be the same."""
        if self.split != other.split:
            raise TextError(f"figures of two splits cannot be added: {self.split} and {other.split}")
        return Evaluation(
            self.nats + other.nats, self.tokens + other.tokens, self.characters + other.characters, self.split
        )

    def to_json(self) -> dict[str, float | int | str | None]:
        """Counts and figures as JSON types; an infinite figure is null."""
        figures = {
            "nats": self.nats,
            "nats_per_token": self.nats_per_token,
            "perplexity": self.perplexity,
            "bits_per_character": self.bits_per_character,
        }
        finite = {name: value if math.isfinite(value) else None for name, value in figures.items()}
        return {"split": self.split, "tokens": self.tokens, "characters": self.characters, **finite}

    def __str__(self) -> str:
        return (
            f"{self.split}: perplexity {figure(self.perplexity)} per token, {self.bits_per_character:.3f} bits per "
            f"character ({self.tokens:,} tokens, {self.characters:,} characters)"
        )

    def _repr_html_(self) -> str:
        """The figures as a table, for notebooks."""
        cells = {
            "perplexity per token": figure(self.perplexity),
            "bits per character": f"{self.bits_per_character:.3f}",
            "tokens": f"{self.tokens:,}",
            "characters": f"{self.characters:,}",
        }
        rows = "".join(
            f'<tr><th align="left">{name}</th><td align="right">{cell}</td></tr>' for name, cell in cells.items()
        )
        return f"<table><caption>{escape(self.split)}</caption>{rows}</table>"


def from_log_probabilities(
    log_probabilities: npt.NDArray[np.floating], characters: int, split: str = "held-out"
) -> Evaluation:
    """The evaluation of a text whose tokens have these natural-log probabilities, (T,)."""
    nats = -float(np.sum(log_probabilities, dtype=np.float64))
    return Evaluation(nats + 0.0, len(log_probabilities), characters, split)


def evaluate(model: StepModel, ids: Ids, characters: int, split: str = "held-out") -> Evaluation:
    """Score a whole text, state carried from its first token to its last. `ids`: (T,), `characters` in its text."""
    return from_log_probabilities(model.score(ids), characters, split)


def evaluate_many(
    model: StepModel, texts: Sequence[Ids], characters: Sequence[int], split: str = "held-out"
) -> list[Evaluation]:
    """`evaluate` of each of several texts, each read from its beginning, in as few calls as the model can."""
    scores = score_many(model, texts)
    return [from_log_probabilities(one, count, split) for one, count in zip(scores, characters, strict=True)]


def combine(evaluations: Iterable[Evaluation]) -> Evaluation:
    """All texts together. Raises TextError for none."""
    parts = list(evaluations)
    if not parts:
        raise TextError("no evaluations to combine")
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total
