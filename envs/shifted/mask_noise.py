"""Mask noise: what a segmentation model gets wrong, done to the target's label of a true mask.

Some errors are drawn anew in every image (`jittered`, `dropped`), others last for the episode (`outlined`, `offset`,
`gone`, `often_wrong`) or are the same everywhere (`eroded`, `dilated`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array, Indices, Mask
from toyshift.core.contract import MASK_BACKGROUND, MASK_OTHER, MASK_TARGET
from toyshift.envs.shifts import Variation

STEPS = 8  # of the bisection for an error's strength
PERIOD = 5.0  # of masks that are gone for a stretch [s]
FIELD, CELLS = 64, 4  # side of a random field that repeats itself, and cells to the target's inner radius


@dataclasses.dataclass(frozen=True)
class Sight:
    """Which image of an episode a mask belongs to: what its noise may depend on.

    Attributes:
        stream: gives the episode's generators by name.
        camera: its name.
        step: control steps since the episode began.
        seconds: time since then [s].
        number: (H, W), which of the objects beside the target is seen, from 1; else 0.
        beside: how many there are, in view or not.
        factor: whose noise is drawn: each factor draws from streams of its own.
    """

    stream: Callable[[str], np.random.Generator]
    camera: str
    step: int
    seconds: float
    number: Mask
    beside: int
    factor: str = ""

    def of_episode(self) -> np.random.Generator:
        """Returns a generator that begins anew in every image of the episode, whichever the camera."""
        return self.stream(self.factor)

    def of_camera(self) -> np.random.Generator:
        """Returns a generator that begins anew in every image of the episode and camera."""
        return self.stream(f"{self.factor}:{self.camera}")

    def of_image(self) -> np.random.Generator:
        """Returns this image's own generator."""
        return self.stream(f"{self.factor}:{self.camera}:{self.step}")


def noisy_mask(mask: Mask, variation: Variation, sight: Sight) -> Mask:
    """Returns the mask (H, W) as a variation spoils it, in the order of `shift_table`.

    Args:
        mask: 0 background, 1 target, 2 other object, 3 robot; not changed.
        variation: what the episode's shifts come to.
        sight: which image it is.
    """
    for apply, drawn in variation.at("mask"):
        mask = apply(mask, drawn.value, dataclasses.replace(sight, factor=drawn.factor))
    return mask


def eroded(mask: Mask, width: float, *_: Sight) -> Mask:
    """Returns the mask whose target has lost a rim of `width` times the radius of the largest circle in it."""
    depth = _depth(mask == MASK_TARGET)
    lost = (depth > 0) & (depth <= width * depth.max())
    return np.where(lost, MASK_BACKGROUND, mask).astype(np.uint8)


def dilated(mask: Mask, width: float, *_: Sight) -> Mask:
    """Returns the mask whose target has gained a rim of `width` times the radius of the largest circle in it."""
    target = mask == MASK_TARGET
    if not target.any():
        return mask
    return np.where(_depth(~target) <= width * _depth(target).max(), MASK_TARGET, mask).astype(np.uint8)


def _without_target(mask: Mask) -> Mask:
    return np.where(mask == MASK_TARGET, MASK_BACKGROUND, mask).astype(np.uint8)


def dropped(mask: Mask, share: float, sight: Sight) -> Mask:
    """Returns the mask, in a share of all images without its target."""
    return _without_target(mask) if sight.of_image().random() < share else mask


def gone(mask: Mask, share: float, sight: Sight) -> Mask:
    """Returns the mask, for a share of every PERIOD at one stretch without its target."""
    begun = sight.of_camera().random()
    return _without_target(mask) if (sight.seconds / PERIOD + begun) % 1.0 < share else mask


def jittered(mask: Mask, iou: float, sight: Sight) -> Mask:
    """Returns the mask with an IoU (`with_iou`), by another error in every image."""
    return with_iou(mask, iou, sight.of_image())


def outlined(mask: Mask, iou: float, sight: Sight) -> Mask:
    """Returns the mask with an IoU (`with_iou`), by an error that the target carries along all through the episode."""
    return with_iou(mask, iou, sight.of_camera())


def offset(mask: Mask, iou: float, sight: Sight) -> Mask:
    """Returns the mask with the target displaced until it has an IoU, one way all through the episode."""
    return displaced(mask, iou, 2 * np.pi * sight.of_camera().random())


def _depth(region: NDArray[np.bool_]) -> Array:
    """Distance of a region's pixels to the nearest pixel outside of it [pixels]; the image's border is not outside."""
    from scipy.ndimage import distance_transform_edt

    depth: Array = distance_transform_edt(region)
    return depth if not region.all() else np.ones(region.shape)


def with_iou(mask: Mask, iou: float, rng: np.random.Generator) -> Mask:
    """Returns a mask whose target overlaps the true one with a given intersection over union, to within one pixel.

    As many pixels are lost as are gained: n of A with (A - n) / (A + n) = iou. The target stays a blob: it becomes the
    A pixels that lie deepest in it, or least far from it, once a smooth random field is added, the weakest that moves
    n. The field lies around the target's middle and grows with it: the same generator makes the same error wherever
    the target is seen.
    """
    from scipy.ndimage import gaussian_filter, map_coordinates

    field = gaussian_filter(rng.standard_normal((FIELD, FIELD)), CELLS, mode="wrap")
    away = np.minimum(np.arange(FIELD), FIELD - np.arange(FIELD)) / CELLS  # from the target's middle [inner radii]
    bump = np.exp(-(away[:, None] ** 2 + away**2) / 4)
    field -= field[0, 0] * bump  # with a peak in its middle the target would stay whatever the strength
    field /= np.abs(field).max()

    def bent(target: NDArray[np.bool_], distance: Array) -> Callable[[float], Array]:
        radius, middle = distance.max(), np.argwhere(target).mean(axis=0)
        places = (np.indices(target.shape) - middle[:, None, None]) * (CELLS / radius)
        around = radius * map_coordinates(field, places, order=1, mode="grid-wrap")
        return lambda strength: distance + strength * around

    return _exchanged(mask, iou, bent)


def displaced(mask: Mask, iou: float, angle: float) -> Mask:
    """Returns a mask whose target is displaced until it overlaps the true one with a given intersection over union.

    Its area is kept, also where the image ends: there it is squeezed against the border.

    Args:
        mask: see `noisy_mask`.
        iou: to be had to within one pixel.
        angle: which way, from the image's right towards its bottom [rad].
    """
    from scipy.ndimage import shift

    way = np.array([np.sin(angle), np.cos(angle)])  # rows, columns

    def bent(_: NDArray[np.bool_], distance: Array) -> Callable[[float], Array]:
        return lambda pixels: np.asarray(shift(distance, pixels * way, order=1, mode="nearest"))

    return _exchanged(mask, iou, bent)


def _exchanged(mask: Mask, iou: float, bend: Callable[[NDArray[np.bool_], Array], Callable[[float], Array]]) -> Mask:
    """Returns the mask whose target has lost and gained as many pixels as an IoU asks for.

    Args:
        mask: see `noisy_mask`.
        iou: intersection over union with the true target.
        bend: of the target (H, W) and the depth in it, negative outside, (H, W) [pixels]: gives what strength of an
            error makes of the depth. The deepest pixels become the target.
    """
    target = mask == MASK_TARGET
    area = int(target.sum())
    changed = round(area * (1 - iou) / (1 + iou))
    if not 0 < changed <= (~target).sum():
        return mask
    bent = bend(target, _depth(target) - _depth(~target))

    def moved(strength: float) -> tuple[Indices, Indices]:
        """Pixels that are lost and gained, the most certain ones first."""
        order = np.argsort(-bent(strength).ravel(), kind="stable")
        new, old = order[:area], order[area:]
        return old[target.ravel()[old]][::-1], new[~target.ravel()[new]]

    low, high = 0.0, 1.0
    while len(moved(high)[0]) < changed and high < 1e3:
        low, high = high, 2 * high
    for _ in range(STEPS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if len(moved(middle)[0]) < changed else (low, middle)
    lost, gained = moved(high)
    out = mask.copy().ravel()
    out[lost[:changed]], out[gained[:changed]] = MASK_BACKGROUND, MASK_TARGET
    return out.reshape(mask.shape)


def often_wrong(mask: Mask, share: float, sight: Sight) -> Mask:
    """Returns the mask, in a share of the episodes with the target's label on something else.

    That is one object beside the target, the same in all images of all cameras (those that do not see it show no
    target), and the target is an other object. With nothing beside it the target's outline is found in another place.
    """
    coin, choice, down, right = sight.of_episode().random(4)
    if coin >= share:
        return mask
    if sight.beside:
        return swapped(mask, sight.number == 1 + int(choice * sight.beside))
    return elsewhere(mask, down, right)


def swapped(mask: Mask, other: NDArray[np.bool_]) -> Mask:
    """Returns the mask with the target's label on another object (H, W), and the target as an other object."""
    return np.where(other, MASK_TARGET, np.where(mask == MASK_TARGET, MASK_OTHER, mask)).astype(np.uint8)


def elsewhere(mask: Mask, down: float, right: float) -> Mask:
    """Returns the mask with the target's outline in another place, as by a detector that fires at the background.

    It is a quarter to three quarters of the image away both ways, comes in again where it leaves the image, and covers
    background only.

    Args:
        mask: see `noisy_mask`.
        down, right: which place, each in [0, 1).
    """
    target = mask == MASK_TARGET
    away = [round((0.25 + 0.5 * share) * side) for share, side in zip((down, right), mask.shape, strict=True)]
    found = np.roll(target, away, axis=(0, 1)) & (mask == MASK_BACKGROUND)
    return np.where(found, MASK_TARGET, _without_target(mask)).astype(np.uint8)
