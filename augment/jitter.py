"""Brightness, contrast and colours changed in the images alone: of any dataset, without a simulator."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from toyshift.augment.augmentation import Augmentation
from toyshift.core.contract import image_key
from toyshift.core.fields import check_ranges
from toyshift.data.episode import Frames


@dataclasses.dataclass(frozen=True)
class ColourJitter(Augmentation):
    """One change for each camera of a copy, uniform on both sides of none.

    Attributes:
        brightness: how much is added at most, of the full range.
        contrast: how far from 1 the factor on distances from the episode's mean colour is at most.
        colour: how far from 1 the factor on each of red, green and blue is at most.
    """

    brightness: float = 0.2
    contrast: float = 0.2
    colour: float = 0.1

    states = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, dict.fromkeys(("brightness", "contrast", "colour"), (0, 0.9)))

    def frames(self, frames: Frames, cameras: Sequence[str], rng: np.random.Generator) -> Frames:
        changed = dict(frames)
        for camera in cameras:
            added, factor, *gains = rng.uniform(-1, 1, 5)
            images = frames[image_key(camera)].astype(np.float64)
            mean = images.mean(axis=(0, 1, 2))
            images = (mean + (images - mean) * (1 + self.contrast * factor)) * (1 + self.colour * np.asarray(gains))
            images += 255 * self.brightness * added
            changed[image_key(camera)] = np.clip(np.rint(images), 0, 255).astype(np.uint8)
        return changed
