"""Shifts of colours and textures: of table and background, of the object and the robot."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np

from toyshift.core.arrays import Array, Indices
from toyshift.envs.scene.build import Extras
from toyshift.envs.shifted.appearance import Appearance
from toyshift.envs.shifts import Drawn
from toyshift.envs.textures import drawn_texture, printed_pattern


def table_texture(seen: Appearance, drawn: Drawn) -> None:
    _into_a_drawn_one(seen, seen.table, drawn)


def background(seen: Appearance, drawn: Drawn) -> None:
    _into_a_drawn_one(seen, seen.background, drawn)


def table_colour(seen: Appearance, drawn: Drawn) -> None:
    texture = texture_of(seen, seen.table)
    image = seen.image(texture)
    seen.images[texture] = image + drawn.value * (255 * drawn.colour - image.mean(axis=(0, 1)))


def robot_colour(seen: Appearance, drawn: Drawn) -> None:
    _blend(seen, seen.scene.looks.robot_visuals, drawn)


def object_colour(seen: Appearance, drawn: Drawn) -> None:
    skins = _skins(seen)
    for texture in skins:
        image = seen.image(texture)
        seen.images[texture] = image + drawn.value * (255 * drawn.colour - image)
    if not skins:
        _blend(seen, seen.scene.looks.target_visuals, drawn)


def printable(extras: Extras, _: float) -> Extras:
    return dataclasses.replace(extras, print=True)


def object_texture(seen: Appearance, drawn: Drawn) -> None:
    def contrast(height: int, width: int) -> Array:
        return 1 - drawn.value * (1 - printed_pattern(drawn.seed, height, width)[..., None])

    model, looks = seen.scene.model, seen.scene.looks
    skins = _skins(seen)
    for texture in skins:
        image = seen.image(texture)
        seen.images[texture] = image * contrast(*image.shape[:2])
    if not skins:
        model.geom_matid[looks.target_visuals] = looks.print_material
        texture = texture_of(seen, looks.print_material)
        side = int(model.tex_width[texture])
        seen.images[texture] = 255 * np.tile(contrast(side, side), (6, 1, 3))  # six faces of a cube


def texture_of(seen: Appearance, material: int) -> int:
    """Returns the id of a material's texture."""
    return int(seen.scene.model.mat_texid[material, mujoco.mjtTextureRole.mjTEXROLE_RGB])


def _skins(seen: Appearance) -> list[int]:
    """Returns the textures on the object: a scan has its colours in an image, primitives have none."""
    materials = {int(m) for m in seen.scene.model.geom_matid[seen.scene.looks.target_visuals]} - {-1}
    return [texture_of(seen, material) for material in materials]


def _into_a_drawn_one(seen: Appearance, material: int, drawn: Drawn) -> None:
    texture = texture_of(seen, material)
    blend = (1 - drawn.value) * seen.image(texture) + drawn.value * drawn_texture(drawn.seed)
    seen.images[texture] = np.clip(np.rint(blend), 0, 255)


def _blend(seen: Appearance, geoms: Indices, drawn: Drawn) -> None:
    """Moves the geoms' colours towards the drawn one."""
    rgba = seen.scene.model.geom_rgba
    rgba[geoms, :3] = (1 - drawn.value) * rgba[geoms, :3] + drawn.value * drawn.colour
