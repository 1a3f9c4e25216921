"""Masks from images: the interface of detectors, and one without weights, for uniform tables with one object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Float32, Image, Mask
from toyshift.core.contract import MASK_BACKGROUND, MASK_TARGET

Images = Mapping[str, Image]
Masks = dict[str, Mask]

DARK = 30.0  # added to the sum of the channels: black has no colour
NEAR = 0.05  # chromaticity within which pixels surely are the table's
CHROMA_SPREADS = 2.0  # width of the table's chromaticity, in spreads
BRIGHTNESS_MARGIN = 20.0  # of 255
GREY = 20.0  # largest difference between channels of what counts as the robot's grey
SMALLEST = 6  # pixels


class MaskProvider(Protocol):
    """Finds the target in the images of one episode."""

    def masks(self, images: Images) -> Masks:
        """Returns label masks {camera: (H, W) uint8} of images {camera: (H, W, 3) uint8 sRGB}.

        The target is MASK_TARGET. Called for every observation that a policy sees, in order; a new provider is made for
        every episode.
        """
        ...


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
            out[camera] = np.where(_blob(image, self._tables[camera]), MASK_TARGET, MASK_BACKGROUND).astype(np.uint8)
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


def _blob(image: Image, table: _Table) -> NDArray[np.bool_]:
    """Marks (H, W) the object's pixels; none where every blob is smaller than SMALLEST."""
    from scipy.ndimage import label

    chroma, brightness = _colour(image)
    middle, half = (table.low + table.high) / 2, (table.high - table.low) / 2 + BRIGHTNESS_MARGIN
    is_table = np.linalg.norm(chroma - table.centre, axis=-1) <= CHROMA_SPREADS * table.spread
    is_table &= np.abs(brightness - middle) <= half
    pixels = image.astype(np.int16)
    grey = pixels.max(axis=-1) - pixels.min(axis=-1) < GREY
    regions, _ = label(~is_table)
    at_border = np.unique(np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]]))
    found = ~is_table & (~grey | ~np.isin(regions, at_border))
    blobs, count = label(found, np.ones((3, 3)))
    sizes = np.bincount(blobs.ravel(), minlength=count + 1)[1:]
    if count == 0 or sizes.max() < SMALLEST:
        return np.zeros(found.shape, dtype=bool)
    return np.asarray(blobs == 1 + int(sizes.argmax()))
