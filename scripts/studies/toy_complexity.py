"""How many parts toys should have: policies on toys of k parts only, and on toys of any number but k.

toyshift study toy-complexity --ycb DIR                  250 demonstrations, two seeds
toyshift study toy-complexity --ycb DIR --all-toys results/toys_scaling      policies on all toys from there
toyshift study toy-complexity --results results/toy_complexity --docs docs --tabulate   committed rows and their page
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

from toyshift.scripts.studies.toy_distributions import DistributionsConfig, DistributionsStudy
from toyshift.scripts.studies.toy_sets import ToyBudget

PARTS = range(1, 6)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(DistributionsConfig):
    """Options of `toyshift study toy-complexity`."""

    budgets: ClassVar = {
        "small": ToyBudget((250,), 2, 1100, 128, 56),
        "paper": ToyBudget((250, 1000, 2500), 3, 4400, 128, 1040),
    }
    out: Path = Path("runs/toy-complexity")


def main(cfg: Config) -> dict[str, Any]:
    """Trains policies on toys of k parts only or of all but k, and tests them on new objects (docs/toy_complexity.md).

    Example: toyshift study toy-complexity --ycb DIR --minutes 120
    """
    return ToyComplexity(cfg).conduct(cfg, cfg.only)


class ToyComplexity(DistributionsStudy):
    """Toys of 1 to 5 parts, of each number alone, and without each number."""

    name = "toy-complexity"
    distributions: ClassVar = {
        "Toys of k parts only": tuple(f"only-{k}" for k in PARTS),
        "Toys without k parts": tuple(f"without-{k}" for k in PARTS),
    }
    left_out: ClassVar = {"small": ("without-4", "without-5")}
    source = (
        "LEGO has no numbers to set beside: notes of others on its appendix say that toys of two parts contribute most "
        "and those of five least, not whether by training on them alone or by leaving them out."
    )
