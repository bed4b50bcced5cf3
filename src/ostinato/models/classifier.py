"""One class a sequence, and one class a step."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ostinato.errors import UsageError
from ostinato.layers import initialise
from ostinato.models.saved import SavedModule
from ostinato.models.sequence_encoder import SequenceEncoder
from ostinato.settings import POOLINGS, ModelSettings

IGNORED = -1
"""The target of a step that has none: padding, or the first bytes of a spelled character."""


class Classifier(SavedModule):
    """logits = W pool(encoder(x)) + b, the pool being the summary of the last step, or mean or maximum over steps."""

    def __init__(
        self,
        settings: ModelSettings,
        classes: int,
        *,
        vocabulary_size: int = 0,
        features: int = 0,
        bidirectional: bool = True,
        pooling: str = "mean",
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise UsageError(f"pooling must be one of {', '.join(POOLINGS)}, got {pooling!r}")
        self.pooling = pooling
        self.encoder = SequenceEncoder(
            settings, vocabulary_size=vocabulary_size, features=features, bidirectional=bidirectional
        )
        self.head = torch.nn.Linear(self.encoder.output_size, classes)
        initialise(self, settings.initialisation, forget_bias=settings.forget_bias)

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Logits (B, classes). inputs: ids (B, T) or vectors (B, T, features); lengths: (B,) int64."""
        y, summary = self.encoder(inputs, lengths)
        if self.pooling == "mean":
            summary = y.sum(1) / lengths[:, None]
        elif self.pooling == "max":
            padding = torch.arange(y.shape[1], device=y.device) >= lengths[:, None]
            summary = y.masked_fill(padding[:, :, None], -torch.inf).amax(1)
        logits: Tensor = self.head(summary)
        return logits

    def loss(self, inputs: Tensor, lengths: Tensor, targets: Tensor, state: None = None) -> tuple[Tensor, None]:
        """Mean cross-entropy in nats a sequence. targets: classes (B,) int64."""
        return functional.cross_entropy(self(inputs, lengths).float(), targets), None

    @staticmethod
    def detach(state: Any) -> Any:
        """There is no state."""
        return state


class Tagger(SavedModule):
    """logits_t = W encoder(x)_t + b for every step t."""

    def __init__(
        self,
        settings: ModelSettings,
        classes: int,
        *,
        vocabulary_size: int = 0,
        features: int = 0,
        bidirectional: bool = True,
    ) -> None:
        super().__init__()
        self.encoder = SequenceEncoder(
            settings, vocabulary_size=vocabulary_size, features=features, bidirectional=bidirectional
        )
        self.head = torch.nn.Linear(self.encoder.output_size, classes)
        initialise(self, settings.initialisation, forget_bias=settings.forget_bias)

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Logits (B, T, classes). inputs: ids (B, T) or vectors (B, T, features); lengths: (B,) int64."""
        logits: Tensor = self.head(self.encoder(inputs, lengths)[0])
        return logits

    def loss(self, inputs: Tensor, lengths: Tensor, targets: Tensor, state: None = None) -> tuple[Tensor, None]:
        """Mean cross-entropy in nats a tag. targets: classes (B, T) int64, IGNORED where there is none."""
        logits = self(inputs, lengths).float()
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED), None

    @staticmethod
    def detach(state: Any) -> Any:
        """There is no state."""
        return state
