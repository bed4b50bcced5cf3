"""What int8 weights cost: the loss of perplexity against fp32, measured."""

import math
from dataclasses import dataclass

import numpy as np

from ostinato.bundle import Bundle
from ostinato.errors import UsageError
from ostinato.protocols import END_OF_DOCUMENT, Ids, StepModel
from ostinato.runtime.loading import load

SAMPLE_TOKENS = 4096
"""Length of the text that a model writes to be measured on where none is given."""


@dataclass(frozen=True)
class PrecisionLoss:
    """Perplexities of one text with fp32 and with int8 weights; `own_text` if the model wrote that text itself."""

    fp32: float
    int8: float
    tokens: int
    own_text: bool

    @property
    def increase(self) -> float:
        """By what share the perplexity grows: 0.001 is 0.1 %."""
        return self.int8 / self.fp32 - 1

    def __str__(self) -> str:
        """A line for the card."""
        change = f"{self.increase:+z.2%}"
        change = "0.00%" if change == "+0.00%" else change
        text = "tokens of its own writing" if self.own_text else "held-out tokens"
        return (
            f"int8 weights: perplexity {self.int8:.3f} per token against {self.fp32:.3f} with fp32 "
            f"({change}), on {self.tokens:,} {text}"
        )


def precision_loss(bundle: Bundle, ids: Ids | None = None, *, seed: int = 0) -> PrecisionLoss:
    """Score `ids` with the bundle's fp32 and int8 weights.

    Without `ids` the fp32 model writes SAMPLE_TOKENS tokens itself: over its own text the mean of log p / q is the
    Kullback-Leibler divergence of the int8 model q from it, so no held-out text is needed. Raises BundleError as
    `load`, UsageError for an empty text.
    """
    exact = load(bundle)
    text = _own_text(exact, seed) if ids is None else ids
    if len(text) == 0:
        raise UsageError("the loss of precision cannot be measured on an empty text")
    losses = [-float(model.score(text).mean()) for model in (exact, load(bundle, precision="int8"))]
    return PrecisionLoss(math.exp(losses[0]), math.exp(losses[1]), len(text), ids is None)


def _own_text(model: StepModel, seed: int) -> Ids:
    """SAMPLE_TOKENS tokens drawn from `model`: 64 rows that begin with a new document each, one after the other."""
    random = np.random.default_rng(seed)
    rows = 64
    ids, state = np.full(rows, END_OF_DOCUMENT, np.uint32), model.initial_state(rows)
    drawn = [ids]
    for _ in range(SAMPLE_TOKENS // rows - 1):
        logits, state = model.step(ids, state)
        noise = random.gumbel(size=logits.shape)  # the largest of logits + Gumbel noise is a draw from their softmax
        ids = (logits + noise).argmax(axis=1).astype(np.uint32)
        drawn.append(ids)
    text: Ids = np.array(drawn, np.uint32).T.ravel()
    return text
