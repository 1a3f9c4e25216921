"""Pictures of objects for people: one object, or a contact sheet of a set."""

from __future__ import annotations

import mujoco
import numpy as np

from toyshift.core.arrays import Image
from toyshift.envs.render.portrait import build_object_scene
from toyshift.envs.render.renderer import Renderer
from toyshift.envs.scene.build import OBJECT
from toyshift.envs.scene.scene import Drawable
from toyshift.toys.model import GraspObject

MARGIN = 1.25  # how much room is left around an object


def thumbnail(obj: GraspObject, size: int = 160) -> Image:
    """Returns a picture (size, size, 3) uint8 of an object in its most probable rest pose, filling the frame."""
    scene = build_object_scene(obj)
    pose = max(obj.rest_poses, key=lambda rest: rest.probability)
    data = scene.data
    data.qpos[:7] = [0.0, 0.0, pose.height, *pose.quat]
    mujoco.mj_forward(scene.model, data)
    _frame(scene, obj)
    renderer = Renderer(scene, "high", size)
    try:
        return renderer.render("portrait", size, mask=False)[0]
    finally:
        renderer.close()


def _frame(scene: Drawable, obj: GraspObject) -> None:
    """Turns the camera so that the object's bounding sphere fills the picture."""
    model, body = scene.model, scene.data.body(OBJECT)
    vertices = np.asarray(obj.mesh.vertices) @ body.xmat.reshape(3, 3).T + body.xpos
    centre = 0.5 * (vertices.min(axis=0) + vertices.max(axis=0))
    radius = float(np.linalg.norm(vertices - centre, axis=1).max())
    camera = model.camera("portrait").id
    distance = MARGIN * radius / np.tan(0.5 * np.radians(model.cam_fovy[camera]))
    backward = scene.data.cam_xmat[camera].reshape(3, 3)[:, 2]
    model.cam_pos[camera] = centre + distance * backward
    mujoco.mj_camlight(model, scene.data)
    mujoco.mj_forward(model, scene.data)
