"""Mixes datasets: a file that training reads, or one merged dataset.

toyshift data mix runs/a runs/b --weights 2 1 --out mix.json       then: toyshift train --data mix.json ...
toyshift data mix runs/a runs/b --weights remix --steps 1000 --out mix.json
toyshift data mix runs/a runs/b --merge --out runs/both
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import tyro

from toyshift.core.errors import ConfigError
from toyshift.scripts.options import Common


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Common, steps=1, batch_size=1):
    """Options of `toyshift data mix`."""

    data: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="DIR")]
    """Dataset folders, under one contract."""
    out: Path
    """Mixture file (.json), or with --merge the folder of the new dataset."""
    weights: tuple[str, ...] = ("proportional",)
    """uniform (each dataset the same), proportional (each frame the same), one number per dataset, or remix (Re-Mix:
    where a small policy still has something to learn; trains two of them beside --out)."""
    steps: int = 1000
    """remix: training steps of the reference policy, and of the robust one."""
    batch_size: int = 64
    """remix: samples per step."""
    merge: bool = False
    """Copy all episodes into one dataset instead; weights do not apply."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.data:
            raise ConfigError("no dataset was given: name the folders to mix, toyshift data mix DIR DIR --out mix.json")
        if self.merge and self.weights != ("proportional",):
            raise ConfigError("--merge copies every episode once: leave --weights out")
        if not self.merge and self.out.suffix != ".json":
            raise ConfigError(f"--out {self.out}: a mixture file ends in .json (or did you mean --merge?)")


def main(cfg: Config) -> dict[str, Any]:
    """Writes a mixture file for `toyshift train --data`, or with --merge one dataset.

    Example: toyshift data mix runs/a runs/b --weights uniform --out mix.json
    """
    from toyshift.data.store.mixture import KINDS, merge, mix, write_mixture

    if cfg.merge:
        made = merge(cfg.data, cfg.out)
        print(f"{made['episodes']} episodes, {made['frames']} frames: {cfg.out}")
        return made | {"out": cfg.out}
    if cfg.weights == ("remix",):
        mixture = dataclasses.replace(mix(cfg.data, "given", _remix(cfg)), kind="remix")
    elif len(cfg.weights) == 1 and cfg.weights[0] in KINDS[:2]:
        mixture = mix(cfg.data, cfg.weights[0])
    else:
        try:
            mixture = mix(cfg.data, "given", [float(w) for w in cfg.weights])
        except ValueError as error:
            if isinstance(error, ConfigError):
                raise
            kinds = "uniform, proportional, remix or one number per dataset"
            raise ConfigError(f"--weights takes {kinds}, got {' '.join(cfg.weights)}") from error
    write_mixture(cfg.out, mixture)
    for folder, weight in zip(mixture.folders, mixture.weights, strict=True):
        print(f"{weight:7.1%}  {folder}")
    print(f"mixture: {cfg.out}   (toyshift train --data {cfg.out} ...)")
    return mixture.to_json() | {"out": cfg.out}


def _remix(cfg: Config) -> list[float]:
    """Trains a reference and a robust policy beside the mixture file, and returns the weights of Re-Mix."""
    from toyshift.core.progress import Progress
    from toyshift.data.loading.remix import remix_weights
    from toyshift.data.store.mixture import open_alike
    from toyshift.policies.config import PolicyConfig
    from toyshift.policies.training.config import TrainConfig
    from toyshift.policies.training.robust import robust_run

    if len(cfg.data) < 2:
        raise ConfigError("--weights remix needs at least two datasets")
    open_alike(cfg.data)  # refuses what does not belong together before anything is trained
    policy = PolicyConfig(pooling="mean", width=32, stem=16, token_hidden=32, hidden=128)
    train = TrainConfig(
        data=tuple(map(str, cfg.data)), out=str(cfg.out.with_suffix(".remix")), policy=policy, steps=cfg.steps,
        batch_size=cfg.batch_size, seed=cfg.seed, validation=0.0,
    )
    run = robust_run(train)
    with Progress("remix", cfg.steps, "step") as bar:

        def report(weights: Iterable[float]) -> None:
            bar.update(1, weights=" ".join(f"{w:.2f}" for w in weights))

        found = remix_weights(run, [1.0] * len(cfg.data), cfg.steps, report=report)
    for folder, excess in zip(cfg.data, found.excess, strict=True):
        print(f"mean excess loss {excess:.4f}  {folder}")
    return [float(w) for w in found.weights]
