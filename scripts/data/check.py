"""Looks for what is wrong with a dataset.

toyshift data check runs/demos
toyshift data check runs/demos --repair runs/clean
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


def main(cfg: Config) -> dict[str, Any]:
    """Looks for damage, NaN, values outside the contract, a gripper of the wrong sign, jumps, frozen or repeated
    frames, wrong times, empty masks.

    Exit code 1 when something is found. Example: toyshift data check runs/demos --repair runs/clean
    """
    from toyshift.data.store.checks import check_dataset

    result = check_dataset(cfg.data, cfg.repair)
    for problem in result.problems[:SHOWN]:
        print(problem)
    if len(result.problems) > SHOWN:
        print(f"... and {len(result.problems) - SHOWN} more (--json lists all)")
    print(f"{cfg.data}: {result.episodes} episodes, {result.frames} frames, {len(result.bad)} bad episodes")
    if result.repaired is not None:
        kept = result.episodes - len(result.bad)
        print(f"repaired copy with {kept} episodes: {result.repaired} (dropped.json says what was left out)")
    return result.to_json()
