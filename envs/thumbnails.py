"""Pictures of objects for people: one object, or a contact sheet of a set."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from toyshift.envs.portrait import build_object_scene
from toyshift.envs.render import Renderer
from toyshift.envs.scene import Scene
from toyshift.toys.model import GraspObject

MARGIN = 1.25  # how much room is left around an object


def thumbnail(obj: GraspObject, size: int = 160) -> NDArray[np.uint8]:
    """Returns a picture (size, size, 3) uint8 of an object in its most probable rest pose, filling the frame."""
    scene = build_object_scene(obj)
    pose = max(obj.rest_poses, key=lambda rest: rest.probability)
    data = scene.data
    data.qpos[scene.object_qpos] = [0.0, 0.0, pose.height, *pose.quat]
    mujoco.mj_forward(scene.model, data)
    _frame(scene, obj)
    renderer = Renderer(scene, "high", size)
    try:
        return renderer.render("portrait", size, mask=False)[0]
    finally:
        renderer.close()


def _frame(scene: Scene, obj: GraspObject) -> None:
    """Turns the camera so that the object's bounding sphere fills the picture."""
    model = scene.model
    vertices = np.asarray(obj.mesh.vertices) @ scene.data.xmat[scene.object_body].reshape(3, 3).T + scene.data.xpos[scene.object_body]
    centre = 0.5 * (vertices.min(axis=0) + vertices.max(axis=0))
    radius = float(np.linalg.norm(vertices - centre, axis=1).max())
    camera = model.camera("portrait").id
    distance = MARGIN * radius / np.tan(0.5 * np.radians(model.cam_fovy[camera]))
    backward = scene.data.cam_xmat[camera].reshape(3, 3)[:, 2]
    model.cam_pos[camera] = centre + distance * backward
    mujoco.mj_camlight(model, scene.data)
    mujoco.mj_forward(model, scene.data)


def contact_sheet(objects: Any, columns: int = 10, size: int = 128, limit: int = 100) -> NDArray[np.uint8]:
    """Returns a picture of up to `limit` objects of a set in rows, each with its name.

    Args:
        objects: an ObjectSet, or any iterable of GraspObjects.
        columns: objects per row.
        size: side of one picture [pixels].
        limit: at most this many objects, evenly chosen.
    """
    items = list(objects) if len(objects) <= limit else [objects[int(i)] for i in np.linspace(0, len(objects) - 1, limit).round()]
    rows = -(-len(items) // columns)
    label = 14
    sheet = Image.new("RGB", (min(columns, len(items)) * size, rows * (size + label)), "white")
    draw = ImageDraw.Draw(sheet)
    for i, obj in enumerate(items):
        x, y = i % columns * size, i // columns * (size + label)
        sheet.paste(Image.fromarray(thumbnail(obj, size)), (x, y))
        draw.text((x + 3, y + size + 1), obj.id[: size // 7], fill="black")
    return np.asarray(sheet)
