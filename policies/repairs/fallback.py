"""A fallback for unknown names: what they are told as, and "object", and the mean of both answers acts."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from toyshift.core.fields import Limit
from toyshift.policies.repairs.repair import RunRepair

if TYPE_CHECKING:
    from toyshift.policies.config import PolicyConfig
    from toyshift.policies.training.config import TrainConfig
    from toyshift.policies.training.training_run import Run


@dataclasses.dataclass
class Fallback(RunRepair):
    """Lets a policy remember what was said in training, so that it knows what it does not know; training is as before.

    `share` of sentences of the training's kind would be taken for unknown.
    """

    share: float = 0.05

    limits: ClassVar[dict[str, Limit]] = {"share": (1e-3, 0.5)}

    def policy(self, config: TrainConfig) -> PolicyConfig:
        if config.policy.instruction != "minilm":
            raise self.refuse(
                f"compares sentences by their embeddings, and instruction is {config.policy.instruction}; "
                "give --instruction minilm"
            )
        return dataclasses.replace(config.policy, fallback=self.share)

    def begin(self, run: Run) -> None:
        if run.source.instructions is not None:
            run.source.instructions.told_apart()  # raises where there are too few sentences, before anything is trained
