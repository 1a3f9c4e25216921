"""DivDis: two heads that fit the demonstrations, and whose answers elsewhere tell nothing of each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from toyshift.core.fields import Limit
from toyshift.policies.network.heads import make_head, masked_mean
from toyshift.policies.network.policy import Judged, Policy
from toyshift.policies.repairs.diverse import TINY, Diverse, act_with, unlabelled

if TYPE_CHECKING:
    from toyshift.policies.training.training_run import Run


def mutual(p: Tensor) -> Tensor:
    """Returns the mutual information of answers, from batch means, and of more than two the mean over pairs [nats].

    Args:
        p: (B, H, C) class probabilities of H answers.
    """
    pairs = [(i, j) for i in range(p.shape[1]) for j in range(i)]
    values = []
    for i, j in pairs:
        joint = torch.einsum("bc,bd->cd", p[:, i], p[:, j]) / len(p)
        apart = joint.sum(dim=1, keepdim=True) * joint.sum(dim=0, keepdim=True)
        values.append((joint * ((joint + TINY).log() - (apart + TINY).log())).sum())
    return torch.stack(values).mean()


@dataclasses.dataclass
class DivDis(Diverse):
    """Two heads that fit the data and whose answers to the other data tell nothing of each other."""

    weight: float = 10.0
    prior: float = 0.0

    limits: ClassVar[dict[str, Limit]] = {"weight": (0.0, 1e4), "prior": (0.0, 1e4)}

    def modules(self, policy: Policy) -> nn.Module:
        second = make_head(policy.head_reads, policy.action_contract.size, policy.config)
        return nn.ModuleDict({"head": second, "classes": self._classes})

    def extra_loss(self, policy: Policy, module: Any, batch: Mapping[str, Tensor], seen: Judged) -> Tensor:
        loss = masked_mean(module["head"].errors(seen.features, seen.target), seen.is_pad)
        features = policy.judge(unlabelled(batch)).features
        heads, classes = (policy.head, module["head"]), module["classes"]
        p = torch.stack([classes(head(features)) for head in heads], dim=1)  # (B, 2, C)
        if self.prior:
            source = classes(seen.target).mean(dim=0)
            mean = p.mean(dim=0)
            loss = loss + self.prior * (mean * ((mean + TINY).log() - (source + TINY).log())).sum(dim=1).mean()
        return loss + self.weight * mutual(p)

    def finish(self, run: Run) -> None:
        second = next(m["head"] for m in run.beside.values() if isinstance(m, nn.ModuleDict) and "classes" in m)
        first, other = (self.answers(run, run.policy, head) for head in (run.policy.head, second))
        if self.choose(run, first, other):
            act_with(run, dict(second.named_parameters()), "head.")
