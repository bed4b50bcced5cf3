"""The language model without a hidden state: a network over the last few tokens."""

import torch
from torch import Tensor
from torch.nn import functional

from ostinato.errors import SettingsError, UsageError
from ostinato.layers import dropout, embedding_dropout, initialise
from ostinato.models.candidates import Candidates, head_loss
from ostinato.models.language_model import Embedding, Head, LanguageModel, embedding_and_output
from ostinato.models.saved import SavedModule
from ostinato.settings import ModelSettings


class WindowMLP(SavedModule):
    """Bengio, Ducharme, Vincent and Jauvin (2003), equation 1 without direct connections.

        x_t = [e(w_{t-n+1}); ...; e(w_t)]      n = model.context, e the embedding
        h_t = tanh(W x_t + b)
        logits = U P h_t + c                    U the embedding's where tied; P only there, if E differs from H

    It has `LanguageModel`'s methods; its state is the last n - 1 ids, (1, B, n - 1) int64, at first END_OF_DOCUMENT
    (0) everywhere. It has no use for cell, layers, weight_drop and locked_dropout. Raises SettingsError for missing
    sizes.
    """

    candidates: Candidates | None = None

    def __init__(self, settings: ModelSettings, vocabulary_size: int) -> None:
        super().__init__()
        H, E, p = settings.hidden_size, settings.embedding_size, settings.dropout
        if not E or H is None or p is None:
            raise SettingsError(f"model.context needs hidden_size, embedding_size and dropout, got {H}, {E} and {p}")
        if settings.context < 1:
            raise SettingsError(f"model.context must be at least 1, got {settings.context}")
        self.settings, self.vocabulary_size, self.dropout = settings, vocabulary_size, p
        self.embedding = Embedding(vocabulary_size, E)
        self.window = torch.nn.Linear(settings.context * E, H)
        projected = settings.tied and E != H
        self.projection = torch.nn.Linear(H, E, bias=False) if projected else None
        self.head = Head(H, vocabulary_size, tied=settings.tied)
        initialise(self, settings.initialisation)

    def forward(self, ids: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits of the next token, (B, T, V), and the state after the last one, for integer `ids` (B, T)."""
        rows, weight = embedding_and_output(self.embedding, self.head)
        features, state = self._features(ids, state, rows)
        return functional.linear(features, weight, self.head.bias), state

    def hidden(self, ids: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What the head multiplies, (B, T, F), and the state; F is E where tied, else H."""
        return self._features(ids, state, self.embedding.weight)

    def _features(self, ids: Tensor, state: Tensor | None, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """`hidden`, its vectors from `embedding`, (V, E): the parameter, or `shared`."""
        if ids.dim() != 2 or ids.is_floating_point():
            raise UsageError(f"ids must be integers (B, T), got {ids.dtype} {tuple(ids.shape)}")
        p, q = (self.dropout, self.settings.embedding_dropout) if self.training else (0.0, 0.0)
        before = self.initial_state(len(ids)) if state is None else state
        read = torch.cat([before[0], ids.long()], dim=1)  # (B, n - 1 + T)
        n = self.settings.context
        e = embedding_dropout(read, embedding, q, sparse=not embedding.is_leaf)
        x = e.unfold(1, n, 1).transpose(2, 3).flatten(2)  # (B, T, n·E)
        h = dropout(torch.tanh(self.window(dropout(x, p, locked=False, rows=0))), p, locked=False, rows=0)
        return (h if self.projection is None else self.projection(h)), read[None, :, read.shape[1] - n + 1 :]

    def loss(self, ids: Tensor, targets: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy in nats a token, a float32 scalar, and the state. ids, targets: integers (B, T)."""
        if targets.shape != ids.shape:
            raise UsageError(f"targets must have the shape of ids {tuple(ids.shape)}, got {tuple(targets.shape)}")
        rows, weight = embedding_and_output(self.embedding, self.head)
        h, state = self._features(ids, state, rows)
        return head_loss(self, h.flatten(0, 1), weight, targets.flatten()), state

    def touched(self, ids: Tensor) -> dict[Tensor, Tensor]:
        """As `LanguageModel.touched`, for the head alone: which ids are read depends on the states of all members."""
        drawn = None if self.candidates is None else self.candidates.rows
        if drawn is None:
            return {}
        heads: tuple[Tensor | None, ...] = self.head.bias, self.head.weight
        return {p: drawn for p in heads if p is not None}

    @property
    def output_weight(self) -> Tensor:
        """The matrix from features to logits, (V, F)."""
        return self.embedding.weight if self.head.weight is None else self.head.weight

    def initial_state(self, batch: int) -> Tensor:
        """Nothing but END_OF_DOCUMENT before."""
        return torch.zeros(1, batch, self.settings.context - 1, dtype=torch.long, device=self.head.bias.device)

    @staticmethod
    def detach(state: Tensor) -> Tensor:
        """Ids have no gradient."""
        return state


def build_language_model(settings: ModelSettings, vocabulary_size: int) -> LanguageModel:
    """A `WindowMLP` where settings.context is not 0, else a recurrent `LanguageModel`; both have the same methods."""
    if settings.context:
        return WindowMLP(settings, vocabulary_size)  # type: ignore[return-value]
    return LanguageModel(settings, vocabulary_size)
