"""The primitive `cylinder`; its radius is drawn uniformly, its height uniformly in the logarithm. A ring is alike."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from toyshift.core.arrays import Array
from toyshift.toys.random_toys.kind import CollisionPart, Kind, Size, Vec3, log_uniform, uniform, widening


def contains(size: Size, points: Array, tolerance: float) -> Any:
    """Whether points lie in the cylinder whose radius is the first length and whose height is the last."""
    radial, axial = np.linalg.norm(points[:, :2], axis=1), np.abs(points[:, 2])
    return (radial <= size[0] + tolerance) & (axial <= size[-1] / 2 + tolerance)


def inside(size: Size, radius: float, spread: float, v: float, w: float) -> Vec3:
    """A point at a distance from the axis."""
    return radius * math.cos(2 * math.pi * v), radius * math.sin(2 * math.pi * v), 0.9 * spread * (w - 0.5) * size[-1]


def surface(size: Size, on_top: float, spread: float, u: float, v: float, w: float) -> tuple[Vec3, Vec3]:
    """A point of the side, or of the top or bottom at the distance `on_top` from the axis, and the normal there."""
    x, y = math.cos(2 * math.pi * v), math.sin(2 * math.pi * v)
    if w < 1 / 3:
        return (size[0] * x, size[0] * y, 0.9 * spread * (u - 0.5) * size[-1]), (x, y, 0.0)
    up = 1.0 if w < 2 / 3 else -1.0
    return (on_top * x, on_top * y, up * size[-1] / 2), (0.0, 0.0, up)


def farthest(size: Size, direction: Vec3) -> Vec3:
    """The farthest point along a direction."""
    x, y, z = direction
    flat = math.hypot(x, y)
    # Where the axis points along the direction, the whole rim is farthest: any point of it will do.
    x, y = (x / flat, y / flat) if flat > 1e-9 else (1.0, 0.0)
    return size[0] * x, size[0] * y, math.copysign(size[-1] / 2, z)


def _radius(size: Size, spread: float, u: float) -> float:
    return 0.9 * spread * size[0] * math.sqrt(u)


KIND = Kind(
    name="cylinder", sizes=("radius", "height"), ranges={"radius": (0.009, 0.033), "height": (0.015, 0.2)},
    draw=lambda rng, radius, height: (uniform(rng, radius), log_uniform(rng, height)),
    volume=lambda size: math.pi * size[0] ** 2 * size[1],
    contains=contains,
    solid=lambda size, manifold, segments: manifold.cylinder(
        size[1], size[0] * widening(segments), circular_segments=segments, center=True
    ),
    collision=lambda size: (CollisionPart("cylinder", (size[0], size[1] / 2, 0.0)),),
    inside=lambda size, spread, u, v, w: inside(size, _radius(size, spread, u), spread, v, w),
    surface=lambda size, spread, u, v, w: surface(size, _radius(size, spread, u), spread, u, v, w),
    farthest=farthest,
)
