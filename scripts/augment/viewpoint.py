"""Renders a dataset again from sampled cameras.

toyshift augment viewpoint runs/demos runs/demos-views --azimuth -30 30
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from toyshift.core.errors import ConfigError
from toyshift.core.files import real_path
from toyshift.scripts.options import Parallel


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Parallel):
    """Options of `augment viewpoint`."""

    src: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SRC")]
    """Dataset to read."""
    dst: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DST")]
    """Dataset to write."""
    azimuth: tuple[float, float]
    """Lowest and highest turn of the front camera about the table [deg]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = self.azimuth
        if not -180 <= low <= high <= 180:
            raise ConfigError(f"--azimuth takes the lower angle first, from -180 to 180 degrees, not {low:g} {high:g}")
        if real_path(self.src) == real_path(self.dst):
            raise ConfigError(f"{self.src} cannot be both source and destination")


def main(cfg: Config) -> dict[str, Any]:
    """Re-renders a dataset from sampled cameras; actions stay as they are.

    Example: toyshift augment viewpoint runs/demos runs/demos-views --azimuth -30 30
    """
    import toyshift.augment as repairs

    made = repairs.augment_viewpoint(cfg.src, cfg.dst, cfg.azimuth, seed=cfg.seed, workers=cfg.processes)
    result: dict[str, Any] = made
    print(f"dataset: {cfg.dst}")
    return result | {"out": cfg.dst}
