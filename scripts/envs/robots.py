"""Draws every robot of the registry at its home pose: from the side, from the front, and through its wrist camera.

toyshift envs robots --out runs/robots.png
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from toyshift.core.choices import Quality, RobotName
from toyshift.core.files import atomic_path
from toyshift.core.graphics import gl_backend
from toyshift.core.progress import track
from toyshift.scripts.options import Common

VIEWS = ("film", "front", "wrist")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Common, size=(64, 512), columns=(1, 100)):
    """Options of `toyshift envs robots`."""

    out: Path
    """The picture, a PNG file."""
    robot: Annotated[tuple[RobotName, ...], tyro.conf.UseAppendAction] = ()
    """Robot to draw; give it several times for several; none is all."""
    objects: str = "ycb-like"
    """Object set; the first object that the seed draws lies on the table."""
    size: int = 256
    """Height and width of one view [pixels]."""
    columns: int = 2
    """Robots side by side."""
    quality: Quality = "high"
    """high: shadows and full meshes; fast: what policies see."""


def main(cfg: Config) -> dict[str, Any]:
    """Draws every robot at its home pose, each with its name, its joints and its gripper.

    Example: toyshift envs robots --out runs/robots.png
    """
    gl_backend()  # nothing is written where nothing can be rendered
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    from toyshift.envs import EnvConfig, GraspEnv
    from toyshift.envs.robots import ROBOTS, get_robot

    robots = [get_robot(name) for name in dict.fromkeys(cfg.robot or ROBOTS)]
    label = 24
    wide, high = len(VIEWS) * cfg.size, cfg.size + label
    sheet = Image.new("RGB", (cfg.columns * wide, -(-len(robots) // cfg.columns) * high), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for i, robot in enumerate(track(robots, "robots")):
        env = GraspEnv(EnvConfig(objects=cfg.objects, robot=robot.name, quality=cfg.quality, start_noise=0.0))
        try:
            env.reset(seed=cfg.seed)
            views = np.concatenate([env.picture(cfg.size, view) for view in VIEWS], axis=1)
        finally:
            env.close()
        x, y = i % cfg.columns * wide, i // cfg.columns * high
        told = f"{robot.name}: {len(robot.joints)} joints, {Path(robot.gripper.file).stem}"
        draw.text((x + 4, y + 3), told, "black", font)
        sheet.paste(Image.fromarray(views), (x, y + label))
    with atomic_path(cfg.out) as temporary:
        sheet.save(temporary, format="PNG")
    print(f"{len(robots)} robots: {cfg.out}")
    return {"out": cfg.out, "robots": [robot.name for robot in robots]}
