"""A detector of masks without weights and without a prompt, for uniform tables with one object."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from toyshift.core.arrays import Float32, Image
from toyshift.policies.masks.blobs import largest, without_robot
from toyshift.policies.masks.provider import Found, Images, Masks, labels

DARK = 30.0  # added to the sum of the channels: black has no colour
NEAR = 0.05  # chromaticity within which pixels surely are the table's
CHROMA_SPREADS = 2.0  # width of the table's chromaticity, in spreads
BRIGHTNESS_MARGIN = 20.0  # of 255


class _Table(NamedTuple):
    """What a table looks like: chromaticity (2,), its spread, and the range of brightness."""

    centre: Float32
    spread: float
    low: float
    high: float


class ColourDetector:
    """The largest blob that has neither the table's colour nor the robot's grey; away from the borders any colour.

    The table's colour is the middle of each camera's first image in an episode. No weights and no download; and so no
    way to tell one object from others, or an object of the table's colour from the table (IoU: docs/policies.md).
    """

    def __init__(self) -> None:
        self._tables: dict[str, _Table] = {}

    def masks(self, images: Images) -> Masks:
        out: Masks = {}
        for camera, image in images.items():
            if camera not in self._tables:
                self._tables[camera] = _table_of(image)
            out[camera] = labels(_blob(image, self._tables[camera]))
        return out


def _colour(image: Image) -> tuple[Float32, Float32]:
    """Returns chromaticity (H, W, 2) and brightness (H, W) of 255."""
    pixels = image.astype(np.float32)
    total = pixels.sum(axis=-1)
    return pixels[..., :2] / (total[..., None] + np.float32(DARK)), total / np.float32(3.0)


def _table_of(image: Image) -> _Table:
    chroma, brightness = _colour(image)
    distance = np.linalg.norm(chroma - np.median(chroma.reshape(-1, 2), axis=0), axis=-1)
    near = distance <= max(NEAR, float(distance.min()))
    centre = chroma[near].mean(axis=0)
    low, high = np.quantile(brightness[near], (0.01, 0.99))
    spread = float(np.quantile(np.linalg.norm(chroma[near] - centre, axis=-1), 0.98))
    return _Table(centre, spread, float(low), float(high))


def _blob(image: Image, table: _Table) -> Found:
    """Marks (H, W) the object's pixels; none where every blob is smaller than SMALLEST."""
    chroma, brightness = _colour(image)
    middle, half = (table.low + table.high) / 2, (table.high - table.low) / 2 + BRIGHTNESS_MARGIN
    is_table = np.linalg.norm(chroma - table.centre, axis=-1) <= CHROMA_SPREADS * table.spread
    is_table &= np.abs(brightness - middle) <= half
    return largest(without_robot(~is_table, image))
