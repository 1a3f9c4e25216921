"""What a repair may do to a training: the hooks of a run, all of which may be left as they are."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from toyshift.core.arrays import Indices
from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.fields import Limit, check_fields, check_ranges, choices_of
from toyshift.policies.repairs import TRAINING_REPAIRS, TrainingRepair

if TYPE_CHECKING:
    from torch import Tensor, nn

    from toyshift.policies.config import PolicyConfig
    from toyshift.policies.network.policy import Judged, Policy
    from toyshift.policies.training.config import TrainConfig
    from toyshift.policies.training.training_run import Run

Batch = dict[str, NDArray[Any]]
# Hooks that one repair can take only, and what it does there
_ALONE = {
    "action_loss": "put another loss in the place of the actions'", "gradients": "make the gradients",
    "first": "train another policy first", "finish": "choose what acts",
}  # fmt: skip


@dataclasses.dataclass
class RunRepair:
    """A change of training; fields are its keys. An instance is of one run, and may keep that run's state."""

    limits: ClassVar[Mapping[str, Limit]] = {}

    def __post_init__(self) -> None:
        for key, hint in typing.get_type_hints(type(self)).items():
            if (choices := choices_of(hint)) and getattr(self, key) not in choices:
                raise UnknownNameError(f"value of {key!r} of repair {self.row.name!r}", getattr(self, key), choices)
        check_fields(self)
        check_ranges(self, self.limits)

    @property
    def row(self) -> TrainingRepair:
        """Its row of the table."""
        return next(row for row in TRAINING_REPAIRS if row.place.endswith(f":{type(self).__name__}"))

    @property
    def own_hooks(self) -> set[str]:
        """What it does that no other repair can do beside it."""
        return {what for hook, what in _ALONE.items() if self.takes(hook)}

    def takes(self, hook: str) -> bool:
        """Says whether it does anything in a hook."""
        return getattr(type(self), hook) is not getattr(RunRepair, hook)

    def refuse(self, why: str) -> ConfigError:
        """Returns the error that says why a training cannot have this repair."""
        return ConfigError(f"repair {self.row.name!r} {why}")

    # ------------------------------------------------------------ before the training

    def policy(self, config: TrainConfig) -> PolicyConfig:
        """Returns what is trained in place of `config.policy`; raises ConfigError where the run cannot be repaired."""
        return config.policy

    def first(self, config: TrainConfig) -> TrainConfig | None:
        """Returns a training that must be finished before this one; None where there is none."""
        return None

    def begin(self, run: Run) -> None:
        """Looks at a run's data and policy at its start, and at every resume; may put other data into `run.source`."""

    def looked_at(self) -> Sequence[Mapping[str, Any]]:
        """Returns what is in datasets beside those of the run that it looks at, see `data.store.provenance`."""
        return ()

    def modules(self, policy: Policy) -> nn.Module | None:
        """Returns what is trained beside the policy, and dropped at its export."""
        return None

    # ------------------------------------------------------------ at every step

    def samples(self, run: Run, step: int, frames: tuple[Indices, slice], batch: Batch) -> Batch:
        """Returns a step's samples with more columns, or other ones; called ahead, by another thread.

        Args:
            run: of the repair.
            step: from 0; what is drawn depends on seed and step only.
            frames: those of all processes together, and which of them `batch` holds.
            batch: of the batch contract, before its augmentation.
        """
        return batch

    def action_loss(self, policy: Policy, batch: Mapping[str, Tensor], seen: Judged) -> Tensor:
        """Returns the loss of the actions, in the place of the mean of the head's errors."""
        raise NotImplementedError

    def extra_loss(self, policy: Policy, module: Any, batch: Mapping[str, Tensor], seen: Judged) -> Tensor:
        """Returns what is added to the loss of the actions.

        Args:
            policy: in training.
            module: what `modules` made.
            batch: of the batch contract, with what `samples` added.
            seen: what the policy makes of it.
        """
        raise NotImplementedError

    def gradients(self, run: Run, batch: dict[str, Tensor]) -> float:
        """Fills the gradients of all parameters, and returns the loss; None as a gradient leaves a parameter alone."""
        raise NotImplementedError

    # ------------------------------------------------------------ of its state

    def state(self) -> dict[str, Tensor]:
        """Returns what a resume needs that is neither in the policy nor in `modules`."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Takes what `state` gave."""

    def finish(self, run: Run) -> None:
        """Changes the policy after the last step, before it is saved."""
