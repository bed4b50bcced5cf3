"""What every model has: a size, and tensors that are saved and read back by name."""

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
