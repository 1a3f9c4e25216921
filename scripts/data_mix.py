"""Mixes datasets: a file that training reads, or one merged dataset.

toyshift data mix runs/a runs/b --weights 2 1 --out mix.json       then: toyshift train --data mix.json ...
toyshift data mix runs/a runs/b --merge --out runs/both
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from toyshift.core.errors import ConfigError
from toyshift.scripts.options import Common


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Common):
    """Options of `toyshift data mix`."""

    data: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="DIR")]
    """Dataset folders, under one contract."""
    out: Path
    """Mixture file (.json), or with --merge the folder of the new dataset."""
    weights: tuple[str, ...] = ("proportional",)
    """uniform (each dataset the same), proportional (each frame the same), or one number per dataset."""
    merge: bool = False
    """Copy all episodes into one dataset instead; weights do not apply."""

    def __post_init__(self) -> None:
        if self.merge and self.weights != ("proportional",):
            raise ConfigError("--merge copies every episode once: leave --weights out")
        if not self.merge and self.out.suffix != ".json":
            raise ConfigError(f"--out {self.out}: a mixture file ends in .json (or did you mean --merge?)")


def main(cfg: Config) -> dict[str, Any]:
    """Writes a mixture file for `toyshift train --data`, or with --merge one dataset.

    Example: toyshift data mix runs/a runs/b --weights uniform --out mix.json
    """
    from toyshift.data.mixture import KINDS, merge, mix, write_mixture

    if cfg.merge:
        made = merge(cfg.data, cfg.out)
        print(f"{made['episodes']} episodes, {made['frames']} frames: {cfg.out}")
        return made | {"out": cfg.out}
    if len(cfg.weights) == 1 and cfg.weights[0] in KINDS[:2]:
        mixture = mix(cfg.data, cfg.weights[0])
    else:
        try:
            mixture = mix(cfg.data, "given", [float(w) for w in cfg.weights])
        except ValueError as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"--weights takes uniform, proportional or one number per dataset, got {' '.join(cfg.weights)}") from error
    write_mixture(cfg.out, mixture)
    for folder, weight in zip(mixture.folders, mixture.weights, strict=True):
        print(f"{weight:7.1%}  {folder}")
    print(f"mixture: {cfg.out}   (toyshift train --data {cfg.out} ...)")
    return mixture.to_json() | {"out": cfg.out}
