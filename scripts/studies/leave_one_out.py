"""Which of the four primitives matters: policies on toys that lack one, beside a policy on toys of all four.

toyshift study leave-one-out --ycb DIR                   500 demonstrations, two seeds
toyshift study leave-one-out --results results/leave_one_out --docs docs --tabulate     committed rows and their page
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

from toyshift.scripts.studies.toy_distributions import DistributionsConfig, DistributionsStudy
from toyshift.scripts.studies.toy_sets import ALL_KINDS, ToyBudget


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(DistributionsConfig):
    """Options of `toyshift study leave-one-out`."""

    budgets: ClassVar = {
        "small": ToyBudget((500,), 2, 1100, 128, 56),
        "paper": ToyBudget((100, 200, 500, 1000), 3, 4400, 128, 1040),
    }
    out: Path = Path("runs/leave-one-out")


def main(cfg: Config) -> dict[str, Any]:
    """Trains policies on toys without one of the four primitives; tests them on new objects (docs/leave_one_out.md).

    Example: toyshift study leave-one-out --ycb DIR --minutes 120
    """
    return LeaveOneOut(cfg).conduct(cfg, cfg.only)


class LeaveOneOut(DistributionsStudy):
    """All four primitives, and each left out."""

    name = "leave-one-out"
    distributions: ClassVar = {
        "Primitives left out": ("without-sphere", "without-cuboid", "without-cylinder", "without-ring")
    }
    lego: ClassVar = {
        "without-cuboid": {100: 0.3788, 200: 0.5635, 500: 0.6538, 1000: 0.7212},
        "without-sphere": {100: 0.4413, 200: 0.4731, 500: 0.6183, 1000: 0.6308},
        "without-ring": {100: 0.4423, 200: 0.6750, 500: 0.6856, 1000: 0.7260},
        "without-cylinder": {100: 0.4529, 200: 0.5760, 500: 0.6952, 1000: 0.7231},
        ALL_KINDS: {500: 0.6817, 1000: 0.7115},
    }
    source = (
        "LEGO's numbers: success on 65 YCB objects in simulation; those that leave one out from notes of others on the "
        "paper's appendix, those of all four from the table on its project page (250 toys). Another robot model, "
        "network and object set: compare orders and gaps, not rates."
    )
