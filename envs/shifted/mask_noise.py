"""Mask noise: what a segmentation model gets wrong, done to the target's label of a true mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array, Indices, Mask
from toyshift.core.contract import MASK_BACKGROUND, MASK_OTHER, MASK_TARGET
from toyshift.envs.shifts import Variation

STEPS = 8  # of the bisection for a field's strength


def noisy_mask(mask: Mask, variation: Variation, episode_rng: np.random.Generator, rng: np.random.Generator) -> Mask:
    """Returns the mask (H, W) as a variation spoils it: wrong object, IoU, erosion, dilation, drop-out, in this order.

    Args:
        mask: 0 background, 1 target, 2 other object, 3 robot; not changed.
        variation: what the episode's shifts come to.
        episode_rng: the same for every image of the episode and camera: a wrong object stays wrong.
        rng: this image's own.
    """
    for apply, drawn in variation.at("mask"):
        mask = apply(mask, drawn.value, rng, episode_rng)
    return mask


def eroded(mask: Mask, width: float, *_: np.random.Generator) -> Mask:
    """Returns the mask whose target has lost a rim of `width` times the radius of the largest circle in it."""
    depth = _depth(mask == MASK_TARGET)
    lost = (depth > 0) & (depth <= width * depth.max())
    return np.where(lost, MASK_BACKGROUND, mask).astype(np.uint8)


def dilated(mask: Mask, width: float, *_: np.random.Generator) -> Mask:
    """Returns the mask whose target has gained a rim of `width` times the radius of the largest circle in it."""
    target = mask == MASK_TARGET
    if not target.any():
        return mask
    return np.where(_depth(~target) <= width * _depth(target).max(), MASK_TARGET, mask).astype(np.uint8)


def dropped(mask: Mask, share: float, rng: np.random.Generator, *_: np.random.Generator) -> Mask:
    """Returns the mask, in a share of all cases without its target."""
    missing = rng.random() < share
    return np.where(missing & (mask == MASK_TARGET), MASK_BACKGROUND, mask).astype(np.uint8)


def _depth(region: NDArray[np.bool_]) -> Array:
    """Distance of a region's pixels to the nearest pixel outside of it [pixels]; the image's border is not outside."""
    from scipy.ndimage import distance_transform_edt

    depth: Array = distance_transform_edt(region)
    return depth if not region.all() else np.ones(region.shape)


def with_iou(mask: Mask, iou: float, rng: np.random.Generator, *_rest: np.random.Generator) -> Mask:
    """Returns a mask whose target overlaps the true one with a given intersection over union, to within one pixel.

    As many pixels are lost as are gained: n of A with (A - n) / (A + n) = iou. The target stays a blob: it becomes the
    A pixels that lie deepest in it, or least far from it, once a smooth random field is added, the weakest that moves
    n.
    """
    from scipy.ndimage import gaussian_filter

    target = mask == MASK_TARGET
    area = int(target.sum())
    changed = round(area * (1 - iou) / (1 + iou))
    if not 0 < changed <= (~target).sum():
        return mask
    depth = _depth(target)
    field = gaussian_filter(rng.standard_normal(mask.shape), max(1.0, depth.max()))
    field *= depth.max() / np.abs(field).max()
    distance = depth - _depth(~target)

    def moved(strength: float) -> tuple[Indices, Indices]:
        """Pixels that are lost and gained, the most certain ones first."""
        order = np.argsort(-(distance + strength * field).ravel(), kind="stable")
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


def often_wrong(mask: Mask, share: float, _: np.random.Generator, episode_rng: np.random.Generator) -> Mask:
    """Returns the mask, in a share of the episodes with the target's label on something else."""
    return wrong_object(mask, episode_rng) if episode_rng.random() < share else mask


def wrong_object(mask: Mask, rng: np.random.Generator) -> Mask:
    """Returns the mask with the target's label on something else.

    Where other objects are seen, one of them becomes the target and the target becomes another object. Elsewhere the
    target's outline is found in another place, as by a detector that fires at the background.
    """
    from scipy.ndimage import label

    target = mask == MASK_TARGET
    choice, down, right = rng.random(3)  # always all of them: what follows must not depend on what is seen
    out = np.where(target, MASK_BACKGROUND, mask).astype(np.uint8)
    regions, count = label(mask == MASK_OTHER)
    if count:
        out[target] = MASK_OTHER
        out[regions == 1 + int(choice * count)] = MASK_TARGET
        return out
    rows, columns = np.nonzero(target)
    if len(rows):
        new = rows + _other_place(rows, mask.shape[0], down), columns + _other_place(columns, mask.shape[1], right)
        free = ~target[new] & (out[new] == MASK_BACKGROUND)
        out[new[0][free], new[1][free]] = MASK_TARGET
    return out


def _other_place(indices: Indices, size: int, share: float) -> int:
    """Returns by how much pixels can move along one axis of the image and stay in it, at least half as far as is
    possible one way.
    """
    room = int(indices.min()), int(size - 1 - indices.max())  # before and behind
    way = -1 if share * sum(room) < room[0] else 1
    inside = (share * sum(room) - (0 if way < 0 else room[0])) / max(room[way > 0], 1)  # in [0, 1)
    return way * round((0.5 + 0.5 * inside) * room[way > 0])
