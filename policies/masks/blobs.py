"""Connected pixels: what is the robot among what differs from the table, and which blob is the target."""

from __future__ import annotations

import numpy as np

from toyshift.core.arrays import Image
from toyshift.policies.masks.provider import Found

GREY = 20.0  # largest difference between channels of what counts as the robot's grey
SMALLEST = 6  # pixels of a blob that counts
NEAR = 0.04  # of the image's larger side: how far what is followed may leave its last place and be the same thing
INSIDE = 0.5  # share of a blob that must lie there: several blobs may be one thing of several colours


def grey(image: Image) -> Found:
    """Marks (H, W) the pixels of an image (H, W, 3) that have hardly any colour."""
    pixels = image.astype(np.int16)
    return np.asarray(pixels.max(axis=-1) - pixels.min(axis=-1) < GREY)


def grey_at_border(found: Found, image: Image) -> Found:
    """Marks those of the found pixels (H, W) that have the robot's grey and are connected to the image's border."""
    from scipy.ndimage import label

    regions, _ = label(found)
    at_border = np.unique(np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]]))
    return np.asarray(found & grey(image) & np.isin(regions, at_border))


def without_robot(found: Found, image: Image) -> Found:
    """Returns found pixels (H, W) without those of the robot, which is grey and reaches into the image."""
    return np.asarray(found & ~grey_at_border(found, image))


def largest(found: Found) -> Found:
    """Marks (H, W) the largest blob of found pixels; nothing where all are smaller than SMALLEST."""
    from scipy.ndimage import label

    blobs, count = label(found, np.ones((3, 3)))
    sizes = np.bincount(blobs.ravel(), minlength=count + 1)[1:]
    if count == 0 or sizes.max() < SMALLEST:
        return np.zeros(found.shape, dtype=bool)
    return np.asarray(blobs == 1 + int(sizes.argmax()))


def followed(found: Found, before: Found) -> Found:
    """Marks (H, W) the blobs of found pixels that are where the target was; the largest where none is.

    Args:
        found: pixels that may be the target.
        before: where it was; all blobs count that lie mostly near it, and in any case the one that shares most with it.
    """
    from scipy.ndimage import binary_dilation, label

    blobs, count = label(found, np.ones((3, 3)))
    if count == 0 or not before.any():
        return largest(found)
    reach = max(1, round(NEAR * max(found.shape)))
    near = binary_dilation(before, np.ones((3, 3)), iterations=reach)
    sizes = np.bincount(blobs.ravel(), minlength=count + 1)
    shared = np.bincount(blobs[near], minlength=count + 1)
    sizes[0] = shared[0] = 0
    if not shared.any():
        return largest(found)
    chosen = (shared >= INSIDE * np.maximum(sizes, 1)) & (sizes > 0)
    chosen[int(shared.argmax())] = True
    kept = np.asarray(chosen[blobs])
    return kept if kept.sum() >= SMALLEST else largest(found)
