"""Collects demonstrations from the grasp planner into a LeRobot v3 dataset.

toyshift collect --objects toys:train --episodes 500 --out runs/demos
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from toyshift.core.errors import ConfigError
from toyshift.scripts.options import Common


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Common):
    """Options of `toyshift collect`."""

    objects: str = "toys:train"
    """Object set to play with."""
    episodes: int = 500
    """How many successful demonstrations to store."""
    out: Path
    """Folder of the dataset; an interrupted collection goes on where it was."""
    workers: int = 0
    """Processes; 0 takes one per core."""

    def __post_init__(self) -> None:
        if self.episodes < 1 or self.workers < 0:
            raise ConfigError(f"--episodes must be at least 1 and --workers at least 0, got {self.episodes} and {self.workers}")


def main(cfg: Config) -> dict[str, Any]:
    """Collects demonstrations from the grasp planner into a LeRobot v3 dataset.

    Example: toyshift collect --objects toys:train --episodes 500 --out runs/demos
    """
    import os

    from toyshift.data import CollectConfig, collect

    workers = cfg.workers or os.cpu_count() or 1
    result: dict[str, Any] = collect(CollectConfig(objects=cfg.objects, episodes=cfg.episodes, out=cfg.out, workers=workers, seed=cfg.seed))
    print(f"dataset: {cfg.out}")
    return result | {"out": cfg.out}
