"""Padded sequences to a vector for every step, in one or both directions; padding is never read."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.errors import SettingsError
from ostinato.layers import Recurrent, dropout, embedding_dropout
from ostinato.models.language_model import Embedding
from ostinato.settings import ModelSettings

SMALLEST_SCALE = 1e-6


class SequenceEncoder(torch.nn.Module):
    """Embedding, one-hot rows or standardised features, then recurrent layers `ahead` and, if asked for, `back`.

    Each direction is a layer of its own: the backward one reads every row from its own last step, so that the rows of
    a batch may differ in length. Give one of vocabulary_size (inputs are ids) and features (inputs are vectors).
    """

    def __init__(
        self, settings: ModelSettings, *, vocabulary_size: int = 0, features: int = 0, bidirectional: bool
    ) -> None:
        super().__init__()
        if settings.hidden_size is None or settings.embedding_size is None or settings.dropout is None:
            raise SettingsError("model.hidden_size, embedding_size and dropout must be decided before a model is built")
        self.settings, self.features, self.dropout = settings, features, settings.dropout
        embedded = bool(vocabulary_size and settings.embedding_size)
        self.embedding = Embedding(vocabulary_size, settings.embedding_size) if embedded else None
        if features:
            self.register_buffer("mean", torch.zeros(features))
            self.register_buffer("scale", torch.ones(features))
        self.output_size = settings.hidden_size * (2 if bidirectional else 1)
        sizes = [features or settings.embedding_size or vocabulary_size]
        sizes += [self.output_size] * (settings.layers - 1)
        self.ahead = torch.nn.ModuleList(self._layer(size) for size in sizes)
        self.back = torch.nn.ModuleList(self._layer(size) for size in (sizes if bidirectional else ()))

    def _layer(self, input_size: int) -> Recurrent:
        s = self.settings
        assert s.hidden_size is not None
        return Recurrent(s.cell, input_size, s.hidden_size, backend=s.backend, weight_drop=s.weight_drop or 0.0)

    @torch.no_grad()
    def standardise(self, rows: NDArray[np.float32]) -> None:
        """Learn mean and deviation of each feature from `rows`, (N, features)."""
        self.get_buffer("mean").copy_(torch.from_numpy(rows.mean(0, dtype=np.float64)))
        deviation = np.maximum(rows.std(0, dtype=np.float64), SMALLEST_SCALE)
        self.get_buffer("scale").copy_(torch.from_numpy(deviation))

    def forward(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """inputs: ids (B, T) or vectors (B, T, features), padded at the end; lengths (B,), at least 1 each.

        Returns every step's vector (B, T, D·H), zero where padded, and the summary (B, D·H): the last step of the
        forward direction and the first of the backward one.
        """
        p, locked = self.dropout if self.training else 0.0, self.settings.locked_dropout
        steps = torch.arange(inputs.shape[1], device=inputs.device)[:, None]
        inside = steps < lengths  # (T, B)
        rows = torch.arange(inputs.shape[0], device=inputs.device)
        x = self._vectors(inputs.transpose(0, 1), p)
        mirror = torch.where(inside, lengths - 1 - steps, steps)
        summaries = []
        for layer, ahead in enumerate(self.ahead):
            x = dropout(x, p if layer else 0.0, locked=locked)
            y = ahead(x)[0]
            summaries = [y[lengths - 1, rows]]
            if len(self.back):
                reverse = self.back[layer](x[mirror, rows])[0]
                summaries.append(reverse[lengths - 1, rows])
                y = torch.cat([y, reverse[mirror, rows]], dim=-1)
            x = y
        y = dropout(x, p, locked=locked) * inside[:, :, None]
        return y.transpose(0, 1), dropout(torch.cat(summaries, dim=-1)[None], p, locked=locked)[0]

    def _vectors(self, x: Tensor, p: float) -> Tensor:
        """What the first layer reads, (T, B, I) floats or (T, B) ids for one-hot rows."""
        if self.features:
            return (x - self.get_buffer("mean")) / self.get_buffer("scale")
        if self.embedding is None:
            return x
        q = self.settings.embedding_dropout if self.training else 0.0
        return dropout(embedding_dropout(x, self.embedding.weight, q), p, locked=self.settings.locked_dropout)
