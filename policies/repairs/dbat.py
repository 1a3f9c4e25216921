"""D-BAT: a second policy that fits the demonstrations as a first one does, and disagrees with it elsewhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from toyshift.core.fields import Limit
from toyshift.policies.network.policy import Judged, Policy
from toyshift.policies.network.weights import load_network
from toyshift.policies.repairs.diverse import TINY, Diverse, act_with, unlabelled

if TYPE_CHECKING:
    from toyshift.policies.config import PolicyConfig
    from toyshift.policies.training.config import TrainConfig
    from toyshift.policies.training.training_run import Run

FIRST = "first"  # folder of the first member, in that of the second


def disagree(earlier: Tensor, p: Tensor) -> Tensor:
    """Returns how little answers p (B, C) differ from earlier ones (B, C) about those ones' top class (D-BAT)."""
    top = earlier.argmax(dim=1, keepdim=True)
    p1, p2 = earlier.gather(1, top), p.gather(1, top)
    return -(p1 * (1.0 - p2) + p2 * (1.0 - p1) + TINY).log().mean()


@dataclasses.dataclass
class DBat(Diverse):
    """A first policy is trained, then this one, which is to disagree with it about the other data."""

    alpha: float = 1.0

    limits: ClassVar[dict[str, Limit]] = {"alpha": (0.0, 1e4)}

    def policy(self, config: TrainConfig) -> PolicyConfig:
        if config.minutes:
            raise self.refuse("trains two policies of so many steps, and minutes say no number of them; give --steps")
        return super().policy(config)

    def first(self, config: TrainConfig) -> TrainConfig | None:
        out = str(Path(config.out) / FIRST)
        return dataclasses.replace(config, repair="", out=out, keep_steps=(), wandb="")

    def begin(self, run: Run) -> None:
        super().begin(run)
        self._earlier: Any = load_network(Path(run.config.out) / FIRST).to(run.device)

    def modules(self, policy: Policy) -> nn.Module:
        module: nn.Module = self._classes
        return module

    def extra_loss(self, policy: Policy, module: Any, batch: Mapping[str, Tensor], seen: Judged) -> Tensor:
        other = unlabelled(batch)
        with torch.no_grad():
            earlier = module(self._earlier.head(self._earlier.judge(other).features))
        return self.alpha * disagree(earlier, module(policy.head(policy.judge(other).features)))

    def finish(self, run: Run) -> None:
        earlier = self._earlier
        first, second = (self.answers(run, p, p.head) for p in (earlier, run.policy))
        if not self.choose(run, first, second):
            act_with(run, dict(earlier.named_parameters()), "")
