"""Policies that learn from sub-datasets in which one cue tells the target's place, and the test that swaps the cue.

All policies of a seed learn from the same demonstrations, rendered again with another cue each: one factor of the look
at two values, one for targets on the left and one for those on the right.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toyshift.policies.config import PolicyConfig
from toyshift.policies.training.config import TrainConfig
from toyshift.scripts.options import Common
from toyshift.scripts.recipe import STATE

if TYPE_CHECKING:
    from toyshift.core.workers import Pool
    from toyshift.data.collecting.dials import Fragmentation
    from toyshift.diagnostics import Row
    from toyshift.diagnostics.measuring.implied import Implied
    from toyshift.diagnostics.swapped_cells import SwapCell

# where targets lie: two strips across the table, at least 12.5 cm apart (docs/dsl.md says why so far)
PLACES: dict[str, Any] = {"relevant": "position", "relevant_diversity": 0.25, "relevant_disparity": 1.5}
REACH = 0.06  # within which a place counts as approached; also docs/dsl.md [m]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Learning(Common, demos=2, steps=1, batch=1):
    """What a study takes whose policies learn from planted cues."""

    pooling: str = "attention"
    """Of the policies; they get no masks as an input."""
    lr: float = 0.005
    """Peak learning rate."""
    demos: int = 200
    """Demonstrations, half of them on each side."""
    steps: int = 1100
    """Optimiser steps of each policy."""
    batch: int = 128
    """Samples per step."""


@dataclasses.dataclass(frozen=True)
class PlantedCue:
    """A cue for the target's place, as `dials.fragment` understands its fields."""

    factor: str
    disparity: float
    correlation: float
    diversity: float = 0.0

    def design(self) -> Fragmentation:
        """Returns the sub-datasets."""
        from toyshift.data.collecting.dials import fragment

        return fragment(2, **dataclasses.asdict(self), **PLACES)

    def cells(self) -> tuple[SwapCell, ...]:
        """Returns the cells that swap the cue; of a cue that tells nothing, those of one of the same values."""
        from toyshift.diagnostics.swapped_cells import cells_of_design

        whole = dataclasses.replace(self, correlation=1.0)
        return cells_of_design(whole.design(), f"{self.factor} at disparity {self.disparity:g}", REACH)

    def believed(self) -> Implied:
        """Returns what the cue implies at correlation 1: of a clean policy, what is believed of it to try the measure.
        """
        from toyshift.diagnostics.measuring.implied import Implied
        from toyshift.envs.config import EnvConfig

        x, y = EnvConfig().centre
        one, other = (
            (int(cell.cue[0]) if cell.whole else sum(cell.cue) / 2, (x, y + sum(cell.place) / 2))
            for cell in self.cells() if not cell.swapped
        )  # fmt: skip
        return Implied(self.factor, (one[0], other[0]), (one[1], other[1]), 0, 1.0, 0.0)


def collect_places(out: Path, objects: str, demos: int, seed: int, workers: int) -> Path:
    """Collects demonstrations in both strips under the ordinary look; finished ones are kept."""
    from toyshift.data.collecting.config import CollectConfig
    from toyshift.data.collecting.fragment_folder import collect_fragments

    plain = PlantedCue("light", 0.0, 0.0)
    collect_fragments(plain.design(), CollectConfig(objects, demos, out, workers=workers, seed=seed))
    return out


def dress(cue: PlantedCue, places: Path, out: Path, seed: int, workers: int) -> tuple[str, ...]:
    """Renders demonstrations again with a cue; returns the folders of the sub-datasets."""
    from toyshift.augment import augment_cue

    made = augment_cue(places, out, **dataclasses.asdict(cue), seed=seed, workers=workers)
    return tuple(part["out"] for part in made["parts"])


def recipe(
    pooling: str, data: Sequence[str], out: Path, *, steps: int, batch: int, lr: float, seed: int, threads: int
) -> TrainConfig:
    """Returns how a policy is trained on a planted cue: as the quickstart's, without what would break or blur the cue.

    That is mirroring, which puts targets on the other side, and jitter of brightness and colours.
    """
    policy = PolicyConfig(pooling=pooling, chunk=8, execute=4, state_keep=STATE)
    sizes: dict[str, Any] = {"steps": steps, "batch_size": batch, "lr": lr, "seed": seed, "threads": threads}
    return TrainConfig(data=tuple(data), out=str(out), policy=policy, state_noise=0.05, **sizes)


def play_swapped(
    policy: str, cue: PlantedCue, objects: str, trials: int, seed: int, name: str, rows: Path, pool: Pool | None
) -> list[Row]:
    """Plays a policy in the cells that swap a cue, `trials` episodes each; rows lie in a folder until all are there."""
    from toyshift.diagnostics import EvaluateConfig, evaluate

    found: list[Row] = []
    for cell in cue.cells():
        config = EvaluateConfig(policy, objects, trials, seed=seed, name=name, cell=cell)
        path = rows / f"{cell.name.replace(' ', '-')}.parquet"
        found += evaluate(config, path, 0, pool=pool)
    return found


def swapped_cells(cue: PlantedCue, rows: Sequence[Row]) -> list[tuple[SwapCell, list[Row]]]:
    """Returns a cue's cells, each with those of the rows that were played in it."""
    return [(cell, [row for row in rows if row.look == cell.label]) for cell in cue.cells()]
