"""Looks for what is wrong with a dataset, of ours or any LeRobot v3 dataset.

toyshift data check runs/demos
toyshift data check runs/demos --repair runs/clean
toyshift data check so101_pick --against so101_pick_test        do they share episodes?
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from toyshift.scripts.data.options import DatasetConfig

SHOWN = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(DatasetConfig):
    """Options of `toyshift data check`."""

    repair: Path | None = None
    """Folder for a copy without the bad episodes; dropped.json in it says what was left out, and why."""
    against: Path | None = None
    """Another LeRobot v3 dataset that should share no episode with it, such as the one to test on."""
    images: bool = True
    """Decode the images of a dataset that is not ours as well; without, it takes seconds."""


def main(cfg: Config) -> dict[str, Any]:
    """Looks for damage, NaN, values outside the contract, a gripper of the wrong sign, jumps, frozen or repeated
    frames, wrong times, empty masks. In LeRobot v3 datasets of others: missing video frames, wrong statistics,
    episodes that are there twice or in two splits, and what gives the task away.

    Exit code 1 when something is found. Example: toyshift data check runs/demos --repair runs/clean
    """
    from toyshift.data.formats.lerobot_checks import check_any

    result = check_any(cfg.data, repair=cfg.repair, images=cfg.images, against=cfg.against)
    facts: dict[str, Any] = {}
    if result.unknown:  # not ours
        from toyshift.data import open_lerobot
        from toyshift.data.store.checks import Problem
        from toyshift.diagnostics.measuring.recorded import (
            dependences_told,
            measure_recorded,
            recorded_factors,
            unknown_told,
        )

        factors = recorded_factors(open_lerobot(cfg.data))
        found = measure_recorded(factors)
        tied = [Problem("dependence", None, None, text, str(cfg.data)) for text in dependences_told(found)]
        unknown = (*result.unknown, *unknown_told(factors, found))
        result = dataclasses.replace(result, problems=(*result.problems, *tied), unknown=unknown)
        facts["dependence"] = found.to_json()
    for problem in result.problems[:SHOWN]:
        print(problem)
    if len(result.problems) > SHOWN:
        print(f"... and {len(result.problems) - SHOWN} more (--json lists all)")
    for line in result.unknown:
        print(f"not known: {line}")
    print(f"{cfg.data}: {result.episodes} episodes, {result.frames} frames, {len(result.bad)} bad episodes")
    if result.repaired is not None:
        kept = result.episodes - len(result.bad)
        print(f"repaired copy with {kept} episodes: {result.repaired} (dropped.json says what was left out)")
    return result.to_json() | facts
