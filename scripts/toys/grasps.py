"""Writes grasp annotations: per object an NPZ of hand poses in its frame, and a JSON that says what the fields are.

toyshift toys grasps ycb-like --out runs/grasps --simulate
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from toyshift.core.choices import RobotName
from toyshift.scripts.toys.options import SetConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(SetConfig, drops=1, grasps=1):
    """Options of `toyshift toys grasps`."""

    out: Path
    """Folder of the files; an interrupted run goes on where it was."""
    robot: RobotName = "panda"
    """Whose gripper, and whose reach."""
    drops: int = 4
    """Times that each object is put on the table, in a rest pose each."""
    grasps: int = 16
    """Most grasps per drop and search (from above, in 6 degrees of freedom), spread over those found, best to worst."""
    simulate: bool = False
    """Try each grasp in simulation (about a second each)."""


def main(cfg: Config) -> dict[str, Any]:
    """Writes grasps of every object of a set, as poses in its frame; goes on where an earlier run ended.

    Example: toyshift toys grasps ycb-like --out runs/grasps --simulate
    """
    from toyshift.data.grasping.annotations import AnnotateConfig, annotate

    result = annotate(AnnotateConfig(cfg.objects, cfg.out, cfg.robot, cfg.drops, cfg.grasps, cfg.simulate, cfg.seed))
    lifted = "" if result["lifted"] is None else f", {result['lifted']:.1%} lift it in simulation"
    told = f"{result['grasps']} grasps of {result['objects']} objects of {cfg.objects}{lifted}"
    print(f"{told}; without any: {', '.join(result['none']) or 'none'}; {cfg.out}")
    return result
