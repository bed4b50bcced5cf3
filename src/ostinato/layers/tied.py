"""One matrix as embedding and as output weight: its two gradients without a copy of either."""

from typing import Any

import torch
from torch import Tensor


def shared(weight: Tensor) -> tuple[Tensor, Tensor]:
    """`weight`, (V, E), twice: to look rows up in with `embedding(ids, rows, sparse=True)`, and to multiply with.

    The rows' gradients are added to the gradient of the product, in place. Autograd, given the same tensor in both
    places, makes a third matrix for their sum. Use neither of the two otherwise: the product's gradient must be a
    tensor of its own, as a matrix product's is; an addition hands the same to both its terms. Differentiable once.
    """
    pair: tuple[Tensor, Tensor] = _Shared.apply(weight)  # type: ignore[no-untyped-call]
    return pair


class _Shared(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        return weight.view_as(weight), weight.view_as(weight)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, rows: Tensor | None, product: Tensor | None) -> Tensor | None:
        if rows is None or product is None:
            return product if rows is None else rows.to_dense()
        return product.index_add_(0, rows._indices()[0], rows._values())
