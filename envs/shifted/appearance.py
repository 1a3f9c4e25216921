"""Writes what an episode looks like into a scene's model: cameras, lights, colours and textures, from a look and a variation."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from toyshift.envs.rotations import matrix_to_quat, rotvec_to_matrix
from toyshift.envs.scene.scene import Scene
from toyshift.envs.scene.surroundings import FRONT_FOVY, front_camera_pose
from toyshift.envs.shifts import OBJECT_COLOURS, TRAINING, Look, Variation
from toyshift.envs.textures import drawn_texture, printed_pattern

Image = NDArray[np.uint8]
Array = NDArray[np.float64]


def write_appearance(scene: Scene, look: Look, variation: Variation = TRAINING) -> None:
    """Writes look and variation into the scene's model; what neither of them changes is as it was compiled."""
    model = scene.model
    table, background = scene.table_materials[look.table], scene.background_materials[look.background]
    model.geom_matid[scene.table_geom] = table
    model.geom_matid[list(scene.background_geoms)] = background
    _light(scene, look.light, variation)
    position, rotation = front_camera_pose(look.azimuth + variation["camera-azimuth"], variation["camera-elevation"], variation["camera-distance"])
    front = model.camera("front").id
    model.cam_pos[front], model.cam_quat[front] = position, matrix_to_quat(rotation)
    model.cam_fovy[front] = FRONT_FOVY + variation["camera-fov"]
    visuals, (material, rgba) = scene.object_visuals, scene.own_colours
    if look.object_colour:
        model.geom_matid[visuals] = -1
        model.geom_rgba[visuals] = (*OBJECT_COLOURS[look.object_colour], 1.0)
    else:
        model.geom_matid[visuals], model.geom_rgba[visuals] = material, rgba
    model.geom_rgba[scene.robot_visuals] = scene.robot_rgba
    _blend(model, scene.robot_visuals, variation, "robot-colour")
    images = _surface_images(scene, table, background, variation) | _object_images(scene, variation)
    _paint(scene, images)


def _light(scene: Scene, gain: float, variation: Variation) -> None:
    model = scene.model
    gain *= variation["light-intensity"]
    model.light_diffuse[:] = scene.light_diffuse * gain
    model.vis.headlight.ambient[:] = scene.headlight_ambient * gain
    model.light_dir[:] = scene.light_dir
    if "light-colour" in variation:
        drawn = np.asarray(variation.draws["light-colour"])
        colour = 1 + variation["light-colour"] * (drawn / drawn.max() - 1)
        model.light_diffuse[:] *= colour
        model.vis.headlight.ambient[:] *= colour
    if "light-direction" in variation:
        axis = 2 * np.pi * variation.draws["light-direction"][0]
        tilt = rotvec_to_matrix(np.radians(variation["light-direction"]) * np.array([np.cos(axis), np.sin(axis), 0.0]))
        model.light_dir[:] = scene.light_dir @ tilt.T


def _blend(model: Any, geoms: NDArray[np.int64], variation: Variation, factor: str) -> None:
    """Moves the geoms' colours towards the drawn one."""
    if factor in variation:
        weight = variation[factor]
        model.geom_rgba[geoms, :3] = (1 - weight) * model.geom_rgba[geoms, :3] + weight * variation.colour(factor)


def _surface_images(scene: Scene, table: int, background: int, variation: Variation) -> dict[int, Image]:
    """Returns texture id -> image of the surfaces that a variation paints."""
    images: dict[int, Image] = {}
    for factor, material in (("table-texture", table), ("background", background)):
        if factor in variation:
            texture, weight = texture_of(scene, material), variation[factor]
            images[texture] = _bytes((1 - weight) * original_image(scene, texture) + weight * drawn_texture(variation.seed(factor)))
    if "table-colour" in variation:
        texture = texture_of(scene, table)
        image = images.get(texture, original_image(scene, texture)).astype(np.float64)
        move = 255 * variation.colour("table-colour") - image.mean(axis=(0, 1))
        images[texture] = _bytes(image + variation["table-colour"] * move)
    return images


def _object_images(scene: Scene, variation: Variation) -> dict[int, Image]:
    """Colours and prints on the object; returns the images of its skin, or of the print that primitives carry."""
    model, visuals = scene.model, scene.object_visuals
    skins = {int(m) for m in model.geom_matid[visuals]} - {-1}
    images: dict[int, Image] = {}
    _blend(model, visuals, variation, "object-colour")
    for material in skins:  # a scan: its colours are in an image
        texture = texture_of(scene, material)
        image = original_image(scene, texture).astype(np.float64)
        if "object-colour" in variation:
            image += variation["object-colour"] * (255 * variation.colour("object-colour") - image)
            model.geom_rgba[visuals] = scene.own_colours[1]
        if "object-texture" in variation:
            image *= _contrast(variation, *image.shape[:2])
        if variation.values.keys() & {"object-colour", "object-texture"}:
            images[texture] = _bytes(image)
    if not skins and "object-texture" in variation:
        model.geom_matid[visuals] = scene.print_material
        texture = texture_of(scene, scene.print_material)
        side = int(model.tex_width[texture])
        images[texture] = _bytes(255 * np.tile(_contrast(variation, side, side), (6, 1, 3)))  # six faces of a cube
    return images


def _contrast(variation: Variation, height: int, width: int) -> Array:
    pattern = printed_pattern(variation.seed("object-texture"), height, width)
    return 1 - variation["object-texture"] * (1 - pattern[..., None])


def _bytes(image: Array) -> Image:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


# ---------------------------------------------------------------- textures of a compiled model


def texture_of(scene: Scene, material: int) -> int:
    """Returns the id of a material's texture."""
    return int(scene.model.mat_texid[material, mujoco.mjtTextureRole.mjTEXROLE_RGB])


def original_image(scene: Scene, texture: int) -> Image:
    """Returns the image (height, width, channels) that a texture was compiled with; not to be written to."""
    return scene.painted[texture] if texture in scene.painted else _image(scene.model, texture)


def _image(model: Any, texture: int) -> Image:
    start, shape = model.tex_adr[texture], (model.tex_height[texture], model.tex_width[texture], model.tex_nchannel[texture])
    view: Image = model.tex_data[start : start + int(np.prod(shape))].reshape(shape)
    return view


def _paint(scene: Scene, images: dict[int, Image]) -> None:
    """Writes images into textures, gives all others their own images back, and counts up what a renderer must upload again."""
    for texture in [*scene.painted, *(t for t in images if t not in scene.painted)]:
        present = _image(scene.model, texture)
        if texture in images:
            scene.painted.setdefault(texture, present.copy())
            wanted = images[texture]
        else:
            wanted = scene.painted.pop(texture)
        if not np.array_equal(present, wanted):
            present[...] = wanted
            scene.paint_version[texture] = scene.paint_version.get(texture, 0) + 1
