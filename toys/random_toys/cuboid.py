"""The primitive `cuboid`; its full edges are drawn uniformly in the logarithm, so that slabs and beams occur."""

from __future__ import annotations

import math

import numpy as np

from toyshift.toys.random_toys.kind import CollisionPart, Kind, Size, Vec3, log_uniform


def _inside(size: Size, spread: float, u: float, v: float, w: float) -> Vec3:
    inner = 0.9 * spread
    return inner * (u - 0.5) * size[0], inner * (v - 0.5) * size[1], inner * (w - 0.5) * size[2]


def _surface(size: Size, spread: float, u: float, v: float, w: float) -> tuple[Vec3, Vec3]:
    axis, sign = divmod(int(6 * w), 2)
    point, out = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]
    point[axis], out[axis] = (sign - 0.5) * size[axis], 2.0 * sign - 1.0
    for other, place in (((axis + 1) % 3, u), ((axis + 2) % 3, v)):
        point[other] = 0.9 * spread * (place - 0.5) * size[other]
    return (point[0], point[1], point[2]), (out[0], out[1], out[2])


def _farthest(size: Size, direction: Vec3) -> Vec3:
    x, y, z = (math.copysign(edge / 2, along) for edge, along in zip(size, direction, strict=True))
    return x, y, z


KIND = Kind(
    name="cuboid", sizes=("x", "y", "z"), ranges={"edge": (0.012, 0.2)},
    draw=lambda rng, edge: (log_uniform(rng, edge), log_uniform(rng, edge), log_uniform(rng, edge)),
    volume=lambda size: size[0] * size[1] * size[2],
    contains=lambda size, points, tolerance: (np.abs(points) <= np.asarray(size) / 2 + tolerance).all(axis=1),
    solid=lambda size, manifold, segments: manifold.cube(list(size), True),
    collision=lambda size: (CollisionPart("box", (size[0] / 2, size[1] / 2, size[2] / 2)),),
    inside=_inside, surface=_surface, farthest=_farthest, round=False,
)
