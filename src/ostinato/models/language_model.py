"""The recurrent language model: token ids to a distribution over the next token, at every position."""

import torch
from torch import Tensor
from torch.nn import functional

from ostinato.errors import SettingsError, UsageError
from ostinato.layers import Recurrent, RecurrentState, dropout, embedding_dropout, initialise, shared
from ostinato.models.candidates import Candidates, head_loss
from ostinato.models.saved import SavedModule
from ostinato.settings import CELLS, ModelSettings


class Embedding(torch.nn.Module):
    """One vector of size E for each of V tokens: `weight` (V, E)."""

    def __init__(self, vocabulary_size: int, size: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(vocabulary_size, size))


class Head(torch.nn.Module):
    """Features to logits: `bias` (V,), and `weight` (V, F) unless it is shared with the embedding (`tied`)."""

    def __init__(self, features: int, vocabulary_size: int, *, tied: bool) -> None:
        super().__init__()
        self.weight = None if tied else torch.nn.Parameter(torch.empty(vocabulary_size, features))
        self.bias = torch.nn.Parameter(torch.empty(vocabulary_size))


def embedding_and_output(embedding: Embedding, head: Head) -> tuple[Tensor, Tensor]:
    """The matrices (V, E) and (V, F) of a loss: two, or one that is `shared`."""
    return shared(embedding.weight) if head.weight is None else (embedding.weight, head.weight)


class LanguageModel(SavedModule):
    """Embedding or one-hot input, recurrent layers, and a linear head over the vocabulary.

        e = embedding.weight[ids]          (one-hot rows where embedding_size is 0)
        h, state = recurrent(e, state)
        f = projection.weight h            (only where tied and embedding_size differs from hidden_size; else f = h)
        logits = W f + head.bias           with W = embedding.weight where tied, else head.weight

    Dropout acts on e, between layers and on h of the last layer. Parameters are named as in a saved model and
    start from torch's global random generator. Settings must be resolved: SettingsError where one is still "auto".
    """

    candidates: Candidates | None = None
    """The part of the vocabulary that a training step computes; None: all of it."""

    def __init__(self, settings: ModelSettings, vocabulary_size: int) -> None:
        super().__init__()
        hidden_size, embedding_size, p = _resolved(settings)
        self.settings = settings
        self.vocabulary_size = vocabulary_size
        self.dropout = p
        self.embedding = Embedding(vocabulary_size, embedding_size) if embedding_size else None
        self.recurrent = Recurrent(
            settings.cell,
            embedding_size or vocabulary_size,
            hidden_size,
            settings.layers,
            dropout=p if settings.layers > 1 else 0.0,
            backend=settings.backend,
            weight_drop=settings.weight_drop or 0.0,
            locked_dropout=settings.locked_dropout,
        )
        projected = settings.tied and embedding_size != hidden_size
        self.projection = torch.nn.Linear(hidden_size, embedding_size, bias=False) if projected else None
        self.head = Head(hidden_size, vocabulary_size, tied=settings.tied)
        initialise(self, settings.initialisation, forget_bias=settings.forget_bias)

    def forward(self, ids: Tensor, state: RecurrentState | None = None) -> tuple[Tensor, RecurrentState]:
        """Logits of the next token, (B, T, V), and the state after the last one, for integer `ids` (B, T)."""
        rows, weight = self._matrices()
        features, state = self._features(ids, state, rows)
        return functional.linear(features.transpose(0, 1), weight, self.head.bias), state

    def hidden(self, ids: Tensor, state: RecurrentState | None = None) -> tuple[Tensor, RecurrentState]:
        """What the head multiplies, (B, T, F), and the state; F is E where tied, else H."""
        features, state = self._features(ids, state, None if self.embedding is None else self.embedding.weight)
        return features.transpose(0, 1), state

    def loss(self, ids: Tensor, targets: Tensor, state: RecurrentState | None = None) -> tuple[Tensor, RecurrentState]:
        """Mean cross-entropy in nats a token, a float32 scalar, and the state. ids, targets: integers (B, T)."""
        if targets.shape != ids.shape:
            raise UsageError(f"targets must have the shape of ids {tuple(ids.shape)}, got {tuple(targets.shape)}")
        rows, weight = self._matrices()
        features, state = self._features(ids, state, rows)
        return head_loss(self, features.flatten(0, 1), weight, targets.t().flatten()), state

    def touched(self, ids: Tensor) -> dict[Tensor, Tensor]:
        """Which rows of a parameter the last loss has a gradient in, where they are few: by parameter, their places.

        ids: those of the whole minibatch, of which this may be a `Share`.
        """
        read = None if self.embedding is None else torch.unique(ids.long())
        drawn = None if self.candidates is None else self.candidates.rows
        found: dict[Tensor, Tensor] = {}
        if drawn is not None:
            found[self.head.bias] = drawn
            if self.head.weight is not None:
                found[self.head.weight] = drawn
        if read is not None and self.embedding is not None:
            if self.head.weight is not None:
                found[self.embedding.weight] = read
            elif drawn is not None:
                found[self.embedding.weight] = torch.unique(torch.cat([read, drawn]))
        return found

    def _matrices(self) -> tuple[Tensor | None, Tensor]:
        if self.embedding is None:
            return None, self.output_weight
        return embedding_and_output(self.embedding, self.head)

    def _features(
        self, ids: Tensor, state: RecurrentState | None, embedding: Tensor | None
    ) -> tuple[Tensor, RecurrentState]:
        """`hidden` with time first, (T, B, F), its vectors from `embedding`, (V, E): the parameter, or `shared`."""
        if ids.dim() != 2 or ids.is_floating_point():
            raise UsageError(f"ids must be integers (B, T), got {ids.dtype} {tuple(ids.shape)}")
        x = ids.t().long()
        p = self.dropout if self.training else 0.0
        if embedding is not None:
            q = self.settings.embedding_dropout if self.training else 0.0
            vectors = embedding_dropout(x, embedding, q, sparse=not embedding.is_leaf)
            x = dropout(vectors, p, locked=self.settings.locked_dropout)
        h, state = self.recurrent(x, state)
        h = dropout(h, p, locked=self.settings.locked_dropout)
        return (h if self.projection is None else self.projection(h)), self._kept(state)

    def _kept(self, state: RecurrentState) -> RecurrentState:
        """The state in the parameters' precision, whatever autocast computed in."""
        dtype = self.head.bias.dtype
        if isinstance(state, Tensor):
            return state.to(dtype)
        return tuple(part.to(dtype) for part in state)

    @property
    def output_weight(self) -> Tensor:
        """The matrix from features to logits, (V, F)."""
        return self.get_parameter("embedding.weight") if self.head.weight is None else self.head.weight

    def initial_state(self, batch: int) -> RecurrentState:
        """Zeros for `batch` rows, (layers, B, H): h, or a tuple of the cell's parts, (h, c) for an LSTM."""
        zeros = self.head.bias.new_zeros(self.settings.layers, batch, self.recurrent.hidden_size)
        parts = self.recurrent.cell.parts
        return tuple(zeros.clone() for _ in parts) if len(parts) > 1 else zeros

    @staticmethod
    def detach(state: RecurrentState) -> RecurrentState:
        """The state as a constant: gradients stop there (truncated back-propagation through time)."""
        return state.detach() if isinstance(state, Tensor) else tuple(part.detach() for part in state)


def _resolved(settings: ModelSettings) -> tuple[int, int, float]:
    """hidden size, embedding size and dropout; raises SettingsError where they are missing or exclude each other."""
    hidden_size, embedding_size, p = settings.hidden_size, settings.embedding_size, settings.dropout
    if hidden_size is None or embedding_size is None or p is None:
        names = [name for name in ("hidden_size", "embedding_size", "dropout") if getattr(settings, name) is None]
        raise SettingsError(f"model.{names[0]} is still auto: decide it before the model is built")
    if settings.cell not in CELLS:
        raise SettingsError(f"model.cell must be one of {', '.join(CELLS)}, got {settings.cell!r}")
    if embedding_size == 0 and settings.tied:
        raise SettingsError("model.tied needs an embedding, got embedding_size = 0: set embedding_size or tied = false")
    if embedding_size == 0 and settings.embedding_dropout:
        raise SettingsError(
            f"model.embedding_dropout needs an embedding, got {settings.embedding_dropout} with embedding_size = 0"
        )
    return hidden_size, embedding_size, p
