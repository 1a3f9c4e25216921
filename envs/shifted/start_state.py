"""Where an episode starts, as shifts change it: further from the middle, with the arm away from home."""

from __future__ import annotations

import dataclasses

import numpy as np

from toyshift.core.arrays import Array


@dataclasses.dataclass
class Start:
    """What shifts may change of where things start.

    Attributes:
        half: half side of the square in which a lone target starts [m].
        joints: the arm's angles (n,) [rad].
    """

    half: float
    joints: Array


def spread(start: Start, factor: float, _: np.random.Generator) -> None:
    start.half *= factor


def arm(start: Start, distance: float, rng: np.random.Generator) -> None:
    direction = rng.standard_normal(len(start.joints))
    start.joints = start.joints + distance * direction / np.linalg.norm(direction)
