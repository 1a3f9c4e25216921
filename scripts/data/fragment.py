"""Collects sub-datasets whose width, distance and dependence are set by dials.

toyshift data fragment --m 2 --diversity 0.5 --disparity 0.8 --correlation 1 --episodes 100 --out runs/fragments
toyshift data info runs/fragments                           planted and measured dependence
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from toyshift.core.choices import ActionMode, IrrelevantFactor, RelevantFactor
from toyshift.scripts.options import Parallel


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Parallel, episodes=1, image_size=(16, 1024)):
    """Options of `toyshift data fragment`."""

    m: int = 2
    """How many sub-datasets."""
    diversity: Annotated[float, tyro.conf.arg(aliases=["--radius"])] = 0.5
    """How far each reaches from its centre, in quarter spans of a factor (30 degrees of azimuth, 5 cm of position); its
    old name is --radius."""
    disparity: Annotated[float, tyro.conf.arg(aliases=["--distance"])] = 0.8
    """How far apart the outermost centres are, in half spans (60 degrees, 10 cm); of two, ranges touch where it equals
    the diversity. Its old name is --distance."""
    correlation: Annotated[float, tyro.conf.arg(aliases=["--rho"])] = 1.0
    """0 (what is seen tells nothing of where the target is) to 1 (each sub-dataset has a range of its own of both); its
    old name is --rho."""
    factor: IrrelevantFactor = "azimuth"
    """Task-irrelevant factor: azimuth, light, table, background, object_colour or robot."""
    relevant: RelevantFactor = "position"
    """Task-relevant factor: position or object."""
    relevant_diversity: Annotated[float | None, tyro.conf.arg(aliases=["--relevant-radius"])] = None
    """Diversity of the task-relevant factor; by default the same."""
    relevant_disparity: Annotated[float | None, tyro.conf.arg(aliases=["--relevant-distance"])] = None
    """Disparity of the task-relevant factor; by default the same."""
    bins: int = 9
    """Into how many bins the dependence cuts each factor's span; odd."""
    objects: str = "toys:train"
    """Object set to play with."""
    episodes: int = 100
    """How many successful demonstrations in all, shared equally."""
    out: Path
    """Folder of the sub-datasets part-0, part-1, ...; an interrupted collection goes on where it was."""
    action_mode: ActionMode = "eef_delta"
    """eef_delta (movement of the hand), eef_pose, joint_pos (joint angles) or joint_delta."""
    image_size: int = 96
    """Height and width of the images [pixels]."""
    no_disturbance: bool = False
    """Leave the expert undisturbed."""


def main(cfg: Config) -> dict[str, Any]:
    """Collects sub-datasets with a planted dependence between what matters and what does not.

    Example: toyshift data fragment --m 2 --diversity 0.5 --disparity 0.8 --correlation 1 --out runs/fragments
    """
    from toyshift.data.collecting.dials import fragment

    design = fragment(
        cfg.m, diversity=cfg.diversity, disparity=cfg.disparity, correlation=cfg.correlation, factor=cfg.factor,
        relevant=cfg.relevant, relevant_diversity=cfg.relevant_diversity, relevant_disparity=cfg.relevant_disparity,
        bins=cfg.bins,
    )
    from toyshift.data.collecting.config import CollectConfig
    from toyshift.data.collecting.fragment_folder import collect_fragments, dependence_of

    config = CollectConfig(
        objects=cfg.objects, episodes=cfg.episodes, out=cfg.out, workers=cfg.processes, seed=cfg.seed,
        action_mode=cfg.action_mode, image_size=cfg.image_size, disturb=not cfg.no_disturbance,
    )
    result = collect_fragments(design, config)
    _, dependence = dependence_of(cfg.out)
    print(f"{cfg.m} sub-datasets: {cfg.out}   (toyshift data info {cfg.out})")
    print(dependence.told(cfg.relevant, cfg.factor))
    return result | {"out": cfg.out, "dependence": dataclasses.asdict(dependence)}
