"""Sharpness-aware minimisation: the gradient is taken where the loss is highest nearby, which flat minima survive."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from toyshift.core.fields import Limit
from toyshift.policies.repairs.repair import RunRepair

if TYPE_CHECKING:
    from toyshift.policies.training.training_run import Run


@dataclasses.dataclass
class Sam(RunRepair):
    """The gradient at w + rho g / |g|, g the gradient at w; weights and gradients are float32 under bf16 too.

    Two passes a step, over the same samples: for equal gradient samples halve the steps.
    """

    rho: float = 0.05

    limits: ClassVar[dict[str, Limit]] = {"rho": (1e-6, 10.0)}

    def gradients(self, run: Run, batch: dict[str, Tensor]) -> float:
        value = run.backward(batch)
        moved = [p for p in run.trained.parameters() if p.grad is not None]
        steps = [p.grad for p in moved]
        length = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in steps]))
        before = [p.detach().clone() for p in moved]  # adding and subtracting would not give back every bit
        with torch.no_grad():
            for p, g in zip(moved, steps, strict=True):
                p.add_(g * (self.rho / length.clamp(min=1e-12)))
        run.optimizer.zero_grad(set_to_none=True)
        run.backward(batch)
        with torch.no_grad():
            for p, old in zip(moved, before, strict=True):
                p.copy_(old)
        return value
