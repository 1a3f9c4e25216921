"""Viewpoint augmentation: a dataset rendered again from sampled cameras."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from toyshift.augment.rerender import Rerendering, rerender
from toyshift.core.errors import ConfigError
from toyshift.envs.shifts import Look

CAMERA = "front"  # the camera that is moved; the wrist camera stays on the wrist


@dataclasses.dataclass(frozen=True)
class Viewpoint:
    """The front camera turned about the table's vertical [deg]: uniform between two angles, one per episode."""

    azimuth: tuple[float, float]
    kind: ClassVar[str] = "viewpoint"

    def __post_init__(self) -> None:
        low, high = self.azimuth
        if not -180.0 <= low <= high <= 180.0:
            raise ConfigError(f"azimuth is {low} to {high} degrees; it must be a range within -180 to 180")

    def settings(self) -> dict[str, Any]:
        return {"azimuth": list(self.azimuth)}

    def cameras(self, there: Sequence[str]) -> Sequence[str]:
        if CAMERA not in there:
            raise ConfigError(f"has no camera {CAMERA!r} to move; it has {', '.join(there)}")
        return (CAMERA,)

    def look(self, meta: Mapping[str, Any], rng: np.random.Generator) -> Look:
        low, high = self.azimuth
        return Look(azimuth=float(low + (high - low) * rng.random()))


def augment_viewpoint(
    src: Path, dst: Path, azimuth: tuple[float, float], *, seed: int = 0, workers: int = 2, episodes: int = 0
) -> dict[str, Any]:
    """Renders every episode of `src` again from a sampled front camera; as `rerender`."""
    return rerender(Rerendering(src, dst, Viewpoint(azimuth), seed, workers, episodes))
