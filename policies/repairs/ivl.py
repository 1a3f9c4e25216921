"""IVL: the parameters of augmentations and of setups as instruments (An Analysis of Causal Effect Estimation using DA).

The residuals are made small above all in the span of those parameters: what the label owes to them is a cue. The
authors' training loop projects squared errors, another function; this is the quadratic form of their formula.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from toyshift.core.arrays import Indices
from toyshift.core.fields import Limit
from toyshift.policies.batch_keys import SETUP, bias_key, gain_key
from toyshift.policies.network.policy import Judged, Policy
from toyshift.policies.repairs.repair import Batch, RunRepair

if TYPE_CHECKING:
    from toyshift.policies.config import PolicyConfig
    from toyshift.policies.training.config import TrainConfig
    from toyshift.policies.training.training_run import Run

RIDGE = 1e-3


def ivl(residuals: Tensor, parameters: Tensor, alpha: float) -> Tensor:
    """Returns (r' P r + alpha r' r) / (B (1 + alpha)), P projecting on the span of the centred parameters, per output.

    It is anchor regression with gamma = (1 + alpha) / alpha.

    Args:
        residuals: (B, D) r.
        parameters: (B, q), more samples than parameters by far.
        alpha: weight of all residuals beside those in the span.
    """
    g = parameters - parameters.mean(dim=0)
    told = g.T @ residuals  # (q, D)
    gram = g.T @ g + RIDGE * torch.eye(g.shape[1], dtype=g.dtype, device=g.device)
    inside: Tensor = (told * torch.linalg.solve(gram, told)).sum()
    return (inside + alpha * (residuals**2).sum()) / (residuals.numel() * (1.0 + alpha))


@dataclasses.dataclass
class Ivl(RunRepair):
    """The quadratic form, in the place of the mean error, of the L1 head's answers.

    Parameters are the drawn gains and shifts of pixels of each view, and which dataset a sample is of.
    """

    alpha: float = 0.1

    limits: ClassVar[dict[str, Limit]] = {"alpha": (1e-6, 1e6)}

    def policy(self, config: TrainConfig) -> PolicyConfig:
        if config.policy.head != "l1":
            raise self.refuse(f"needs residuals, which head {config.policy.head} has none of; choose head l1")
        if config.policy.steps_seen > 1:
            raise self.refuse("takes one step of a sample, and a history has several; choose policy_net mlp")
        jitter = config.brightness or config.contrast or config.color
        if not jitter and len(config.data) < 2:
            raise self.refuse("needs parameters that vary: give several datasets, or brightness, contrast or color")
        return config.policy

    def samples(self, run: Run, step: int, frames: tuple[Indices, slice], batch: Batch) -> Batch:
        indices, here = frames
        return batch | {SETUP: run.source.windows.dataset_of(indices[here])}

    def action_loss(self, policy: Policy, batch: Mapping[str, Tensor], seen: Judged) -> Tensor:
        keep = (~seen.is_pad).unsqueeze(-1)  # (B, K, 1)
        residuals = (policy.head(seen.features).float() - seen.target) * keep
        return ivl(residuals.flatten(1), instruments(policy.cameras, batch), self.alpha)


def instruments(cameras: tuple[str, ...], batch: Mapping[str, Tensor]) -> Tensor:
    """Returns the parameters (B, q) of a batch's samples, each of standard deviation 1 or constant."""
    setup = batch[SETUP]
    columns = [functional.one_hot(setup, int(setup.max()) + 1).float()]
    for camera in cameras:
        if gain_key(camera) in batch:
            columns += [batch[gain_key(camera)], batch[bias_key(camera)].unsqueeze(1)]
    table = torch.cat(columns, dim=1)
    return table / table.std(dim=0).clamp(min=1e-6)
