"""Mask noise: what a segmentation model gets wrong, done to the target's label of a true mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toyshift.envs.shifts import Variation

Mask = NDArray[np.uint8]

BACKGROUND, TARGET, OTHER = 0, 1, 2
ROUGHNESS = 0.03  # size of the blobs by which a worse mask differs from the true one [image sides]


def noisy_mask(mask: Mask, variation: Variation, episode_rng: np.random.Generator, rng: np.random.Generator) -> Mask:
    """Returns the mask (H, W) as a variation spoils it: wrong object, IoU, erosion, dilation, drop-out, in this order.

    Args:
        mask: 0 background, 1 target, 2 other object, 3 robot; not changed.
        variation: what the episode's shifts come to.
        episode_rng: the same for every image of the episode and camera: a wrong object stays wrong.
        rng: this image's own.
    """
    out = mask.copy()
    if "mask-wrong" in variation and episode_rng.random() < variation["mask-wrong"]:
        out = wrong_object(out, episode_rng)
    if "mask-iou" in variation:
        out = with_iou(out, variation["mask-iou"], rng)
    if "mask-erosion" in variation:
        out = eroded(out, variation["mask-erosion"])
    if "mask-dilation" in variation:
        out = dilated(out, variation["mask-dilation"])
    if "mask-dropout" in variation and rng.random() < variation["mask-dropout"]:
        out[out == TARGET] = BACKGROUND
    return out


def eroded(mask: Mask, width: float) -> Mask:
    """Returns the mask whose target has lost a rim, `width` times as wide as the largest circle in the target has radius."""
    depth = _depth(mask == TARGET)
    lost = (depth > 0) & (depth <= width * depth.max())
    return np.where(lost, BACKGROUND, mask).astype(np.uint8)


def dilated(mask: Mask, width: float) -> Mask:
    """Returns the mask whose target has gained a rim, `width` times as wide as the largest circle in the target has radius."""
    target = mask == TARGET
    if not target.any():
        return mask
    return np.where(_depth(~target) <= width * _depth(target).max(), TARGET, mask).astype(np.uint8)


def _depth(region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distance of a region's pixels to the nearest pixel outside of it [pixels]; the image's border is not outside."""
    from scipy.ndimage import distance_transform_edt

    depth: NDArray[np.float64] = distance_transform_edt(region)
    return depth if not region.all() else np.ones(region.shape)


def with_iou(mask: Mask, iou: float, rng: np.random.Generator) -> Mask:
    """Returns a mask whose target overlaps the true one with a given intersection over union, to within one pixel.

    As many pixels are lost as are gained: n of A with (A - n) / (A + n) = iou. They lie where a smooth random field and
    the distance from the target's outline say, so that what remains is a blob and not salt and pepper.
    """
    from scipy.ndimage import gaussian_filter

    target = mask == TARGET
    area = int(target.sum())
    changed = min(round(area * (1 - iou) / (1 + iou)), int((~target).sum()))
    if not area or not changed:
        return mask
    field = gaussian_filter(rng.standard_normal(mask.shape), max(1.0, ROUGHNESS * mask.shape[0]))
    field *= np.sqrt(area) / (2 * np.abs(field).max())
    score = _depth(target) - _depth(~target) + field
    inside, outside = np.flatnonzero(target), np.flatnonzero(~target)
    lost = inside[np.argsort(score.ravel()[inside], kind="stable")[:changed]]
    gained = outside[np.argsort(-score.ravel()[outside], kind="stable")[:changed]]
    out = mask.copy().ravel()
    out[lost], out[gained] = BACKGROUND, TARGET
    return out.reshape(mask.shape)


def wrong_object(mask: Mask, rng: np.random.Generator) -> Mask:
    """Returns the mask with the target's label on something else.

    Where other objects are seen, one of them becomes the target and the target becomes another object. Elsewhere the
    target's outline is found in another place, as by a detector that fires at the background.
    """
    from scipy.ndimage import label

    target = mask == TARGET
    choice, down, right = rng.random(3)  # always all of them: what follows must not depend on what is seen
    out = np.where(target, BACKGROUND, mask).astype(np.uint8)
    regions, count = label(mask == OTHER)
    if count:
        out[target] = OTHER
        out[regions == 1 + int(choice * count)] = TARGET
        return out
    height, width = mask.shape
    shift = (round((0.25 + 0.5 * down) * height), round((0.25 + 0.5 * right) * width))
    out[np.roll(target, shift, axis=(0, 1)) & (out == BACKGROUND) & ~target] = TARGET
    return out
