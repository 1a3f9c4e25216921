"""What every scene has besides robot and object: table, floor, wall, lights and the cameras that stand still."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from toyshift.core.arrays import Array
from toyshift.envs.rotations import facing, matrix_to_quat
from toyshift.envs.scene.spec import DRAWN, STIFF, VISIBLE, add_material
from toyshift.envs.textures import BACKGROUNDS, TABLES, texture

TABLE = (0.45, 0.6)  # half sides of the table [m]
FRONT_TARGET = (0.5, 0.0, 0.05)  # what the front camera looks at [m]
FRONT_DISTANCE, FRONT_ELEVATION, FRONT_FOVY = 0.8, 45.0, 40.0  # [m], [deg], [deg]


def front_camera_pose(azimuth: float = 0.0, raised: float = 0.0, distance: float = 1.0) -> tuple[Array, Array]:
    """Returns position (3,) [m] and rotation (3, 3), columns right, up and backward, of the front camera.

    Args:
        azimuth: turn about the vertical through FRONT_TARGET [deg]; 0 faces the robot.
        raised: added to the elevation [deg].
        distance: factor on the distance.
    """
    elevation, turn = np.radians(FRONT_ELEVATION + raised), np.radians(azimuth)
    back = np.array([np.cos(elevation) * np.cos(turn), np.cos(elevation) * np.sin(turn), np.sin(elevation)])
    return np.asarray(FRONT_TARGET) + FRONT_DISTANCE * distance * back, facing(back)


def add_surroundings(spec: Any) -> None:
    for kind, looks, repeat in (("table", TABLES, (2, 2)), ("background", BACKGROUNDS, (6, 6))):
        for i, (pattern, first, second) in enumerate(looks):
            image = texture(pattern, first, second, seed=i)
            add_material(spec, f"{kind}{i}", image, texrepeat=repeat, specular=0.1, shininess=0.1, reflectance=0.0)
    world = spec.worldbody
    # the table collides as an infinite plane: the most stable contact MuJoCo has, and nothing can fall off
    # (a plane's third size is the spacing of the grid it is drawn with: small spacings cost thousands of triangles)
    plane, sun = mujoco.mjtGeom.mjGEOM_PLANE, mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
    world.add_geom(
        name="table", type=plane, size=(*TABLE, 5), pos=(0.45, 0, 0), material="table0", group=VISIBLE,
        friction=(1.0, 0.005, 0.0001), solref=STIFF,
    )
    still = DRAWN | {"material": "background0"}
    world.add_geom(name="floor", type=plane, size=(3, 3, 5), pos=(0, 0, -0.75), **still)
    world.add_geom(name="wall", type=mujoco.mjtGeom.mjGEOM_BOX, size=(0.02, 3, 2), pos=(-1.2, 0, 0.5), **still)
    key = {"pos": (0.9, 0.5, 1.8), "dir": (-0.3, -0.35, -1), "diffuse": (0.55,) * 3, "specular": (0.15,) * 3}
    fill = {"pos": (0.2, -0.9, 1.6), "dir": (0.2, 0.5, -1), "diffuse": (0.3,) * 3, "specular": (0.0,) * 3}
    world.add_light(name="key", type=sun, **key)
    world.add_light(name="fill", type=sun, castshadow=False, **fill)
    position, rotation = front_camera_pose()
    world.add_camera(name="front", pos=position, quat=matrix_to_quat(rotation), fovy=FRONT_FOVY)
    # for people: from the side and far enough to show a lifted object
    film = np.array([0.78, -0.45, 0.44]) / np.linalg.norm([0.78, -0.45, 0.44])
    place = np.array([0.45, 0.0, 0.2]) + 1.35 * film
    world.add_camera(name="film", pos=place, quat=matrix_to_quat(facing(film)), fovy=40)
