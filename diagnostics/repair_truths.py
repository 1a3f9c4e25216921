"""Every repair by name, and whether `toyshift diagnose --self-test` can try it on planted truths, or only the tests.

Repairs of training and of datasets name their truths in their own tables; those that are options or studies of their
own stand here.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

from toyshift.augment.registry import AUGMENTATIONS
from toyshift.core.lazy import imported
from toyshift.core.truths import Truth
from toyshift.policies.repairs import TRAINING_REPAIRS


class TriedRepair(Protocol):
    """A repair: its name, why only the tests try it ("" where the self-test does), and its planted truths."""

    @property
    def name(self) -> str: ...

    @property
    def suite(self) -> str: ...

    def truths(self) -> list[Truth]: ...


@dataclasses.dataclass(frozen=True)
class OtherRepair:
    """A repair that is neither one of training nor one of datasets.

    Attributes:
        name: as it is asked for.
        command: how it is used.
        tried: "module:function" of this room: () -> planted truths and what is measured of them; "" where `suite` says
            why the self-test cannot try it.
        suite: what its planted truth needs, that only the tests have; "" where `tried` tries it.
    """

    name: str
    command: str
    tried: str = ""
    suite: str = ""

    def truths(self) -> list[Truth]:
        """Returns what it does with data whose answer is known; nothing where only the tests can."""
        found: list[Truth] = imported("toyshift.diagnostics", self.tried)() if self.tried else []
        return found


OTHER_REPAIRS = (
    OtherRepair("allocate", "toyshift collect --allocate ROWS", "share_truths:allocate_truths"),
    OtherRepair("plr", "toyshift train-rl --curriculum plr", "share_truths:plr_truths"),
    OtherRepair("tune", "toyshift study tune", suite="optuna (toyshift[tune]), and three searches of 30 tries"),
)


def repairs() -> dict[str, TriedRepair]:
    """Returns all repairs by name, those of training first."""
    every: tuple[TriedRepair, ...] = (*TRAINING_REPAIRS, *AUGMENTATIONS.values(), *OTHER_REPAIRS)
    return {repair.name: repair for repair in every}
