"""Paints over the textures of a compiled scene, and gives them their own images back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from toyshift.core.arrays import Array, Image
from toyshift.envs.scene.scene import Scene


def original_image(scene: Scene, texture: int) -> Image:
    """Returns the image (height, width, channels) that a texture was compiled with; not to be written to."""
    return scene.painted[texture] if texture in scene.painted else _present(scene.model, texture)


def paint(scene: Scene, images: Mapping[int, Array]) -> None:
    """Writes images (0..255, rounded here) into textures, and gives all others their own back.

    Counts up what a renderer must upload again.
    """
    for texture in [*scene.painted, *(t for t in images if t not in scene.painted)]:
        present = _present(scene.model, texture)
        if texture in images:
            scene.painted.setdefault(texture, present.copy())
            wanted = np.clip(np.rint(images[texture]), 0, 255).astype(np.uint8)
        else:
            wanted = scene.painted.pop(texture)
        if not np.array_equal(present, wanted):
            present[...] = wanted
            scene.paint_version[texture] = scene.paint_version.get(texture, 0) + 1


def _present(model: Any, texture: int) -> Image:
    start = model.tex_adr[texture]
    shape = (model.tex_height[texture], model.tex_width[texture], model.tex_nchannel[texture])
    view: Image = model.tex_data[start : start + int(np.prod(shape))].reshape(shape)
    return view
