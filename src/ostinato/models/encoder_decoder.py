"""A text from a text: an encoder reads the source, a decoder writes the target and may look back at the source."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ostinato.cells import CELLS
from ostinato.errors import SettingsError
from ostinato.layers import Recurrent, RecurrentState, dropout, initialise
from ostinato.models.classifier import IGNORED
from ostinato.models.loss import linear_cross_entropy, target_log_probabilities
from ostinato.models.saved import SavedModule
from ostinato.models.sequence_encoder import SequenceEncoder
from ostinato.settings import ModelSettings


class Memory(NamedTuple):
    """What the decoder knows of the sources: vectors (B, S, M), which of them are padding (B, S), where it starts."""

    vectors: Tensor
    padding: Tensor
    state: RecurrentState

    def select(self, rows: Tensor) -> "Memory":
        """The given rows, (N,) int64, in that order."""
        return Memory(self.vectors[rows], self.padding[rows], select_state(self.state, rows))


class EncoderDecoder(SavedModule):
    """Source and target share one vocabulary and its embedding.

        m_s, summary = encoder(source)
        every part of the decoder's first state = tanh(W_bridge summary + b)
        h_u = decoder(embedding(target_{u-1}), h_{u-1})
        a_us = softmax_s(h_u . W_query m_s)           (Luong, Pham and Manning 2015, equations 7 and 8, "general")
        f_u = W_combine [sum_s a_us m_s; h_u]         (without attention W_combine h_u)
        logits = W f_u + b                            W the embedding's where tied

    Equation 5 has a tanh around f_u; here the commonest ids saturate it within a few steps of Adam, and nothing more is
    learnt. A target starts from END_OF_DOCUMENT (0) and ends with it. Raises SettingsError for embedding_size = 0.
    """

    def __init__(
        self, settings: ModelSettings, vocabulary_size: int, *, bidirectional: bool = True, attention: bool = True
    ) -> None:
        super().__init__()
        self.encoder = SequenceEncoder(settings, vocabulary_size=vocabulary_size, bidirectional=bidirectional)
        H, E, M = settings.hidden_size, settings.embedding_size, self.encoder.output_size
        if not E:
            raise SettingsError("an encoder-decoder needs an embedding, got model.embedding_size=0: set it above 0")
        assert H is not None
        self.settings, self.vocabulary_size, self.attention = settings, vocabulary_size, attention
        self._parts = len(CELLS[settings.cell].parts)
        self.bridge = torch.nn.Linear(M, self._parts * settings.layers * H)
        self.decoder = Recurrent(
            settings.cell, E, H, settings.layers, backend=settings.backend, weight_drop=settings.weight_drop or 0.0,
            dropout=self.encoder.dropout if settings.layers > 1 else 0.0, locked_dropout=settings.locked_dropout,
        )  # fmt: skip
        features = E if settings.tied else H
        self.query = torch.nn.Linear(M, H, bias=False) if attention else None
        self.combine = torch.nn.Linear(H + M if attention else H, features)
        self.head = torch.nn.Linear(features, vocabulary_size)
        initialise(self, settings.initialisation, forget_bias=settings.forget_bias)
        if settings.tied:
            assert self.encoder.embedding is not None
            self.head.weight = self.encoder.embedding.weight

    def encode(self, source: Tensor, lengths: Tensor) -> Memory:
        """source: ids (B, S) padded at the end; lengths: (B,) int64, at least 1 each."""
        vectors, summary = self.encoder(source, lengths)
        parts = torch.tanh(self.bridge(summary)).to(self.head.bias.dtype)
        parts = parts.view(len(source), self._parts, self.settings.layers, -1).permute(1, 2, 0, 3).contiguous()
        padding = torch.arange(source.shape[1], device=source.device) >= lengths[:, None]
        return Memory(vectors, padding, tuple(parts) if self._parts > 1 else parts[0])

    def features(self, ids: Tensor, memory: Memory, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """What the head multiplies, (B, U, F), after each of the target ids (B, U), and the new state."""
        p, locked = self.encoder.dropout if self.training else 0.0, self.settings.locked_dropout
        assert self.encoder.embedding is not None
        x = functional.embedding(ids.t(), self.encoder.embedding.weight)
        h, state = self.decoder(dropout(x, p, locked=locked), state)
        h = h.transpose(0, 1)
        combined = h
        if self.query is not None:
            scores = h @ self.query(memory.vectors).transpose(1, 2)  # (B, U, S)
            weights = scores.masked_fill(memory.padding[:, None], -torch.inf).softmax(-1)
            combined = torch.cat([weights.to(memory.vectors.dtype) @ memory.vectors, h], dim=-1)
        f = self.combine(combined).transpose(0, 1)
        return dropout(f, p, locked=locked).transpose(0, 1), state

    def step(self, ids: Tensor, memory: Memory, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """Log-probabilities of the next id, (B, V), after ids (B,), and the new state."""
        features, state = self.features(ids[:, None], memory, state)
        return self.head(features[:, 0]).log_softmax(-1), state

    def loss(
        self, source: Tensor, lengths: Tensor, given: Tensor, targets: Tensor, state: None = None
    ) -> tuple[Tensor, None]:
        """Mean cross-entropy in nats a target id, its end included, each after the true ids before it.

        given: (B, U) int64, END_OF_DOCUMENT and the target but its end; targets: (B, U), IGNORED where padded.
        """
        features, kept = self._for_targets(source, lengths, given, targets)
        return linear_cross_entropy(features, self.head.weight, self.head.bias, targets[kept]), None

    def log_probabilities(self, source: Tensor, lengths: Tensor, given: Tensor, targets: Tensor) -> Tensor:
        """log P(target | source) of each row in nats, (B,), without gradients. Arguments as `loss`."""
        with torch.no_grad():
            features, kept = self._for_targets(source, lengths, given, targets)
            scores = torch.zeros(targets.shape, device=targets.device)
            scores[kept] = target_log_probabilities(features, self.head.weight, self.head.bias, targets[kept]).float()
        return scores.sum(1)

    def _for_targets(self, source: Tensor, lengths: Tensor, given: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        memory = self.encode(source, lengths)
        features, _ = self.features(given, memory, memory.state)
        kept = targets != IGNORED
        return features[kept], kept

    @staticmethod
    def detach(state: Any) -> Any:
        """There is no state between minibatches."""
        return state


def select_state(state: RecurrentState, rows: Tensor) -> RecurrentState:
    """The given rows of a decoder's state."""
    if isinstance(state, Tensor):
        return state[:, rows]
    return tuple(part[:, rows] for part in state)
