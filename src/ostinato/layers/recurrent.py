"""`RNN`, `GRU` and `LSTM` over time: torch.nn's constructors, parameters and shapes, with a backend chosen by name."""

from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ostinato.cells import BUILT_IN, CELLS, Cell, CellWeights
from ostinato.errors import UsageError
from ostinato.kernels.claims import claims
from ostinato.layers import reference, torch_backend
from ostinato.layers.backends import BACKENDS, select_backend
from ostinato.layers.dropout import dropout, dropout_between, weight_drop
from ostinato.layers.shares import current_share

RecurrentState: TypeAlias = Tensor | tuple[Tensor, ...]
"""h, or a tuple where the cell has several parts, (h, c) for an LSTM: (layers·D, B, H) each, D directions."""

_MODES = {"rnn": "RNN_TANH", "rnn-relu": "RNN_RELU", "gru": "GRU", "lstm": "LSTM"}


class Recurrent(torch.nn.RNNBase):
    """Layers of one cell over time. Parameters are torch.nn's by name, shape and layout: state dicts load both ways.

    Beyond torch.nn, by keyword only: `backend` (auto, reference, torch or native), `weight_drop`, the probability of
    dropping hidden-to-hidden weights in training (one mask a call), and `locked_dropout`: one mask for all time steps
    between layers. Raises UsageError for arguments and inputs that do not fit.
    """

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        backend: str = "auto",
        weight_drop: float = 0.0,
        locked_dropout: bool = False,
    ) -> None:
        if proj_size:
            raise UsageError(f"proj_size is not supported, got {proj_size}: put a torch.nn.Linear after the layer")
        if backend not in BACKENDS:
            raise UsageError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
        if not 0 <= weight_drop < 1:
            raise UsageError(f"weight_drop must be at least 0 and below 1, got {weight_drop}")
        if cell not in CELLS:
            raise UsageError(f"cell must be one of {', '.join(CELLS)}, got {cell!r}")
        own = cell not in BUILT_IN
        try:
            super().__init__(
                _MODES.get(cell, "RNN_TANH"), input_size, hidden_size, num_layers, bias, batch_first, dropout,
                bidirectional, device=device, dtype=dtype,
            )  # fmt: skip
        except (TypeError, ValueError) as error:
            raise UsageError(str(error)) from None
        self.cell: Cell = CELLS[cell]
        self.backend = backend
        self.weight_drop = weight_drop
        self.locked_dropout = locked_dropout
        self._vectors: list[tuple[str, ...]] = []
        if own:
            self._make_parameters(bias, device, dtype)

    def _make_parameters(self, bias: bool, device: Any, dtype: torch.dtype | None) -> None:
        """Those of a cell that torch.nn does not have, in the same layout, with the same first values."""
        G, H = self.cell.gates, self.hidden_size
        for names in self._all_weights:
            sizes = [(G * H, getattr(self, names[0]).shape[1]), (G * H, H), *([(G * H,)] * 2 if bias else [])]
            for name, size in zip(names, sizes, strict=True):
                setattr(self, name, torch.nn.Parameter(torch.empty(size, device=device, dtype=dtype)))
            suffix = names[0].removeprefix("weight_ih")
            vectors = tuple(f"{vector}{suffix}" for vector in self.cell.vectors)
            for name in vectors:
                setattr(self, name, torch.nn.Parameter(torch.empty(H, device=device, dtype=dtype)))
            self._vectors.append(vectors)
        self.reset_parameters()

    def flatten_parameters(self) -> None:
        """One piece of memory for cuDNN, which has only the cells of torch.nn."""
        if getattr(self, "cell", None) is None or self.cell.name in _MODES:
            super().flatten_parameters()

    def forward(
        self, input: Tensor | PackedSequence, state: RecurrentState | None = None
    ) -> tuple[Any, RecurrentState]:
        """Outputs of the last layer and the last states of all layers.

        input: (T, B, I), (B, T, I) if batch_first, or (T, I) for one sequence alone, in the parameters' dtype; integers
        of one dimension less stand for one-hot rows; or a PackedSequence. state: as returned (for one sequence
        alone without its B axis); None is zero. Returns y, laid out as the input with D·H last, and the state.
        """
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, state)
        one_hot = not input.is_floating_point()
        batched = input.dim() == (2 if one_hot else 3)
        x = self._time_major(input, one_hot, batched)
        parts = self._parts(x, state, x.shape[1], batched)
        y, last = self._over_time(x, parts)
        if not batched:
            return y.squeeze(1), self._joined(tuple(part.squeeze(1) for part in last))
        return y.transpose(0, 1) if self.batch_first else y, self._joined(last)

    def extra_repr(self) -> str:
        return (
            f"{super().extra_repr()}, backend={self.backend!r}, weight_drop={self.weight_drop}, "
            f"locked_dropout={self.locked_dropout}"
        )

    def _over_time(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        backend = select_backend(self.backend, self.cell, x, hidden_size=self.hidden_size)
        weights, p = self._weights(), self._dropout_between()
        stack = backend.run_stack is not None and not (p and self.locked_dropout)
        shared = current_share() is not None and p > 0
        if backend.run_stack is not None and stack and not shared:
            return backend.run_stack(self.cell, x, state, weights, layers=self.num_layers, dropout=p)
        directions = len(weights) // self.num_layers
        lasts = []
        for layer in range(self.num_layers):
            if layer and p:
                x = dropout_between(x, p) if stack else dropout(x, p, locked=self.locked_dropout)
            rows = slice(layer * directions, (layer + 1) * directions)
            given = self.cell, x, tuple(part[rows] for part in state), weights[rows]
            if self.cell.vectors:  # which only the reference has
                own = [[getattr(self, name) for name in names] for names in self._vectors[rows]]
                x, last = reference.run(*given, own)
            else:
                x, last = backend.run(*given)
            lasts.append(last)
        return x, lasts[0] if len(lasts) == 1 else tuple(torch.cat(parts) for parts in zip(*lasts, strict=True))

    def _forward_packed(
        self, input: PackedSequence, state: RecurrentState | None
    ) -> tuple[PackedSequence, RecurrentState]:
        p = self._dropout_between()
        if self.backend not in ("auto", "torch") or (p and self.locked_dropout) or not claims(self.cell):
            raise UsageError(
                "a PackedSequence needs backend 'torch', one of its cells, and no locked dropout between layers: pad "
                "it with torch.nn.utils.rnn.pad_packed_sequence"
            )
        data, batch_sizes, order, inverse = input
        parts = self._parts(data, state, int(batch_sizes[0]), True)
        if order is not None:
            parts = tuple(part.index_select(1, order) for part in parts)
        y, last = torch_backend.run_packed(
            self.cell, data, batch_sizes, parts, self._weights(), layers=self.num_layers, dropout=p
        )
        if inverse is not None:
            last = tuple(part.index_select(1, inverse) for part in last)
        return PackedSequence(y, batch_sizes, order, inverse), self._joined(last)

    def _dropout_between(self) -> float:
        return self.dropout if self.training and self.num_layers > 1 else 0.0

    def _weights(self) -> list[CellWeights]:
        """The parameters, one group a layer and direction, with weight-drop applied."""
        groups = []
        for names in self._all_weights:
            weight_ih, weight_hh, *biases = (getattr(self, name) for name in names)
            if self.training:
                weight_hh = weight_drop(weight_hh, self.weight_drop)
            bias_ih, bias_hh = biases or (None, None)
            groups.append(CellWeights(weight_ih, weight_hh, bias_ih, bias_hh))
        return groups

    def _time_major(self, input: Tensor, one_hot: bool, batched: bool) -> Tensor:
        """`input` as (T, B, I), or (T, B) where it is one-hot."""
        if not batched and input.dim() != (1 if one_hot else 2):
            raise UsageError(f"input must be (T, B, I) or (T, I), or integers (T, B) or (T,): got {_shape(input)}")
        if not one_hot:
            if input.shape[-1] != self.input_size:
                raise UsageError(f"input must have {self.input_size} features last, got {_shape(input)}")
            self._check_dtype("input", input)
        x = input if batched else input.unsqueeze(1)
        if batched and self.batch_first:
            x = x.transpose(0, 1)
        if len(x) == 0:
            raise UsageError(f"input must have at least one time step, got {_shape(input)}")
        return x

    def _parts(self, x: Tensor, state: RecurrentState | None, batch: int, batched: bool) -> tuple[Tensor, ...]:
        """The state as a tuple of (layers·D, B, H) tensors."""
        groups = len(self._all_weights)
        weight = getattr(self, self._all_weights[0][0])
        if state is None:
            zeros = torch.zeros(groups, batch, self.hidden_size, dtype=weight.dtype, device=x.device)
            return tuple(zeros for _ in self.cell.parts)
        parts = (state,) if isinstance(state, Tensor) else tuple(state)
        shape = (groups, batch, self.hidden_size) if batched else (groups, self.hidden_size)
        if len(parts) != len(self.cell.parts) or any(part.shape != shape for part in parts):
            raise UsageError(
                f"state must be {' and '.join(self.cell.parts)} of shape {shape}, got "
                f"{' and '.join(str(_shape(part)) for part in parts)}"
            )
        for part in parts:
            self._check_dtype("state", part)
        return parts if batched else tuple(part.unsqueeze(1) for part in parts)

    def _check_dtype(self, what: str, tensor: Tensor) -> None:
        dtype = getattr(self, self._all_weights[0][0]).dtype
        if tensor.dtype != dtype and not torch.is_autocast_enabled(tensor.device.type):
            raise UsageError(f"{what} must be {dtype} like the parameters, got {tensor.dtype}")

    def _joined(self, parts: tuple[Tensor, ...]) -> RecurrentState:
        return parts if len(parts) > 1 else parts[0]


class RNN(Recurrent):
    """Elman layers (`cells/elman.py`), with torch.nn.RNN's constructor: `nonlinearity` is "tanh" or "relu"."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        *arguments: Any,
        **keywords: Any,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise UsageError(f"nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
        self.nonlinearity = nonlinearity
        cell = "rnn" if nonlinearity == "tanh" else "rnn-relu"
        super().__init__(cell, input_size, hidden_size, num_layers, *arguments, **keywords)


class GRU(Recurrent):
    """Gated recurrent units (`cells/gru.py`), with torch.nn.GRU's constructor."""

    def __init__(self, input_size: int, hidden_size: int, *arguments: Any, **keywords: Any) -> None:
        super().__init__("gru", input_size, hidden_size, *arguments, **keywords)


class LSTM(Recurrent):
    """Long short-term memory (`cells/lstm.py`), with torch.nn.LSTM's constructor."""

    def __init__(self, input_size: int, hidden_size: int, *arguments: Any, **keywords: Any) -> None:
        super().__init__("lstm", input_size, hidden_size, *arguments, **keywords)


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
