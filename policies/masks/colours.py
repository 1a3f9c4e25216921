"""Colours of pixels, counted in coarse cells of CIE Lab: how often each occurs in a part of an image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Float32, Image
from toyshift.policies.masks.provider import Found

CELLS = (8, 32, 32)  # of lightness, green to red, blue to yellow; light changes more than colour does
SPREAD = (0.8, 1.0, 1.0)  # how far a colour counts for its neighbours [cells]

ColourCells = NDArray[np.int64]  # (H, W): number of each pixel's cell


def cells_of(cv2: Any, image: Image) -> ColourCells:
    """Returns the cell (H, W) of every pixel of an image (H, W, 3)."""
    lab = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2LAB)
    light, green_red, blue_yellow = ((lab[..., i].astype(np.int64) * n) >> 8 for i, n in enumerate(CELLS))
    return np.asarray((light * CELLS[1] + green_red) * CELLS[2] + blue_yellow)


def counted(cells: ColourCells, where: Found) -> Float32:
    """Returns how many of the marked pixels (H, W) have each colour, by cell, smoothed."""
    from scipy.ndimage import gaussian_filter

    counts = np.bincount(cells[where], minlength=int(np.prod(CELLS))).astype(np.float32)
    return np.asarray(gaussian_filter(counts.reshape(CELLS), SPREAD, mode="constant").ravel(), dtype=np.float32)
