"""A bright scene with one object and nothing else, for pictures."""

from __future__ import annotations

import mujoco
import numpy as np

from toyshift.core.contract import MASK_BACKGROUND, MASK_TARGET
from toyshift.envs.rotations import facing, matrix_to_quat
from toyshift.envs.scene.bodies import add_mesh_object
from toyshift.envs.scene.build import OBJECT
from toyshift.envs.scene.scene import Drawable
from toyshift.envs.scene.spec import VISIBLE
from toyshift.toys.model import GraspObject


def build_object_scene(obj: GraspObject) -> Drawable:
    """Compiles a bright scene with one object, no robot, and the camera "portrait", for pictures."""
    spec = mujoco.MjSpec()
    spec.visual.map.znear, spec.visual.map.zfar = 0.005, 20.0
    spec.visual.headlight.ambient, spec.visual.headlight.diffuse = (0.5,) * 3, (0.35,) * 3
    spec.stat.extent, spec.stat.center = 1.0, (0.0, 0.0, 0.0)
    world = spec.worldbody
    plane, sun = mujoco.mjtGeom.mjGEOM_PLANE, mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
    world.add_geom(name="ground", type=plane, size=(3, 3, 5), rgba=(0.93, 0.93, 0.95, 1), group=VISIBLE)
    world.add_light(name="key", pos=(0.6, -0.4, 1.0), dir=(-0.5, 0.35, -0.9), diffuse=(0.5,) * 3, type=sun)
    turn, lift = np.radians(-55.0), np.radians(35.0)
    back = np.array([np.cos(lift) * np.cos(turn), np.cos(lift) * np.sin(turn), np.sin(lift)])
    world.add_camera(name="portrait", pos=back, quat=matrix_to_quat(facing(back)), fovy=30)
    body = world.add_body(name=OBJECT)
    body.add_freejoint(name=OBJECT)
    add_mesh_object(spec, body, obj)
    model = spec.compile()
    label = np.where(model.geom_bodyid == model.body(OBJECT).id, MASK_TARGET, MASK_BACKGROUND).astype(np.uint8)
    return Drawable(model=model, data=mujoco.MjData(model), label=label, number=np.zeros_like(label), loaded=(obj.id,))
