"""Draws every robot of the registry over a toy: the whole of it, its hand, and what its two cameras see.

toyshift envs robots --out runs/robots.png
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from toyshift.core.choices import Quality, RobotName
from toyshift.core.errors import MissingDependencyError
from toyshift.core.files import atomic_path
from toyshift.core.graphics import gl_backend
from toyshift.core.progress import track
from toyshift.scripts.options import Common

if TYPE_CHECKING:
    from toyshift.core.arrays import Array
    from toyshift.envs import GraspEnv

VIEWS = {"whole": "the robot", "hand": "its hand", "front": "front camera", "wrist": "wrist camera"}  # camera: label
LOWERED = 0.12  # of the hand below its home, so that the front camera sees it [m]
LOWEST = 0.1  # height of a small robot's [m]
HAND = 0.13  # radius of the sphere around a hand, from its grasp site upward [m]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Common, size=(64, 512), columns=(1, 100)):
    """Options of `toyshift envs robots`."""

    out: Path
    """The picture, a PNG file."""
    robot: Annotated[tuple[RobotName, ...], tyro.conf.UseAppendAction] = ()
    """Robot to draw; give it several times for several; none is all."""
    objects: str = "toys:train?n=6"
    """Object set; the first object that the seed draws lies on the table."""
    size: int = 256
    """Height and width of one view [pixels]."""
    columns: int = 1
    """Robots side by side."""
    quality: Quality = "high"
    """high: shadows and full meshes; fast: what policies see."""


def main(cfg: Config) -> dict[str, Any]:
    """Draws every robot with its hand over an object, each with its name, its joints and its gripper.

    Example: toyshift envs robots --out runs/robots.png
    """
    gl_backend()  # nothing is written where nothing can be rendered
    from PIL import Image, ImageDraw, ImageFont

    from toyshift.envs import EnvConfig, GraspEnv
    from toyshift.envs.robots import ROBOTS, get_robot

    robots, absent = [], []
    for name in dict.fromkeys(cfg.robot or ROBOTS):
        try:
            get_robot(name).require_files()
        except MissingDependencyError as error:
            if cfg.robot:
                raise
            absent.append(f"left out is {name}: {error}")
        else:
            robots.append(get_robot(name))
    letters = max(10, cfg.size // 14)  # height of a letter [pixels]
    label, gap = round(2.2 * letters), max(2, cfg.size // 64)
    wide, high = len(VIEWS) * (cfg.size + gap) + 3 * gap, cfg.size + label
    sheet = Image.new("RGB", (cfg.columns * wide - 4 * gap, -(-len(robots) // cfg.columns) * high), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(letters)
    small = ImageFont.load_default(0.8 * letters)
    for i, robot in enumerate(track(robots, "robots")):
        env = GraspEnv(EnvConfig(
            objects=cfg.objects, robot=robot.name, quality=cfg.quality, cameras=cameras(), start_noise=0.0
        ))  # fmt: skip
        x, y = i % cfg.columns * wide, i // cfg.columns * high
        draw.text((x + 4, y + 0.5 * letters), told(robot), "#111", font)
        try:
            pose(env, cfg.seed)
            for k, (camera, text) in enumerate(VIEWS.items()):
                corner = (x + k * (cfg.size + gap), y + label)
                sheet.paste(Image.fromarray(env.picture(cfg.size, camera)), corner)
                _tag(draw, text, corner, small)
        finally:
            env.close()
    with atomic_path(cfg.out) as temporary:
        sheet.quantize(256, Image.Quantize.MAXCOVERAGE).save(temporary, format="PNG", optimize=True)
    print("\n".join([f"{len(robots)} robots: {cfg.out}", *absent]))
    return {"out": cfg.out, "robots": [robot.name for robot in robots]}


def cameras() -> tuple[Any, ...]:
    """Returns the cameras of the views: two for people, which `aim` moves nearer, and what policies see through."""
    from toyshift.envs.cameras import Camera

    people = (Camera(name, position=(2.0, -1.4, 1.1), look_at=(0, 0, 0.35)) for name in ("whole", "hand"))
    return (*people, "front", "wrist")


def pose(env: GraspEnv, seed: int) -> None:
    """Starts an episode, brings the hand down over the object, and aims the cameras for people."""
    import numpy as np

    from toyshift.envs import Look

    env.reset(seed=seed, options={"look": Look(light=1.15)})
    lowered = min(LOWERED, env.hand_pose()[0][2] - LOWEST)
    for _ in range(4):
        env.advance(env.action_for(np.array([0, 0, -lowered / 4]), np.zeros(3), 1.0))
    place, rotation = env.hand_pose()
    aim(env, "whole", *whole(env))
    aim(env, "hand", place - 0.6 * HAND * rotation[:, 2], HAND)


def told(robot: Any) -> str:
    """The line above a robot's pictures."""
    opening = f"opens {robot.gripper.opening * 1000:.0f} mm"
    gripper = Path(robot.gripper.file or robot.gripper.kind).stem.replace("_", " ")
    return f"{robot.name}: {len(robot.joints)} joints, {gripper}, {opening}"


def whole(env: GraspEnv) -> tuple[Array, float]:
    """Returns middle (3,) and radius of a sphere around what is drawn of the robot [m]."""
    import numpy as np

    from toyshift.core.contract import MASK_ROBOT
    from toyshift.envs.scene.spec import VISIBLE

    model, data = env.scene.model, env.scene.data
    shown = (env.scene.label == MASK_ROBOT) & (model.geom_group == VISIBLE)
    places, reach = data.geom_xpos[shown], model.geom_rbound[shown]
    middle = 0.5 * ((places - reach[:, None]).min(axis=0) + (places + reach[:, None]).max(axis=0))
    return middle, float((np.linalg.norm(places - middle, axis=1) + reach).max())


def aim(env: GraspEnv, camera: str, middle: Array, radius: float) -> None:
    """Moves a camera, turned as it is, so that a sphere just fits its picture."""
    import mujoco
    import numpy as np

    model, data = env.scene.model, env.scene.data
    index = model.camera(camera).id
    backward = data.cam_xmat[index].reshape(3, 3)[:, 2]
    model.cam_pos[index] = middle + radius / np.sin(0.5 * np.radians(model.cam_fovy[index])) * backward
    mujoco.mj_camlight(model, data)


def _tag(pen: Any, text: str, corner: tuple[int, int], font: Any) -> None:
    """Writes what a picture shows into its upper left corner."""
    _, _, right, bottom = pen.textbbox((corner[0] + 5, corner[1] + 3), text, font)
    pen.rectangle((corner[0], corner[1], right + 5, bottom + 4), fill="white")
    pen.text((corner[0] + 5, corner[1] + 3), text, "#111", font)
