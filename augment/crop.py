"""A part of each image in place of the whole: of any dataset, without a simulator; masks and intrinsics follow."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.augment.augmentation import Augmentation
from toyshift.augment.draws import Draw, FactorSpan
from toyshift.core.arrays import Array
from toyshift.core.contract import image_key, mask_key
from toyshift.data.episode import Frames

SPAN, USUAL = FactorSpan("scale", 0.1, 1.0), Draw(0.8, 1.0)


@dataclasses.dataclass(frozen=True)
class Crop(Augmentation):
    """One window for each camera of a copy, anywhere in the image, drawn at the image's size.

    Attributes:
        scale: side of the window, as a share of the image's.
    """

    scale: Draw = USUAL

    states = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.scale.check(SPAN)

    def frames(self, frames: Frames, cameras: Sequence[str], rng: np.random.Generator) -> Frames:
        changed = dict(frames)
        for camera in cameras:
            scale = self.scale.draw(SPAN, rng)
            images = frames[image_key(camera)]
            height, width = images.shape[1:3]
            corner = rng.random(2) * (1 - scale) * (height, width)  # upper and left edge [pixels]
            changed[image_key(camera)] = window(images, corner, scale)
            if mask_key(camera) in frames:
                changed[mask_key(camera)] = window(frames[mask_key(camera)], corner, scale, nearest=True)
            if (key := f"camera.{camera}.intrinsics") in frames:
                moved = frames[key].copy()
                moved[:, 0, 2] -= corner[1]
                moved[:, 1, 2] -= corner[0]
                moved[:, :2] /= scale
                changed[key] = moved
        return changed


def window(images: NDArray[Any], corner: Array, scale: float, nearest: bool = False) -> NDArray[Any]:
    """Returns windows of images (T, H, W, ...) at the images' size, between pixels interpolated, or the nearest one."""
    weights = []
    for side, low in zip(images.shape[1:3], corner, strict=True):
        at = np.clip(low + (np.arange(side) + 0.5) * scale - 0.5, 0, side - 1)
        weights.append((np.floor(at).astype(int), np.minimum(np.floor(at).astype(int) + 1, side - 1), at % 1))
    (top, bottom, down), (left, right, across) = weights
    if nearest:
        rows, columns = np.where(down < 0.5, top, bottom), np.where(across < 0.5, left, right)
        return np.ascontiguousarray(images[:, rows][:, :, columns])
    down, across = down[:, None, None], across[:, None]
    upper = images[:, top][:, :, left] * (1 - across) + images[:, top][:, :, right] * across
    lower = images[:, bottom][:, :, left] * (1 - across) + images[:, bottom][:, :, right] * across
    return np.asarray(np.rint(upper * (1 - down) + lower * down), dtype=np.uint8)
