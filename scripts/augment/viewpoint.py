"""Renders a dataset again from sampled cameras.

toyshift augment viewpoint runs/demos runs/demos-views --azimuth -30 30
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from toyshift.core.errors import ConfigError
from toyshift.core.workers import core_count
from toyshift.scripts.options import Common


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Common):
    """Options of `augment viewpoint`."""

    src: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SRC")]
    """Dataset to read."""
    dst: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DST")]
    """Dataset to write."""
    azimuth: tuple[float, float]
    """Lowest and highest turn of the front camera about the table [deg]."""
    workers: int = 0
    """Processes; 0 takes one per core."""

    def __post_init__(self) -> None:
        if not -180 <= self.azimuth[0] <= self.azimuth[1] <= 180:
            raise ConfigError(f"--azimuth takes the lower angle first, within -180 to 180 degrees, got {self.azimuth[0]:g} {self.azimuth[1]:g}")
        if self.src.resolve() == self.dst.resolve():
            raise ConfigError(f"{self.src} cannot be both source and destination")


def main(cfg: Config) -> dict[str, Any]:
    """Re-renders a dataset from sampled cameras; actions stay as they are.

    Example: toyshift augment viewpoint runs/demos runs/demos-views --azimuth -30 30
    """
    import toyshift.augment as repairs

    config = repairs.ViewpointConfig(cfg.src, cfg.dst, cfg.azimuth, cfg.seed, cfg.workers or core_count())
    result: dict[str, Any] = repairs.augment_viewpoint(config)
    print(f"dataset: {cfg.dst}")
    return result | {"out": cfg.dst}
