"""Pictures of objects for people: one object, or a contact sheet of a set."""

from __future__ import annotations

import mujoco
import numpy as np

from toyshift.core.arrays import Array, Image
from toyshift.envs.render.portrait import BACKWARD, FOVY, build_object_scene
from toyshift.envs.render.renderer import Renderer
from toyshift.envs.rotations import facing
from toyshift.envs.scene.build import OBJECT
from toyshift.envs.scene.scene import Drawable
from toyshift.toys.geometry.solid import quat_to_matrix
from toyshift.toys.model import GraspObject

MARGIN = 1.2  # height of a picture, of the object in it


def thumbnail(obj: GraspObject, size: int = 160, span: float | None = None) -> Image:
    """Returns a picture (size, size, 3) uint8 of an object as it stands or lies on a table.

    Args:
        obj: the object.
        size: height and width [pixels].
        span: height and width at the object's middle [m], for pictures of one scale; None fills the frame.
    """
    scene = build_object_scene(obj)
    pose = obj.shown_pose
    data = scene.data
    data.qpos[:7] = [0.0, 0.0, pose.height, *pose.quat]
    mujoco.mj_forward(scene.model, data)
    _frame(scene, obj, span or MARGIN * extent(obj))
    renderer = Renderer(scene, "high", size)
    try:
        return renderer.render("portrait", size, mask=False)[0]
    finally:
        renderer.close()


def extent(obj: GraspObject) -> float:
    """The larger of an object's width and height in its picture [m]."""
    return float((_bounds(obj)[1] - _bounds(obj)[0])[:2].max())


def _bounds(obj: GraspObject) -> tuple[Array, Array]:
    """Least and largest coordinates (3,) of an object in the camera's axes, right, up and backward [m]."""
    seen = np.asarray(obj.mesh.vertices) @ quat_to_matrix(obj.shown_pose.quat).T @ facing(BACKWARD)
    return seen.min(axis=0), seen.max(axis=0)


def _frame(scene: Drawable, obj: GraspObject, span: float) -> None:
    """Moves the camera so that the picture is centred on the object and `span` [m] high there."""
    low, high = _bounds(obj)
    camera = scene.model.camera("portrait").id
    distance = 0.5 * span / np.tan(0.5 * np.radians(FOVY))
    middle = scene.data.body(OBJECT).xpos + facing(BACKWARD) @ (0.5 * (low + high))
    scene.model.cam_pos[camera] = middle + distance * BACKWARD
    mujoco.mj_forward(scene.model, scene.data)
