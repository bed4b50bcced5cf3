"""Optimizers by name, gradient clipping, and their state as plain arrays."""

import math
from collections.abc import Iterable, Mapping

import torch

from ostinato.errors import UsageError
from ostinato.layers.native_adamw import NativeAdamW
from ostinato.settings import TrainingSettings


def build_optimizer(
    parameters: Iterable[torch.nn.Parameter],
    settings: TrainingSettings,
    learning_rate: float,
    levels: Mapping[torch.nn.Parameter, int] | None = None,
) -> torch.optim.Optimizer:
    """SGD, Adam (L2 penalty) or AdamW (decoupled decay, of matrices alone; biases are not decayed).

    AdamW on a CPU is `NativeAdamW`, which clips in the same passes, where the kernels are here. `levels` says how far
    below the output each parameter is: with them the optimizer is torch's AdamW with a group per level, whose rates
    `set_learning_rate` grades (Howard and Ruder 2018, discriminative fine-tuning).
    """
    parameters, decay = list(parameters), settings.weight_decay or 0.0
    if levels is not None:
        if settings.optimizer != "adamw":
            raise UsageError(
                f"training.layer_rates and training.unfreeze need training.optimizer = adamw, got {settings.optimizer}"
            )
        graded = [
            {"params": chosen, "weight_decay": decay if matrices else 0.0, "level": level}
            for level in sorted(set(levels.values()))
            for matrices in (True, False)
            if (chosen := [p for p in parameters if levels[p] == level and (p.ndim > 1) == matrices])
        ]
        return torch.optim.AdamW(graded, lr=learning_rate, fused=True)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=learning_rate, momentum=settings.momentum, weight_decay=decay)
    if settings.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=learning_rate, weight_decay=decay, fused=True)
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if NativeAdamW.available() and all(p.device.type == "cpu" and p.dtype == torch.float32 for p in parameters):
        return NativeAdamW([group for group in groups if group["params"]], lr=learning_rate, clip=settings.clip)
    return torch.optim.AdamW(groups, lr=learning_rate, fused=True)


def clipped_step(optimizer: torch.optim.Optimizer, clip: float) -> float:
    """One step with the gradient's global norm clipped to `clip` (0: not; Pascanu et al. 2013, algorithm 1).

    Returns the norm before clipping; where it is not finite, no weight was changed.
    """
    if isinstance(optimizer, NativeAdamW):
        optimizer.step()
        return optimizer.norm
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    norm = float(torch.nn.utils.clip_grad_norm_(parameters, clip or math.inf, foreach=True))
    if math.isfinite(norm):
        optimizer.step()
    return norm


def set_learning_rate(
    optimizer: torch.optim.Optimizer, learning_rate: float, settings: TrainingSettings, progress: float
) -> None:
    """Use `learning_rate` from the next step on; in a group of level k, layer_rates ** k of it.

    Levels are unfrozen from the top: the lowest begins to learn after the share `settings.unfreeze` of the run.
    """
    lowest = max((group.get("level", 0) for group in optimizer.param_groups), default=0)
    for group in optimizer.param_groups:
        level = group.get("level", 0)
        frozen = lowest > 0 and progress < settings.unfreeze * level / lowest
        group["lr"] = 0.0 if frozen else learning_rate * settings.layer_rates**level


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimizer's state, named `{parameter index}.{entry}`."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": value for index, entries in state.items() for name, value in entries.items()
            if isinstance(value, torch.Tensor)}  # fmt: skip


def load_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Put back what `optimizer_tensors` gave."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
