"""What an image is like beside the training's: light, colours exchanged, upside down or mirrored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from toyshift.core.arrays import Array, Float32, Image
from toyshift.policies.runtime.framing import LOOKS, LUMA, looks_of

LEAST, MOST = 0.01, 0.99  # quantiles of the training's images between which an image is usual
LIGHT_OFF = 8.0  # of 255, beyond these: cameras are never the same
SHARPNESS_OFF = 2.0  # factor
GREYS = 0.02  # mean share of red minus blue below which exchanged colours cannot be told
EXCHANGED = 0.6  # how much more alike images must be with the colours exchanged
TURNED = 0.2  # how much better the luma must correlate once it is turned
BLOCKS = 16  # of the luma, a side


def light_findings(image: Image, facts: Mapping[str, Any]) -> list[str]:
    """Returns what is unusual about the light and sharpness of an image, cut as the training's.

    Args:
        image: (H, W, 3).
        facts: of the camera, in a bundle's contract.json: `looks`, quantiles over the training's images.
    """
    quantiles, found = list(facts["quantiles"]), []
    for name, value in zip(LOOKS, looks_of(image), strict=True):
        row = facts["looks"].get(name)
        if row is None or LEAST not in quantiles or MOST not in quantiles:
            continue
        low, high = row[quantiles.index(LEAST)], row[quantiles.index(MOST)]
        sharp = name == "sharpness"
        under, over = (low / SHARPNESS_OFF, high * SHARPNESS_OFF) if sharp else (low - LIGHT_OFF, high + LIGHT_OFF)
        if not under <= value <= over:
            more, less = ("sharper or noisier", "blurred") if sharp else ("too much light", "too little light")
            told = (more if value > over else less) if name in ("brightness", "sharpness") else (
                f"too much {name}" if value > over else f"too little {name}"
            )
            found.append(f"{told}: {name} is {value:.0f}, in training {low:.0f} to {high:.0f}")
    return found


def colours_exchanged(image: Image, training: Image) -> bool | None:
    """Whether red and blue are exchanged; None where the training's image has too little of either to tell.

    Args:
        image: (H, W, 3), of the training image's size and view.
        training: image of the training.
    """
    ours, theirs = _red_minus_blue(image), _red_minus_blue(training)
    if np.abs(theirs).mean() < GREYS:
        return None
    return bool(np.abs(theirs + ours).mean() < EXCHANGED * np.abs(theirs - ours).mean())


def _red_minus_blue(image: Image) -> Float32:
    """Returns the share of red minus blue in blocks of an image."""
    pixels = _blocks(np.asarray(image, np.float32))
    return np.asarray((pixels[..., 0] - pixels[..., 2]) / (pixels.sum(-1) + 30.0), dtype=np.float32)


def turned(image: Image, training: Image) -> str:
    """Returns in which way an image is more like the training's than as it is: "" where in none.

    Args: as of `colours_exchanged`.
    """
    ours, theirs = (_blocks(np.asarray(one, np.float32) @ LUMA) for one in (image, training))
    ways = {"": ours, "upside down": ours[::-1, ::-1], "mirrored": ours[:, ::-1], "mirrored, upside down": ours[::-1]}
    alike = {way: _correlation(picture, theirs) for way, picture in ways.items()}
    best = max(alike, key=lambda way: alike[way])
    return best if alike[best] > alike[""] + TURNED else ""


def _correlation(a: Array | Float32, b: Array | Float32) -> float:
    one, other = (np.ravel(x) - x.mean() for x in (a, b))
    norm = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / norm if norm > 0 else 0.0


def _blocks(image: Float32) -> Float32:
    """Returns means over BLOCKS x BLOCKS parts of an image (H, W, ...), which blur what objects lie where."""
    rows = np.array_split(np.arange(image.shape[0]), min(BLOCKS, image.shape[0]))
    columns = np.array_split(np.arange(image.shape[1]), min(BLOCKS, image.shape[1]))
    tall = np.stack([image[part].mean(0) for part in rows])
    return np.stack([tall[:, part].mean(1) for part in columns], axis=1)
