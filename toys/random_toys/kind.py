"""What a kind of primitive is: lengths and how they are drawn, solid, collision shapes, where others stick to it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from toyshift.core.arrays import Array
from toyshift.toys.geometry.solid import Manifold

Range = tuple[float, float]
Vec3 = tuple[float, float, float]
Quat = tuple[float, float, float, float]
Size = tuple[float, ...]


def uniform(rng: np.random.Generator, bounds: Range) -> float:
    """Draws a number uniformly."""
    return bounds[0] + (bounds[1] - bounds[0]) * rng.random()


def log_uniform(rng: np.random.Generator, bounds: Range) -> float:
    """Draws a number whose logarithm is uniform."""
    return bounds[0] * math.exp(math.log(bounds[1] / bounds[0]) * rng.random())


class CollisionPart(NamedTuple):
    """A collision shape in a primitive's frame: in its middle, or turned about z and then moved along its own x.

    Attributes:
        kind, size: see `Geom`.
        angle: of the turn [rad].
        distance: of the move [m].
    """

    kind: str
    size: Vec3
    angle: float = 0.0
    distance: float = 0.0


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of primitive: one file, one row of `KINDS`.

    All functions but `draw` begin with the size, and speak of the primitive's frame: centre at 0, z along the axis.
    Points are made of three numbers u, v, w in 0..1; `spread` (0..1) draws them towards the middle.

    Attributes:
        name: what an instruction calls it.
        sizes: what the entries of a size mean [m].
        ranges: field of a ToyDistribution without the kind's name in front -> its default [m].
        draw: (generator, the distribution's range for each entry of `ranges`) -> size, by rng.random() alone.
        volume: exact volume [m^3].
        contains: (size, points (n, 3), tolerance) -> (n,) bool, whether they lie in the material.
        solid: (size, manifold3d.Manifold, facets around the axis) -> a polyhedron of the exact volume.
        collision: collision shapes.
        inside: (size, spread, u, v, w) -> a uniform point of the material, kept 10 % away from the surface.
        surface: (size, spread, u, v, w) -> a point of the outer surface, 10 % away from edges, and the outward normal
            there. Faces have equal shares, points are uniform on the face. Holes are left out: they stay open.
        farthest: (size, direction) -> the point that lies farthest along a direction.
        check: raises ConfigError where the lengths of a size contradict each other.
        check_ranges: raises ConfigError where a distribution's ranges, as `draw` gets them, contradict each other.
        hollow: whether the centre lies outside the material.
        round: whether there is a round surface, of radius size[0].
    """

    name: str
    sizes: tuple[str, ...]
    ranges: Mapping[str, Range]
    draw: Callable[..., Size]
    volume: Callable[[Size], float]
    contains: Callable[[Size, Array, float], Any]
    solid: Callable[[Size, type[Manifold], int], Manifold]
    collision: Callable[[Size], tuple[CollisionPart, ...]]
    inside: Callable[[Size, float, float, float, float], Vec3]
    surface: Callable[[Size, float, float, float, float], tuple[Vec3, Vec3]]
    farthest: Callable[[Size, Vec3], Vec3]
    check: Callable[[Size], None] = lambda size: None
    check_ranges: Callable[..., None] = lambda *ranges: None
    hollow: bool = False
    round: bool = True


def widening(segments: int) -> float:
    """By how much a regular polygon is widened to have the area of its circle."""
    return math.sqrt(2 * math.pi / (segments * math.sin(2 * math.pi / segments)))
