"""What every model has: a size, and tensors that are saved and read back by name."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ostinato.errors import BundleError


class SavedModule(torch.nn.Module):
    """A module whose parameters and buffers are all of what it learnt."""

    @property
    def parameter_count(self) -> int:
        """The number of trained values; tied weights count once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def levels(self) -> dict[torch.nn.Parameter, int]:
        """How far below the output each parameter is: 0 for the output, 1 for the highest recurrent layer, and so on.

        The vectors of the tokens are the lowest, unless they are the output's too.
        """
        layers = 1 + max((_layer(name) for name, _ in self.named_parameters()), default=-1)
        found: dict[torch.nn.Parameter, int] = {}
        for name, parameter in self.named_parameters():
            if (layer := _layer(name)) >= 0:
                found[parameter] = layers - layer
            else:
                below = name.startswith("embedding.") and any(n == "head.weight" for n, _ in self.named_parameters())
                found[parameter] = layers + 1 if below else 0
        return found

    def save_tensors(self) -> dict[str, NDArray[np.float32]]:
        """Copies of all parameters and buffers by name, float32."""
        return {name: tensor.detach().float().cpu().numpy().copy() for name, tensor in self.state_dict().items()}

    def load_tensors(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Set them from arrays by name, as `save_tensors` gives them.

        Raises BundleError for a missing or unknown name and for a shape that does not fit; nothing is changed then.
        """
        own = self.state_dict()
        missing, unknown = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
        if missing or unknown:
            raise BundleError(
                f"the saved tensors are not this model's: missing {', '.join(missing) or 'none'}; "
                f"unknown {', '.join(unknown) or 'none'}"
            )
        for name, parameter in own.items():
            if tensors[name].shape != parameter.shape:
                raise BundleError(f"tensor {name} must have shape {tuple(parameter.shape)}, got {tensors[name].shape}")
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(torch.from_numpy(np.array(tensors[name], dtype=np.float32)))


def _layer(name: str) -> int:
    """The recurrent layer that a parameter belongs to, -1 for none: `recurrent.weight_ih_l0` is of layer 0."""
    found = re.search(r"_l(\d+)(_reverse)?$", name)
    return int(found[1]) if found else -1
