"""The torch backend: the fused recurrent operators behind torch.nn (oneDNN's LSTM on CPUs, cuDNN on GPUs)."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ostinato.cells import Cell, CellWeights

_OPERATORS: dict[str, Callable[..., Any]] = {
    "rnn": torch._VF.rnn_tanh,
    "rnn-relu": torch._VF.rnn_relu,
    "gru": torch._VF.gru,
    "lstm": torch._VF.lstm,
}


def run(
    cell: Cell, x: Tensor, state: tuple[Tensor, ...], weights: Sequence[CellWeights]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """One layer, all its directions; the contract is `backends.RunLayer`."""
    return run_stack(cell, x, state, weights, layers=1, dropout=0.0)


def run_stack(
    cell: Cell,
    x: Tensor,
    state: tuple[Tensor, ...],
    weights: Sequence[CellWeights],
    *,
    layers: int,
    dropout: float,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """All layers in one operator; the contract is `backends.RunStack`."""
    directions = len(weights) // layers
    if not x.is_floating_point():
        x, first = _one_hot(x, weights[:directions], state[0].dtype)
        weights = [*first, *weights[directions:]]
    arguments = (_flat(weights), _has_bias(weights), layers, dropout, dropout > 0, directions == 2)
    with _compacting_weights_is_known(x):
        y, *last = _OPERATORS[cell.name](x, _given(state), *arguments, False)
    return y, tuple(last)


def run_packed(
    cell: Cell,
    data: Tensor,
    batch_sizes: Tensor,
    state: tuple[Tensor, ...],
    weights: Sequence[CellWeights],
    *,
    layers: int,
    dropout: float,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """`run_stack` over the data (sum of lengths, I) of a PackedSequence; the rows of `state` longest first."""
    arguments = (_flat(weights), _has_bias(weights), layers, dropout, dropout > 0, len(weights) == 2 * layers)
    with _compacting_weights_is_known(data):
        y, *last = _OPERATORS[cell.name](data, batch_sizes, _given(state), *arguments)
    return y, tuple(last)


def _one_hot(x: Tensor, weights: Sequence[CellWeights], dtype: torch.dtype) -> tuple[Tensor, list[CellWeights]]:
    """Floats (T, B, I') and weights with the same products as one-hot rows given by their places `x`, (T, B).

    W x is looked up and multiplied by the identity, (G·H)² instead of V·G·H a step, where that is less work; with two
    directions there are two different look-ups, so the one-hot rows are written out.
    """
    (first, *others) = weights
    size, vocabulary = first.weight_ih.shape
    if others or vocabulary <= size:
        return functional.one_hot(x.long(), vocabulary).to(dtype), list(weights)
    identity = torch.eye(size, dtype=first.weight_ih.dtype, device=x.device)
    return functional.embedding(x, first.weight_ih.t()), [first._replace(weight_ih=identity)]


def _given(state: tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
    """The state as the operators take it; cuDNN wants it in one piece of memory."""
    parts = tuple(part.contiguous() for part in state)
    return parts if len(parts) > 1 else parts[0]


def _flat(weights: Sequence[CellWeights]) -> list[Tensor]:
    return [tensor for group in weights for tensor in group if tensor is not None]


def _has_bias(weights: Sequence[CellWeights]) -> bool:
    return weights[0].bias_ih is not None


@contextmanager
def _compacting_weights_is_known(x: Tensor) -> Iterator[None]:
    """cuDNN wants all weights in one piece of memory and warns where it has to copy them there, as it must for
    weights that are computed (weight-drop) or replaced (one-hot input)."""
    if not x.is_cuda:
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="RNN module weights are not part of single contiguous chunk")
        yield
