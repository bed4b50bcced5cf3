"""AdamW in one call for all parameters, clipping included."""

from collections.abc import Callable
from typing import Any

import torch
from torch.optim.optimizer import ParamsT

from ostinato.errors import UsageError
from ostinato.kernels.train import AdamCall, train_kernels
from ostinato.layers.threads import thread_limit


class NativeAdamW(torch.optim.Optimizer):
    """torch.optim.AdamW with the gradient's global norm clipped to `clip` (0: not) in the same two passes over memory.

    Same equations, same state (`step`, `exp_avg`, `exp_avg_sq`) and the same result to float32 rounding. After a step
    `norm` holds the gradient's norm before clipping; where it is not finite the step changed nothing. For float32
    parameters on the CPU; groups may differ in weight decay alone. `available` says whether the kernels are there.
    """

    norm = 0.0

    def __init__(
        self,
        parameters: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        *,
        clip: float = 0.0,
    ) -> None:
        kernels = train_kernels("fp32")
        if kernels is None:
            raise UsageError("NativeAdamW needs the compiled kernels, which are not here: use torch.optim.AdamW")
        super().__init__(parameters, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "clip": clip})
        for parameter in (p for group in self.param_groups for p in group["params"]):
            if parameter.dtype != torch.float32 or parameter.device.type != "cpu" or not parameter.is_contiguous():
                raise UsageError(
                    f"NativeAdamW needs contiguous float32 parameters on the CPU, got {parameter.dtype} on "
                    f"{parameter.device}: use torch.optim.AdamW"
                )
        self._kernels = kernels

    @staticmethod
    def available() -> bool:
        """Whether the compiled kernels are here."""
        return train_kernels("fp32") is not None

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step over all parameters that have a gradient; returns the closure's loss, if one is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        group, *others = self.param_groups
        if any(other[name] != group[name] for other in others for name in ("lr", "betas", "eps", "clip")):
            raise UsageError("NativeAdamW needs groups that differ in weight decay alone: use torch.optim.AdamW")
        decays = {p: each["weight_decay"] for each in self.param_groups for p in each["params"]}
        used = [parameter for parameter in decays if parameter.grad is not None]
        if not used:
            return loss
        for parameter in used:
            if not self.state[parameter]:
                moments = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
                self.state[parameter].update(step=torch.tensor(0.0), **moments)
        states = [self.state[parameter] for parameter in used]
        steps = {int(state["step"]) for state in states}
        if len(steps) != 1:
            raise UsageError("NativeAdamW needs parameters that have taken the same number of steps")
        gradients = [p.grad.to_dense() if p.grad.is_sparse else p.grad.contiguous() for p in used]
        arrays = [
            (*(t.numpy() for t in (p.detach(), s["exp_avg"], s["exp_avg_sq"], g)), decays[p])
            for p, s, g in zip(used, states, gradients, strict=True)
        ]
        call = AdamCall(
            threads=thread_limit(), step=steps.pop() + 1, clip=group["clip"],
            learning_rate=group["lr"], beta1=group["betas"][0], beta2=group["betas"][1], epsilon=group["eps"],
        )  # fmt: skip
        self.norm = self._kernels.adamw(call, arrays)
        if self.norm < float("inf"):
            for state in states:
                state["step"] += 1
        return loss
