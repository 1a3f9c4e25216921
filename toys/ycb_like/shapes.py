"""Building blocks of the YCB-like shapes, in millimetres with z up: boxes, balls, outlines, and how they are joined."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence

import numpy as np

from toyshift.toys.geometry.solid import Manifold

Point = tuple[float, float]
ROUND = 40  # facets around an axis


def box(x: float, y: float, z: float, r: float = 0.0) -> Manifold:
    """A box of full edges x, y, z around the origin, its edges rounded with radius r."""
    from manifold3d import Manifold

    if r <= 0:
        return Manifold.cube([x, y, z], True)
    ball = Manifold.sphere(r, 12)
    a, b, c = x / 2 - r, y / 2 - r, z / 2 - r
    return Manifold.batch_hull([ball.translate([x, y, z]) for x in (-a, a) for y in (-b, b) for z in (-c, c)])


def cylinder(r: float, h: float, top: float | None = None, segments: int = ROUND) -> Manifold:
    """A cylinder or cone around z, centred at the origin."""
    from manifold3d import Manifold

    return Manifold.cylinder(h, r, r if top is None else top, segments, True)


def ball(r: float, segments: int = ROUND) -> Manifold:
    from manifold3d import Manifold

    return Manifold.sphere(r, segments)


def ellipsoid(x: float, y: float, z: float) -> Manifold:
    """An ellipsoid of full extents x, y, z."""
    return ball(1.0).scale([x / 2, y / 2, z / 2])


def outline(points: Sequence[Point], thickness: float, rounding: float = 0.0) -> Manifold:
    """A plate: a closed outline in the x-y plane, its corners rounded, `thickness` thick around z = 0."""
    from manifold3d import CrossSection, FillRule, JoinType, Manifold

    section = CrossSection([list(points)], FillRule.NonZero)
    if rounding > 0:
        for step in (-rounding, 2 * rounding, -rounding):
            section = section.offset(step, JoinType.Round, 2.0, 24)
    return Manifold.extrude(section, thickness).translate([0, 0, -thickness / 2])


def mirrored(upper: Sequence[Point]) -> list[Point]:
    """A closed outline symmetric about the x axis from its upper half (y > 0), x ascending."""
    return [*[(x, -y) for x, y in upper], *[(x, y) for x, y in reversed(upper)]]


def arc(radius: float, start: float, stop: float, n: int = 12, centre: Sequence[float] = (0.0, 0.0)) -> list[Point]:
    """Points of a circular arc, angles in degrees."""
    angles = np.radians(np.linspace(start, stop, n))
    return [(centre[0] + radius * math.cos(a), centre[1] + radius * math.sin(a)) for a in angles]


def combine(*bodies: Manifold) -> Manifold:
    from manifold3d import Manifold, OpType

    return Manifold.batch_boolean(list(bodies), OpType.Add)


def cut(body: Manifold, *tools: Manifold) -> Manifold:
    """Takes solids out of a body, one after the other."""
    return functools.reduce(operator.sub, tools, body)
