"""Cross-entropy of a linear layer's softmax."""

from torch import Tensor
from torch.nn import functional


def linear_cross_entropy(features: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Mean of -log softmax(W f + b)[target] in nats, a float32 scalar.

    features: (N, F); weight: (V, F); bias: (V,); targets: (N,) int64.
    """
    return functional.cross_entropy(functional.linear(features, weight, bias).float(), targets)
