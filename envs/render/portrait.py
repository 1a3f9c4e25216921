"""A bright scene with one object and nothing else, for pictures."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
import trimesh

from toyshift.core.contract import MASK_BACKGROUND, MASK_TARGET
from toyshift.envs.rotations import facing, matrix_to_quat
from toyshift.envs.scene.bodies import add_mesh_object
from toyshift.envs.scene.build import OBJECT
from toyshift.envs.scene.scene import Drawable
from toyshift.envs.scene.spec import VISIBLE
from toyshift.toys.model import GraspObject, VisualMesh

CREASE = np.radians(30.0)  # edges sharper than this are seen as edges; a round toy's facets are 11 degrees apart
FOVY = 6.0  # so narrow that near and far parts are drawn at the same scale, within 5 % [deg]
_TURN, _LIFT = np.radians(-55.0), np.radians(35.0)
BACKWARD = np.array([np.cos(_LIFT) * np.cos(_TURN), np.cos(_LIFT) * np.sin(_TURN), np.sin(_LIFT)])  # to the camera


def smooth(obj: GraspObject) -> GraspObject:
    """A toy of one colour drawn as its surface, round where it is round, in place of its collision geoms."""
    if obj.visual is not None or len({geom.rgba for geom in obj.geoms}) != 1:
        return obj
    surface = trimesh.graph.smooth_shade(obj.mesh, angle=CREASE)
    vertices, faces = np.asarray(surface.vertices, np.float32), np.asarray(surface.faces, np.int32)
    return dataclasses.replace(obj, visual=VisualMesh(vertices, faces, rgba=obj.rgba))


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
    world.add_camera(name="portrait", pos=BACKWARD, quat=matrix_to_quat(facing(BACKWARD)), fovy=FOVY)
    body = world.add_body(name=OBJECT)
    body.add_freejoint(name=OBJECT)
    add_mesh_object(spec, body, smooth(obj))
    model = spec.compile()
    label = np.where(model.geom_bodyid == model.body(OBJECT).id, MASK_TARGET, MASK_BACKGROUND).astype(np.uint8)
    return Drawable(model=model, data=mujoco.MjData(model), label=label, number=np.zeros_like(label), loaded=(obj.id,))
