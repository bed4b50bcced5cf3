"""An exponential moving average of the weights (Polyak and Juditsky 1992), evaluated and saved in their place."""

import contextlib
from collections.abc import Iterator

import torch


class Average:
    """average <- d average + (1 - d) weights after every step, with d = min(decay, (1 + step) / (10 + step))."""

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        self.decay = decay
        self._values = {name: p.detach().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: torch.nn.Module, step: int) -> None:
        """Take in the weights of one step."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self._values.values()), [p.detach() for p in model.parameters()], 1.0 - decay)

    @contextlib.contextmanager
    def applied(self, model: torch.nn.Module) -> Iterator[None]:
        """Inside, `model` holds the average; afterwards its own weights again, bit for bit."""
        with torch.no_grad():
            own = {name: p.detach().clone() for name, p in model.named_parameters()}
            self._copy(model, self._values)
            try:
                yield
            finally:
                self._copy(model, own)

    @staticmethod
    def _copy(model: torch.nn.Module, values: dict[str, torch.Tensor]) -> None:
        for name, p in model.named_parameters():
            p.data.copy_(values[name])

    def tensors(self) -> dict[str, torch.Tensor]:
        """The averaged weights by name."""
        return dict(self._values)

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Put back what `tensors` gave."""
        for name, value in self._values.items():
            value.copy_(tensors[name])
