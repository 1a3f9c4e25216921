"""Procedural textures for table, floor and wall: generated from a seed, none downloaded."""

from __future__ import annotations

import numpy as np

from toyshift.core.arrays import Array, Image

SIZE = 128
DRAWN = ("checker", "stripes", "blotches", "wood", "dots")  # patterns of textures that are made for an episode

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


def texture(pattern: str, first: tuple[int, int, int], second: tuple[int, int, int], seed: int) -> Image:
    """Returns a (SIZE, SIZE, 3) uint8 sRGB image that mixes two colours by a pattern."""
    from scipy.ndimage import gaussian_filter

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
    elif pattern == "dots":
        weight = ((8 * x % 1 - 0.5) ** 2 + (8 * y % 1 - 0.5) ** 2 < 0.09).astype(float)
    else:
        raise ValueError(f"unknown texture pattern {pattern!r}")
    grain = 4 * rng.standard_normal((SIZE, SIZE, 1))
    mixed = np.asarray(first) * (1 - weight[..., None]) + np.asarray(second) * weight[..., None]
    return np.asarray(np.clip(mixed + grain, 0, 255), np.uint8)


def drawn_texture(seed: int) -> Image:
    """Returns a (SIZE, SIZE, 3) uint8 sRGB image whose pattern and colours are drawn from a seed."""
    rng = np.random.default_rng(seed)
    pattern = DRAWN[int(rng.integers(len(DRAWN)))]
    first, second = ((int(r), int(g), int(b)) for r, g, b in rng.integers(0, 256, (2, 3)))
    return texture(pattern, first, second, seed)


def printed_pattern(seed: int, height: int, width: int) -> Array:
    """Returns a (height, width) pattern from 0 (printed) to 1 (bare), drawn from a seed."""
    from scipy.ndimage import zoom

    rng = np.random.default_rng(seed)
    pattern = DRAWN[int(rng.integers(len(DRAWN)))]
    grey = texture(pattern, (0, 0, 0), (255, 255, 255), seed).mean(axis=2) / 255
    return np.asarray(np.clip(zoom(grey, (height / SIZE, width / SIZE), order=1), 0.0, 1.0))
