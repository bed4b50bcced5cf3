"""A softmax over part of a large vocabulary, another part at each training step."""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ostinato.errors import UsageError
from ostinato.layers.shares import current_share
from ostinato.models.loss import linear_cross_entropy

_POWER = 0.5
_UNSEEN = 0.1


class Candidates:
    """Sampled softmax (Bengio and Senécal 2003; Jean et al. 2015, section 3).

    The candidates of a minibatch are its targets and about `wanted` tokens besides, each drawn by itself with a
    probability in proportion to the square root of its count and at most 1. With q(w) the probability that w is a
    candidate at all, p(w | context, candidates) is in proportion to p(w | context) / q(w): the candidates' logits less
    ln q give the loss, which is that of the whole softmax where every q is 1. What is learnt is the whole softmax.
    """

    def __init__(self, counts: ArrayLike, wanted: int, device: torch.device | None = None) -> None:
        """counts: (V,) how often each token occurs in the training text. device: the model's (None: the CPU).

        Raises UsageError for wanted < 1.
        """
        if wanted < 1:
            raise UsageError(f"candidates must be at least 1, got {wanted}")
        counts = np.asarray(counts, np.float64) + _UNSEEN
        weights = counts**_POWER
        low, high = 0.0, 1.0 / weights.min()
        for _ in range(100):  # the factor that makes the expected number the wanted one, by bisection
            middle = (low + high) / 2
            low, high = (low, middle) if np.minimum(1.0, middle * weights).sum() > wanted else (middle, high)
        self._drawn = torch.from_numpy(np.minimum(1.0, high * weights)).float().to(device)
        self._share = torch.from_numpy(counts / counts.sum()).float().to(device)
        self.rows: Tensor | None = None
        """The ids of the last candidates, in order; None before the first."""

    def select(self, weight: Tensor, bias: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The candidates' rows of weight (V, F) and bias (V,), less ln q, and the targets (N,) among them.

        Draws from torch's global generator. Of a `Share` of a minibatch, all rows' targets are candidates.
        """
        share = current_share()
        every = targets if share is None else share.targets.flatten()
        inside = torch.rand(len(weight), device=self._drawn.device) < self._drawn
        inside[every] = True
        rows = self.rows = inside.nonzero()[:, 0]
        q = 1 - (1 - self._drawn[rows]) * torch.exp(-len(every) * self._share[rows])
        return weight.index_select(0, rows), bias[rows] - q.log(), (inside.cumsum(0) - 1)[targets]


class Biased(Protocol):
    """The part of a model that adds a bias (V,) to the logits."""

    bias: torch.nn.Parameter


class HasHead(Protocol):
    """A language model, as far as its loss is concerned."""

    training: bool
    candidates: Candidates | None

    @property
    def head(self) -> Biased: ...


def head_loss(model: HasHead, features: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy in nats of targets (N,) for features (N, F) and the model's output weight (V, F): over its
    candidates, if it has any and is learning, else over the vocabulary."""
    bias: Tensor = model.head.bias
    targets = targets.long()
    if model.training and model.candidates is not None:
        weight, bias, targets = model.candidates.select(weight, bias, targets)
    return linear_cross_entropy(features, weight, bias, targets)
