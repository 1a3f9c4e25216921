"""What studies with two budgets share: how large one is, and its numbers with a command's changes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from toyshift.scripts.studies.options import MOST_SEEDS, StudyConfig

MOST = 1_000_000  # demonstrations, steps or episodes: a slip of the keyboard must not ask for all memory


@dataclasses.dataclass(frozen=True, kw_only=True)
class Budgeted(StudyConfig):
    """Options of a study that comes in two sizes: dataclasses of numbers, each of which is an option too."""

    budgets: ClassVar[Mapping[str, Any]] = {}
    budget: Literal["small", "paper"] = "small"
    """small: at most an hour and a half of two cores; paper: more of everything."""
    only: tuple[str, ...] = ()
    """Cells to run, with * for anything, and those that they need."""

    def sizes(self) -> Any:
        """Returns the budget with this command's changes."""
        budget = self.budgets[self.budget]
        return dataclasses.replace(budget, **{k: v for k in dataclasses.asdict(budget) if (v := getattr(self, k))})


@dataclasses.dataclass(frozen=True)
class Practice:
    """How large a study is that trains policies.

    Attributes:
        seeds: of demonstrations, training and test together.
        demos: demonstrations of each seed.
        steps: optimiser steps of a policy.
        batch: samples per step.
        trials: episodes in each test of a policy.
    """

    seeds: int
    demos: int
    steps: int
    batch: int
    trials: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class PracticeConfig(
    Budgeted, seeds=(0, MOST_SEEDS), demos=(0, MOST), steps=(0, MOST), batch=(0, MOST), trials=(0, MOST)
):
    """Options of a study that trains policies."""

    seeds: int = 0
    """Another number of seeds; 0 = the budget's."""
    demos: int = 0
    """Another number of demonstrations of each seed; 0 = the budget's."""
    steps: int = 0
    """Other optimiser steps; 0 = the budget's."""
    batch: int = 0
    """Another number of samples per step; 0 = the budget's."""
    trials: int = 0
    """Other episodes in each test of a policy; 0 = the budget's."""
