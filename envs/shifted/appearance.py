"""Writes what an episode looks like into a scene's model: camera, lights, colours and textures."""

from __future__ import annotations

import dataclasses

import numpy as np

from toyshift.core.arrays import Array
from toyshift.envs.rotations import matrix_to_quat, rotvec_to_matrix
from toyshift.envs.scene.painting import original_image, paint
from toyshift.envs.scene.scene import Scene
from toyshift.envs.scene.surroundings import FRONT_FOVY, front_camera_pose
from toyshift.envs.shifts import OBJECT_COLOURS, TRAINING, Drawn, Look, Variation


@dataclasses.dataclass
class Appearance:
    """What an episode looks like; shifts change it before it is written into the model.

    Colours of geoms are changed in the model at once: they have been set to the look's.

    Attributes:
        scene: the scene.
        table, background: material ids of the table, and of floor and wall.
        azimuth, raised, distance: of the front camera, see `front_camera_pose` [deg], [deg], factor.
        gain: factor on the lights.
        fovy: the front camera's vertical field of view [deg].
        tint: factors (3,) on the lights' colour.
        tilt: rotation (3, 3) of the lights' directions.
        images: texture id -> image (height, width, channels), 0..255, of what is painted.
    """

    scene: Scene
    table: int
    background: int
    azimuth: float
    gain: float
    raised: float = 0.0
    distance: float = 1.0
    fovy: float = FRONT_FOVY
    tint: Array = dataclasses.field(default_factory=lambda: np.ones(3))
    tilt: Array = dataclasses.field(default_factory=lambda: np.eye(3))
    images: dict[int, Array] = dataclasses.field(default_factory=dict)

    def image(self, texture: int) -> Array:
        """Returns a texture's image as it has been painted so far; not to be written to."""
        painted = self.images.get(texture)
        return original_image(self.scene, texture).astype(np.float64) if painted is None else painted


def write_appearance(scene: Scene, look: Look, variation: Variation = TRAINING) -> None:
    """Writes look and variation into the scene's model; what neither of them changes is as it was compiled."""
    model, looks = scene.model, scene.looks
    table, background = looks.table_materials[look.table], looks.background_materials[look.background]
    model.geom_matid[looks.table_geom] = table
    model.geom_matid[list(looks.background_geoms)] = background
    visuals = looks.target_visuals
    if look.object_colour:
        model.geom_matid[visuals] = -1
        model.geom_rgba[visuals] = (*OBJECT_COLOURS[look.object_colour], 1.0)
    else:
        model.geom_matid[visuals], model.geom_rgba[visuals] = looks.target_materials, looks.target_rgba
    model.geom_rgba[looks.robot_visuals] = looks.robot_rgba

    seen = Appearance(scene, table, background, look.azimuth, look.light)
    for apply, drawn in variation.at("appearance"):
        apply(seen, drawn)

    model.light_diffuse[:] = looks.light_diffuse * seen.gain
    model.vis.headlight.ambient[:] = looks.headlight_ambient * seen.gain
    model.light_diffuse[:] *= seen.tint
    model.vis.headlight.ambient[:] *= seen.tint
    model.light_dir[:] = looks.light_dir @ seen.tilt.T
    position, rotation = front_camera_pose(seen.azimuth, seen.raised, seen.distance)
    front = model.camera("front").id
    model.cam_pos[front], model.cam_quat[front], model.cam_fovy[front] = position, matrix_to_quat(rotation), seen.fovy
    paint(scene, seen.images)


# ---------------------------------------------------------------- shifts of camera and lights


def azimuth(seen: Appearance, drawn: Drawn) -> None:
    seen.azimuth += drawn.value


def elevation(seen: Appearance, drawn: Drawn) -> None:
    seen.raised += drawn.value


def distance(seen: Appearance, drawn: Drawn) -> None:
    seen.distance *= drawn.value


def field_of_view(seen: Appearance, drawn: Drawn) -> None:
    seen.fovy += drawn.value


def light_direction(seen: Appearance, drawn: Drawn) -> None:
    axis = 2 * np.pi * drawn.draws[0]
    seen.tilt = rotvec_to_matrix(np.radians(drawn.value) * np.array([np.cos(axis), np.sin(axis), 0.0]))


def light_intensity(seen: Appearance, drawn: Drawn) -> None:
    seen.gain *= drawn.value


def light_colour(seen: Appearance, drawn: Drawn) -> None:
    colour = np.asarray(drawn.draws)
    seen.tint = 1 + drawn.value * (colour / colour.max() - 1)
