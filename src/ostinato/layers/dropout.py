"""The kinds of dropout of recurrent language models. Each is the identity when `p` is 0."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ostinato.layers.shares import current_share


def dropout(x: Tensor, p: float, *, locked: bool, rows: int = 1) -> Tensor:
    """Drop elements of `x`, (T, B, F), with probability `p` and scale the rest by 1/(1-p).

    `locked`: one mask (B, F) for all time steps (variational dropout; Gal and Ghahramani, 2016, section 4).
    `rows`: the axis of B. Of a `Share` of a minibatch, the mask is drawn for all rows.
    """
    if p == 0:
        return x
    return x * _rows_mask((1, *x.shape[1:]) if locked else x.shape, p, x, rows, _mask)


def dropout_between(x: Tensor, p: float) -> Tensor:
    """`dropout` of a `Share`'s `x`, (T, B, F), as torch's recurrent operators draw it on a CPU between their layers."""
    return x * _rows_mask(x.shape, p, x, 1, lambda shape, p, like: like.new_empty(shape).bernoulli_(1 - p).div_(1 - p))


def weight_drop(weight: Tensor, p: float) -> Tensor:
    """DropConnect on a hidden-to-hidden matrix, one mask a sequence (Merity, Keskar and Socher, 2018, section 2)."""
    return weight * _mask(weight.shape, p, weight) if p else weight


def embedding_dropout(ids: Tensor, weight: Tensor, p: float, *, sparse: bool = False) -> Tensor:
    """Rows of `weight`, (V, E), for `ids` of any shape: (*ids.shape, E). A token that is dropped is zero everywhere in
    this batch, and the others are scaled by 1/(1-p) (Gal and Ghahramani, 2016; Merity et al., 2018, section 4.3).
    `sparse`: the gradient in `weight` is a sparse tensor of the rows used."""
    vectors = functional.embedding(ids, weight, sparse=sparse)
    return vectors * _mask((len(weight),), p, weight)[ids].unsqueeze(-1) if p else vectors


def _rows_mask(
    shape: Sequence[int], p: float, like: Tensor, rows: int, draw: Callable[[Sequence[int], float, Tensor], Tensor]
) -> Tensor:
    """What `draw` gives for all rows of the minibatch, which lie along axis `rows`; of it, those of this share."""
    share = current_share()
    if share is None:
        return draw(shape, p, like)
    whole = [share.whole if axis == rows else size for axis, size in enumerate(shape)]
    return draw(whole, p, like).narrow(rows, share.first, share.stop - share.first)


def _mask(shape: Sequence[int], p: float, like: Tensor) -> Tensor:
    """Zeros with probability `p`, else 1/(1-p), of the dtype and on the device of `like`.

    On a CPU each value takes 16 bits of a random word, with `p` rounded to them: torch draws a whole word for each
    in `bernoulli_`, which is 15 ms instead of 3 for the 640,000 weights of an LSTM with 400 units.
    """
    if like.device.type != "cpu":
        return functional.dropout(like.new_ones(shape), p)
    size = torch.Size(shape).numel()
    threshold = round(p * 2**16)
    if threshold == 2**16:
        return like.new_zeros(shape)
    words = torch.empty(-(-size // 4), dtype=torch.int64).random_(-(2**63), None)
    kept = words.view(torch.int16)[:size].view(*shape) >= threshold - 2**15
    return kept.to(like.dtype).mul_(2**16 / (2**16 - threshold))
