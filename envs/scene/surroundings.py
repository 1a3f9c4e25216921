"""What every scene has besides robot and object: table, floor, wall, lights and the cameras that stand still."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from toyshift.envs.rotations import matrix_to_quat
from toyshift.envs.textures import BACKGROUNDS, TABLES, texture

VISIBLE, HIDDEN = 1, 4  # geom groups: only group 1 is drawn
# twice the usual 4 ms step: MuJoCo scales contact stiffness with mass, and a gripper sinks into light toys otherwise
STIFF = (0.008, 1.0)
TABLE = (0.45, 0.6)  # half sides of the table [m]
FRONT_TARGET = (0.5, 0.0, 0.05)  # what the front camera looks at [m]
FRONT_DISTANCE, FRONT_ELEVATION, FRONT_FOVY = 0.8, 45.0, 40.0  # [m], [deg], [deg]


def front_camera_pose(azimuth: float = 0.0, raised: float = 0.0, distance: float = 1.0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns position (3,) [m] and rotation (3, 3), columns right, up and backward, of the front camera.

    Args:
        azimuth: turn about the vertical through FRONT_TARGET [deg]; 0 faces the robot.
        raised: added to the elevation [deg].
        distance: factor on the distance.
    """
    elevation, turn = np.radians(FRONT_ELEVATION + raised), np.radians(azimuth)
    back = np.array([np.cos(elevation) * np.cos(turn), np.cos(elevation) * np.sin(turn), np.sin(elevation)])
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    return np.asarray(FRONT_TARGET) + FRONT_DISTANCE * distance * back, np.stack([right, np.cross(back, right), back], axis=1)


def add_texture(spec: Any, name: str, image: NDArray[np.uint8]) -> None:
    added = spec.add_texture(name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, width=image.shape[1], height=image.shape[0], nchannel=3)
    added.data = image.tobytes()


def add_surroundings(spec: Any) -> None:
    for kind, looks in (("table", TABLES), ("background", BACKGROUNDS)):
        for i, (pattern, first, second) in enumerate(looks):
            image = texture(pattern, first, second, seed=i)
            add_texture(spec, f"{kind}{i}", image)
            material = spec.add_material(name=f"{kind}{i}", texrepeat=(2, 2) if kind == "table" else (6, 6), specular=0.1, shininess=0.1, reflectance=0.0)
            material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = f"{kind}{i}"
    world = spec.worldbody
    # the table collides as an infinite plane: the most stable contact MuJoCo has, and nothing can fall off
    # (a plane's third size is the spacing of the grid it is drawn with: small spacings cost thousands of triangles)
    world.add_geom(name="table", type=mujoco.mjtGeom.mjGEOM_PLANE, size=(*TABLE, 5), pos=(0.45, 0, 0), material="table0", group=VISIBLE, friction=(1.0, 0.005, 0.0001), solref=STIFF)
    still = {"contype": 0, "conaffinity": 0, "group": VISIBLE, "material": "background0"}
    world.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=(3, 3, 5), pos=(0, 0, -0.75), **still)
    world.add_geom(name="wall", type=mujoco.mjtGeom.mjGEOM_BOX, size=(0.02, 3, 2), pos=(-1.2, 0, 0.5), **still)
    world.add_light(name="key", pos=(0.9, 0.5, 1.8), dir=(-0.3, -0.35, -1), diffuse=(0.55, 0.55, 0.55), specular=(0.15, 0.15, 0.15), type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL)
    world.add_light(name="fill", pos=(0.2, -0.9, 1.6), dir=(0.2, 0.5, -1), diffuse=(0.3, 0.3, 0.3), specular=(0, 0, 0), castshadow=False, type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL)
    position, rotation = front_camera_pose()
    world.add_camera(name="front", pos=position, quat=matrix_to_quat(rotation), fovy=FRONT_FOVY)
    # for people: from the side and far enough to show a lifted object
    film = np.array([0.78, -0.45, 0.44]) / np.linalg.norm([0.78, -0.45, 0.44])
    right = np.cross([0.0, 0.0, 1.0], film)
    right /= np.linalg.norm(right)
    world.add_camera(name="film", pos=np.array([0.45, 0.0, 0.2]) + 1.35 * film, quat=matrix_to_quat(np.stack([right, np.cross(film, right), film], axis=1)), fovy=40)
