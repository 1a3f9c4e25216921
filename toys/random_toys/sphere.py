"""The primitive `sphere`; its radius is drawn uniformly."""

from __future__ import annotations

import math

import numpy as np

from toyshift.toys.geometry.solid import Manifold
from toyshift.toys.random_toys.kind import CollisionPart, Kind, Size, Vec3, uniform


def _volume(size: Size) -> float:
    return 4.0 / 3.0 * math.pi * size[0] ** 3


def _solid(size: Size, manifold: type[Manifold], segments: int) -> Manifold:
    body = manifold.sphere(size[0], segments)
    return body.scale([(_volume(size) / body.volume()) ** (1 / 3)] * 3)


def _inside(size: Size, spread: float, u: float, v: float, w: float) -> Vec3:
    z, angle, radius = 2 * u - 1, 2 * math.pi * v, 0.9 * spread * size[0] * w ** (1 / 3)
    flat = math.sqrt(1 - z * z)
    return radius * flat * math.cos(angle), radius * flat * math.sin(angle), radius * z


def _surface(size: Size, spread: float, u: float, v: float, w: float) -> tuple[Vec3, Vec3]:
    z, angle = 2 * u - 1, 2 * math.pi * v
    flat = math.sqrt(1 - z * z)
    normal = flat * math.cos(angle), flat * math.sin(angle), z
    return _farthest(size, normal), normal


def _farthest(size: Size, direction: Vec3) -> Vec3:
    x, y, z = direction
    return size[0] * x, size[0] * y, size[0] * z


KIND = Kind(
    name="sphere", sizes=("radius",), ranges={"radius": (0.014, 0.034)},
    draw=lambda rng, radius: (uniform(rng, radius),),
    volume=_volume,
    contains=lambda size, points, tolerance: np.linalg.norm(points, axis=1) <= size[0] + tolerance,
    solid=_solid,
    collision=lambda size: (CollisionPart("sphere", (size[0], 0.0, 0.0)),),
    inside=_inside, surface=_surface, farthest=_farthest,
)
