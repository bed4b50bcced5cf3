"""The kinds of dropout of recurrent language models. Each is the identity when `p` is 0."""

import torch
from torch import Tensor
from torch.nn import functional


def dropout(x: Tensor, p: float, *, locked: bool) -> Tensor:
    """Drop elements of `x`, (T, B, F), with probability `p` and scale the rest by 1/(1-p).

    `locked`: one mask (B, F) for all time steps (variational dropout; Gal and Ghahramani, 2016, section 4).
    """
    if p == 0:
        return x
    if not locked:
        return functional.dropout(x, p)
    return x * functional.dropout(x.new_ones(1, *x.shape[1:]), p)


def weight_drop(weight: Tensor, p: float) -> Tensor:
    """DropConnect on a hidden-to-hidden matrix, one mask a sequence (Merity, Keskar and Socher, 2018, section 2)."""
    return functional.dropout(weight, p) if p else weight


def embedding_dropout(ids: Tensor, weight: Tensor, p: float) -> Tensor:
    """Rows of `weight`, (V, E), for `ids` of any shape: (*ids.shape, E). A token that is dropped is zero everywhere in
    this batch, and the others are scaled by 1/(1-p) (Gal and Ghahramani, 2016; Merity et al., 2018, section 4.3)."""
    vectors = functional.embedding(ids, weight)
    if p == 0:
        return vectors
    kept = functional.dropout(torch.ones(len(weight), dtype=weight.dtype, device=weight.device), p)
    return vectors * kept[ids].unsqueeze(-1)
