"""Procedural textures for table, floor and wall: generated from a seed, none downloaded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

SIZE = 128

# (pattern, first colour, second colour) with colours in 0..255 sRGB; number 0 is what training shows
TABLES = (
    ("wood", (196, 164, 124), (160, 124, 86)),
    ("plain", (235, 235, 232), (235, 235, 232)),
    ("checker", (90, 96, 104), (190, 194, 200)),
    ("stripes", (62, 110, 150), (216, 208, 186)),
    ("blotches", (60, 96, 66), (150, 176, 120)),
    ("wood", (92, 60, 40), (60, 38, 26)),
)
BACKGROUNDS = (
    ("plain", (120, 126, 134), (120, 126, 134)),
    ("blotches", (205, 190, 160), (150, 140, 120)),
    ("checker", (60, 62, 70), (230, 228, 220)),
    ("stripes", (170, 60, 50), (235, 225, 210)),
    ("plain", (30, 60, 90), (30, 60, 90)),
    ("blotches", (80, 130, 170), (220, 230, 240)),
)


def texture(pattern: str, first: tuple[int, int, int], second: tuple[int, int, int], seed: int) -> NDArray[np.uint8]:
    """Returns a (SIZE, SIZE, 3) uint8 sRGB image that mixes two colours by a pattern."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    noise = gaussian_filter(rng.standard_normal((SIZE, SIZE)), 6, mode="wrap")
    noise /= np.abs(noise).max()
    if pattern == "plain":
        weight = np.zeros_like(x)
    elif pattern == "checker":
        weight = ((np.floor(8 * x) + np.floor(8 * y)) % 2).astype(float)
    elif pattern == "stripes":
        weight = (np.floor(12 * x) % 2).astype(float)
    elif pattern == "blotches":
        weight = 1 / (1 + np.exp(-12 * noise))
    elif pattern == "wood":
        weight = 0.5 + 0.5 * np.sin(2 * np.pi * (8 * x + 0.35 * noise))
    else:
        raise ValueError(f"unknown texture pattern {pattern!r}")
    grain = 4 * rng.standard_normal((SIZE, SIZE, 1))
    mixed = np.asarray(first) * (1 - weight[..., None]) + np.asarray(second) * weight[..., None]
    image: NDArray[np.uint8] = np.clip(mixed + grain, 0, 255).astype(np.uint8)
    return image
