"""Local steps: members learn by themselves for a while, then their weights meet (Douillard et al. 2023, DiLoCo)."""

from collections.abc import Mapping, Sequence

import torch

from ostinato.training.team import Team

RATE, MOMENTUM = 0.7, 0.9
"""Of the outer step, SGD with Nesterov's momentum: DiLoCo's figures (section 3)."""


class Outer:
    """Every so many steps: gradient = weights before - mean of the members' weights; one step from the weights before.

        v <- 0.9 v + gradient
        weights <- weights before - 0.7 (gradient + 0.9 v)

    The momentum v is the same in all members.
    """

    def __init__(self, parameters: Sequence[torch.Tensor], team: Team) -> None:
        self._parameters, self._team = parameters, team
        self._before = [p.detach().clone() for p in parameters]
        self._velocity = [torch.zeros_like(p) for p in parameters]

    @torch.no_grad()
    def step(self) -> None:
        """All members at the same time; afterwards all have the same weights."""
        means = self._team.mean([p.detach() for p in self._parameters])
        gradient = torch._foreach_sub(self._before, means)
        torch._foreach_mul_(self._velocity, MOMENTUM)
        torch._foreach_add_(self._velocity, gradient)
        torch._foreach_add_(gradient, self._velocity, alpha=MOMENTUM)
        torch._foreach_add_(self._before, gradient, alpha=-RATE)
        torch._foreach_copy_(list(self._parameters), self._before)

    def tensors(self) -> dict[str, torch.Tensor]:
        """What a checkpoint keeps beside the weights."""
        return {str(k): v for k, v in enumerate(self._velocity)}

    @torch.no_grad()
    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Put back what `tensors` gave; the weights are those in the model. Nothing, of a run without local steps."""
        torch._foreach_copy_(self._before, [p.detach() for p in self._parameters])
        if tensors:
            torch._foreach_copy_(self._velocity, [tensors[str(k)].to(v.device) for k, v in enumerate(self._velocity)])
