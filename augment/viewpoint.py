"""New front cameras: turned, raised, moved away, with another field of view. Exact, because states are logged."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from toyshift.augment.augmentation import Around, Augmentation, SeenAs
from toyshift.augment.draws import Draw, FactorSpan
from toyshift.augment.rerender import Rerendering, rerender
from toyshift.augment.seen import CAMERA
from toyshift.core.errors import ConfigError
from toyshift.envs.shift_table import SHIFT_FACTORS
from toyshift.envs.shifts import Look

USUAL = Draw(-45.0, 45.0)  # of the azimuth, where no factor is named [deg]
# key -> shift factor; the azimuth is one of the look
SHIFTS = {"elevation": "camera-elevation", "distance": "camera-distance", "fov": "camera-fov"}


@dataclasses.dataclass(frozen=True)
class NewViewpoint(Augmentation):
    """One front camera per copy. Only what is named changes; of nothing named the azimuth does, from -45 to 45 degrees.

    Attributes:
        azimuth: turn about the table's vertical [deg].
        elevation: how far it is raised, or lowered where it is negative [deg].
        distance: factor on its distance.
        fov: added to its field of view [deg].
    """

    azimuth: Draw | None = None
    elevation: Draw | None = None
    distance: Draw | None = None
    fov: Draw | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, draw in self.drawn().items():
            draw.check(span_of(name))

    def drawn(self) -> dict[str, Draw]:
        """Returns what changes, by key."""
        named = {name: getattr(self, name) for name in ("azimuth", *SHIFTS) if getattr(self, name) is not None}
        return named or {"azimuth": USUAL}

    def cameras(self, there: Sequence[str]) -> Sequence[str]:
        return moved_camera(there)

    def see(self, seen: SeenAs, around: Around, rng: np.random.Generator) -> SeenAs:
        for name, draw in self.drawn().items():
            value = draw.draw(span_of(name), rng)
            if name in SHIFTS:
                seen = seen.changed(SHIFTS[name], value, (0.0, 0.0, 0.0))
            else:
                seen = dataclasses.replace(seen, look=seen.look.changed(name, value))
        return seen


def span_of(name: str) -> FactorSpan:
    """Returns what a key of `NewViewpoint` may be: of shifts, as far as those go."""
    if name not in SHIFTS:
        return FactorSpan(name, -180.0, 180.0)
    return FactorSpan(name, min(SHIFT_FACTORS[SHIFTS[name]].ends), max(SHIFT_FACTORS[SHIFTS[name]].ends))


def moved_camera(there: Sequence[str]) -> tuple[str, ...]:
    """Returns the camera that is moved; raises ConfigError where a dataset lacks it."""
    if CAMERA not in there:
        raise ConfigError(f"has no camera {CAMERA!r} to move; it has {', '.join(there) or 'none'}")
    return (CAMERA,)


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
        return moved_camera(there)

    def look(self, meta: Mapping[str, Any], rng: np.random.Generator) -> Look:
        low, high = self.azimuth
        return Look(azimuth=float(low + (high - low) * rng.random()))


def augment_viewpoint(
    src: Path, dst: Path, azimuth: tuple[float, float], *, seed: int = 0, workers: int = 2, episodes: int = 0
) -> dict[str, Any]:
    """Renders every episode of `src` again from a sampled front camera, under the ordinary look; as `rerender`."""
    return rerender(Rerendering(src, dst, Viewpoint(azimuth), seed, workers, episodes))
