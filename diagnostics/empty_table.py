"""A picture of the empty table by each camera, as someone would take it before an object is put there."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import mujoco

from toyshift.core.arrays import Image
from toyshift.core.errors import ConfigError
from toyshift.core.world import World
from toyshift.envs.cameras import MOUNT, Camera

if TYPE_CHECKING:
    from toyshift.envs.tasks.grasp import GraspEnv

AWAY = -10.0  # height of what is not to be seen [m]: below the floor


def _simulated(world: World) -> GraspEnv:
    """Returns ToyShift's own environment; raises ConfigError where it is another."""
    if not hasattr(world, "scene"):
        told = "the empty table can only be seen in ToyShift's own environment"
        raise ConfigError(f"masks background: {told}; give background:FOLDER, a folder with pictures of it")
    return cast("GraspEnv", world)


def empty_table(world: World) -> dict[str, Image]:
    """Returns what every camera would see now if no object lay on the table {camera: (H, W, 3)}; nothing is changed.

    Raises:
        ConfigError: it is not ToyShift's own environment.
    """
    env = _simulated(world)
    model, data, bodies = env.scene.model, env.scene.data, (env.scene.target, *env.scene.beside)
    heights = [data.qpos[body.qpos][2] for body in bodies]
    try:
        for body in bodies:
            data.qpos[body.qpos.start + 2] = AWAY
        mujoco.mj_kinematics(model, data)
        return {camera: env.picture(size, camera) for camera, size in env.config.image_sizes.items()}
    finally:
        for body, height in zip(bodies, heights, strict=True):
            data.qpos[body.qpos.start + 2] = height
        mujoco.mj_kinematics(model, data)


def moving_cameras(world: World) -> frozenset[str]:
    """Returns the names of the cameras that the robot carries; raises as `empty_table`."""
    given = _simulated(world).config.cameras
    mounted = [one.name for one in given if isinstance(one, Camera) and (one.body or one.name == MOUNT)]
    return frozenset([MOUNT, *mounted])
