"""A policy and what its repairs train beside it, as one network: several processes then average all its gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from toyshift.policies.network.heads import masked_mean
from toyshift.policies.network.policy import Policy
from toyshift.policies.repairs.repair import RunRepair


class RepairedNetwork(nn.Module):
    """A policy in training, whose loss its repairs change.

    Args:
        policy: to be trained.
        repairs: in the order in which they were named.
        seed: root seed of the initial weights.
    """

    def __init__(self, policy: Policy, repairs: Sequence[RunRepair], seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # the caller's random state is not ours to change
            torch.manual_seed(seed)
            made = {str(i): repair.modules(policy) for i, repair in enumerate(repairs)}
        self.policy, self.repairs = policy, tuple(repairs)
        self.beside = nn.ModuleDict({place: module for place, module in made.items() if module is not None})
        self._main = next((repair for repair in repairs if repair.takes("action_loss")), None)
        self._adding = [(r, made[str(i)]) for i, r in enumerate(repairs) if r.takes("extra_loss")]

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the "loss" of a batch for `Policy.forward`."""
        seen = self.policy.judge(batch)
        main = self._main
        loss = masked_mean(seen.errors, seen.is_pad) if main is None else main.action_loss(self.policy, batch, seen)
        for repair, module in self._adding:
            loss = loss + repair.extra_loss(self.policy, module, batch, seen)
        return {"loss": loss}
