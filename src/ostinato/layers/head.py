"""A model's head: linear layer, softmax and cross-entropy in one, without storing the logits.

The gradient is formed while the loss is, by csrc/train_head.h (the idea: Wijmans et al., "Cut your losses in
large-vocabulary language models", 2024). Where those kernels do not apply, torch computes the same with logits stored.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ostinato.errors import UsageError
from ostinato.kernels.train import HeadCall, TrainKernels
from ostinato.layers.native import fill, kernels_for, workspace
from ostinato.layers.threads import thread_limit


def linear_cross_entropy(features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """Mean of -log softmax(W f + b)[target] in nats, a float32 scalar; differentiable once.

    features: (N, F); weight: (V, F), which may be shared with an embedding; bias: (V,) or None; targets: (N,) integers.
    Raises UsageError for targets that are no rows of `weight`.
    """
    kernels = _kernels(features, weight, targets)
    if kernels is None:
        return functional.cross_entropy(functional.linear(features, weight, bias).float(), targets.long())
    loss: Tensor = _Head.apply(features, weight, bias, targets, kernels)  # type: ignore[no-untyped-call]
    return loss


def token_losses(features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """-log softmax(W f + b)[target] of each row, (N,) float32, without gradient: for scoring. Arguments as above."""
    kernels = _kernels(features, weight, targets)
    with torch.no_grad():
        if kernels is None:
            logits = functional.linear(features, weight, bias).float()
            return functional.cross_entropy(logits, targets.long(), reduction="none")
        losses, _ = _compute(kernels, features, weight, bias, targets, ())
        return losses


def applies(features: Tensor, weight: Tensor) -> bool:
    """Whether the kernels compute this head: float32 (or bfloat16 under autocast), CPU, and kernels that are here."""
    return kernels_for(features, (weight,)) is not None


def _kernels(features: Tensor, weight: Tensor, targets: Tensor) -> TrainKernels | None:
    if len(targets) == 0 or int(targets.min()) < 0 or int(targets.max()) >= len(weight):
        given = f"{int(targets.min())} to {int(targets.max())}" if len(targets) else "none"
        raise UsageError(f"targets must be from 0 to {len(weight) - 1}, the rows of the weight: got {given}")
    return kernels_for(features, (weight,))


class _Head(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, kernels: TrainKernels
    ) -> Tensor:
        wanted = ctx.needs_input_grad[:3]
        losses, ctx.gradients = _compute(kernels, features, weight, bias, targets, wanted)
        return losses.mean()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dloss: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.gradients is None:
            raise UsageError("the loss was differentiated twice: its gradients are given away the first time")
        gradients, ctx.gradients = ctx.gradients, None
        scale = float(dloss)
        if scale != 1:
            for gradient in gradients:
                if gradient is not None:
                    gradient *= scale
        return *gradients, None, None


def _compute(
    kernels: TrainKernels,
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    wanted: tuple[bool, ...],
) -> tuple[Tensor, list[Tensor | None]]:
    """Losses (N,), and where any is wanted the gradients of their mean in features, weight and bias."""
    originals = (features, weight, bias)
    x, w, b = (None if t is None else t.detach().float().contiguous() for t in originals)
    ids, losses = targets.long().contiguous(), torch.empty(len(features))
    call = HeadCall(
        rows=len(features), features=features.shape[1], vocabulary=len(weight), threads=thread_limit(),
        with_gradient=any(wanted), scale=1 / len(features),
    )  # fmt: skip
    fill(call, x=x, weight=w, bias=b, targets=ids, losses=losses, workspace=workspace(kernels.head_workspace(call)))
    gradients = [torch.empty_like(t) if t is not None and any(wanted) else None for t in (x, w, b)]
    fill(call, **dict(zip(("dx", "dweight", "dbias"), gradients, strict=True)))
    kernels.head(call)
    return losses, [
        None if t is None or g is None else g.to(t.dtype) for t, g in zip(originals, gradients, strict=True)
    ]
