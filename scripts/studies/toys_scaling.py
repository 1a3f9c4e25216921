"""Success on new objects by the number of toys and of demonstrations: LEGO's scaling, with a fitted curve.

Policies learn from {1, 5, 25, 125, 250, 1000} toys x {25, 100, 250, 1000, 2500} demonstrations, all from as many
samples; each seed has toys of its own, those of a small set being the first of a large one.

toyshift study toys-scaling --ycb DIR                    10 cells, three seeds; --budget paper: the whole grid
toyshift study toys-scaling --sizes 5.7M 22M             also larger policies on 250 toys
toyshift study toys-scaling --results results/toys_scaling --docs docs --tabulate     committed rows and their page
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

from toyshift.core.errors import ConfigError
from toyshift.scripts.studies.toy_sets import (
    ALL_KINDS,
    MOST_TOYS,
    NETS,
    SIZE_TOYS,
    PolicySize,
    ToyBudget,
    ToyCell,
    ToyStudy,
    ToyStudyConfig,
)

TOYS = {"small": (1, 5, 25, 250), "paper": (1, 5, 25, 125, 250, 1000)}
LEFT_OUT = (5, 1000)  # toys and demonstrations; of `small`, where the grid is the budget's


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(ToyStudyConfig, toys=(1, MOST_TOYS)):
    """Options of `toyshift study toys-scaling`."""

    budgets: ClassVar = {
        "small": ToyBudget((25, 250, 1000), 3, 1100, 128, 56),
        "paper": ToyBudget((25, 100, 250, 1000, 2500), 3, 4400, 128, 1040),
    }
    out: Path = Path("runs/toys-scaling")
    toys: tuple[int, ...] = ()
    """Other numbers of toys than the budget's."""
    sizes: tuple[PolicySize, ...] = ()
    """Larger policies to train on 250 toys as well: transformers over pooled tokens of a frozen encoder (extra
    [pretrained])."""

    def toys_of(self) -> tuple[int, ...]:
        """The numbers of toys with this command's changes."""
        return tuple(sorted(set(self.toys or TOYS[self.budget])))


def main(cfg: Config) -> dict[str, Any]:
    """Trains policies on few and many toys and demonstrations, and tests them on new objects (docs/toys_scaling.md).

    Example: toyshift study toys-scaling --ycb DIR --minutes 120
    """
    return ToysScaling(cfg).conduct(cfg, cfg.only)


class ToysScaling(ToyStudy):
    """The grid, without cells that ask for more toys than demonstrations: these would be those of fewer toys again."""

    name = "toys-scaling"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        numbers = [(toys, demos) for toys in cfg.toys_of() for demos in self.grid.demos if toys <= demos]
        if cfg.budget == "small" and not (cfg.toys or cfg.demos):
            numbers.remove(LEFT_OUT)
        if not numbers:
            told = f"--toys {' '.join(map(str, cfg.toys_of()))} and --demos {' '.join(map(str, self.grid.demos))}"
            raise ConfigError(f"{told}: a policy cannot learn from more toys than demonstrations; give fewer --toys")
        sizes = cfg.sizes or (tuple(NETS) if cfg.budget == "paper" else ())
        larger = [(size, demos) for size in sizes for demos in self.grid.demos if demos >= SIZE_TOYS]
        if sizes and not larger:
            raise ConfigError(f"--sizes are of policies on {SIZE_TOYS} toys: --demos must have as many, or more")
        for seed in range(self.grid.seeds):
            of_seed = [ToyCell(ALL_KINDS, toys, demos, seed) for toys, demos in numbers]
            of_seed += [ToyCell(ALL_KINDS, SIZE_TOYS, demos, seed, size) for size, demos in larger]
            self.kinds |= {cell_name(kind): kind for kind in of_seed}

    def tabulate(self) -> dict[str, Any]:
        from toyshift.scripts.studies.toys_scaling_results import write_results

        return write_results(self.read(), self.made_with(), self.toy_cfg.results_dir, self.toy_cfg.docs_dir)


def cell_name(kind: ToyCell) -> str:
    """Returns what a cell is called: t25-d100-s0, or t250-d1000-22M-s0."""
    return f"t{kind.toys}-d{kind.demos}{'-' * bool(kind.size)}{kind.size}-s{kind.seed}"
