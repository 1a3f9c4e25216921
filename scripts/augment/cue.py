"""Dresses sub-datasets with another cue for the target's place.

toyshift data fragment --diversity 0.25 --disparity 1.5 --correlation 0 --episodes 200 --out runs/places
toyshift augment cue runs/places runs/told-by-table --factor table
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from toyshift.core.choices import SeenFactor
from toyshift.core.errors import ConfigError
from toyshift.core.files import real_path
from toyshift.scripts.options import Parallel


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Parallel):
    """Options of `augment cue`."""

    src: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SRC")]
    """Folder of sub-datasets of places, made by `toyshift data fragment`; its own cue is replaced."""
    dst: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DST")]
    """Folder to write; an interrupted rendering goes on where it was."""
    factor: SeenFactor
    """What the cue is: azimuth, light, table, background or object_colour."""
    diversity: float = 0.0
    """How wide its ranges are, as in `toyshift data fragment`."""
    disparity: float = 1.0
    """How far apart its ranges lie, as in `toyshift data fragment`."""
    correlation: float = 1.0
    """How often an episode shows the cue of its own sub-dataset: 1 always, 0 shows any."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if real_path(self.src) == real_path(self.dst):
            raise ConfigError(f"{self.src} cannot be both source and destination")


def main(cfg: Config) -> dict[str, Any]:
    """Renders sub-datasets of places again, so that another factor tells where the target lies; actions stay.

    Example: toyshift augment cue runs/places runs/told-by-table --factor table
    Example: toyshift augment cue runs/places runs/clean --factor table --correlation 0
    """
    import toyshift.augment as repairs
    from toyshift.data.collecting.fragment_folder import dependence_of

    result: dict[str, Any] = repairs.augment_cue(
        cfg.src, cfg.dst, cfg.factor, diversity=cfg.diversity, disparity=cfg.disparity, correlation=cfg.correlation,
        seed=cfg.seed, workers=cfg.processes,
    )
    _, dependence = dependence_of(cfg.dst)
    print(f"sub-datasets: {cfg.dst}")
    print(dependence.told("position", cfg.factor))
    return result | {"out": cfg.dst, "dependence": dataclasses.asdict(dependence)}
