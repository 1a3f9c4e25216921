"""The primitive `ring`, a thin-walled hoop with an open hole; all its lengths are drawn uniformly.

ring_radius is the outer one, so ring_radius[0] - ring_wall[1] is the narrowest hole's. The material is the wall: a
point of the hole would not connect anything.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError
from toyshift.toys.geometry.solid import Manifold
from toyshift.toys.random_toys import cylinder
from toyshift.toys.random_toys.kind import CollisionPart, Kind, Range, Size, Vec3, uniform, widening

BOXES = 20  # collision boxes of a ring: its outside is 1.2 % too wide at worst, its hole is never narrower
MIN_WALL = 0.03  # of a ring, as a share of its outer radius: thinner ones lie within the error of its facets


def _contains(size: Size, points: Array, tolerance: float) -> Any:
    around_the_hole = np.linalg.norm(points[:, :2], axis=1) >= size[0] - size[1] - tolerance
    return around_the_hole & cylinder.contains(size, points, tolerance)


def _solid(size: Size, manifold: type[Manifold], segments: int) -> Manifold:
    def filled(radius: float, height: float) -> Manifold:
        return manifold.cylinder(height, radius * widening(segments), circular_segments=segments, center=True)

    return filled(size[0], size[2]) - filled(size[0] - size[1], 2 * size[2])


def _collision(size: Size) -> tuple[CollisionPart, ...]:
    half = (size[1] / 2, size[0] * math.tan(math.pi / BOXES), size[2] / 2)
    return tuple(CollisionPart("box", half, 2 * math.pi * k / BOXES, size[0] - size[1] / 2) for k in range(BOXES))


def _inside(size: Size, spread: float, u: float, v: float, w: float) -> Vec3:
    low, high = (size[0] - 0.9 * size[1]) ** 2, (size[0] - 0.1 * size[1]) ** 2
    return cylinder.inside(size, math.sqrt(low + (high - low) * u), spread, v, w)


def _surface(size: Size, spread: float, u: float, v: float, w: float) -> tuple[Vec3, Vec3]:
    return cylinder.surface(size, size[0] - (0.5 + 0.8 * (u - 0.5)) * size[1], spread, u, v, w)


def _check(size: Size) -> None:
    if size[1] >= size[0]:
        raise ConfigError(f"a ring's wall ({size[1]} m) must be thinner than its outer radius ({size[0]} m)")


def _check_ranges(radius: Range, wall: Range, _: Range) -> None:
    if wall[1] >= radius[0] or wall[0] < MIN_WALL * radius[1]:
        raise ConfigError(f"ring_wall {wall} must stay below ring_radius {radius}, and above {MIN_WALL:.0%} of it")


KIND = Kind(
    name="ring", sizes=("outer_radius", "wall", "height"),
    ranges={"radius": (0.022, 0.034), "wall": (0.004, 0.006), "height": (0.006, 0.035)},
    draw=lambda rng, *ranges: tuple(uniform(rng, bounds) for bounds in ranges),
    volume=lambda size: math.pi * (size[0] ** 2 - (size[0] - size[1]) ** 2) * size[2],
    contains=_contains, solid=_solid, collision=_collision, inside=_inside, surface=_surface,
    farthest=cylinder.farthest, check=_check, check_ranges=_check_ranges, hollow=True,
)
