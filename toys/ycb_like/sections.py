"""Solids swept through profiles and sections, and bent afterwards, in millimetres with z up."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from toyshift.core.arrays import Array
from toyshift.toys.geometry.solid import Manifold
from toyshift.toys.ycb_like.shapes import ROUND, Point, ball, combine

Section = tuple[float, float, float, float, float]


def revolve(profile: Sequence[Point], segments: int = ROUND) -> Manifold:
    """The solid between a profile of (radius, z) points, from the bottom up, and the z axis."""
    from manifold3d import CrossSection, FillRule

    points = [(0.0, profile[0][1]), *profile, (0.0, profile[-1][1])]
    return CrossSection([points], FillRule.NonZero).revolve(segments)


def spun(points: Sequence[Point], segments: int = 64) -> Manifold:
    """Revolves a closed outline of (radius, z) points around z: a wall of any section."""
    from manifold3d import CrossSection, FillRule

    return CrossSection([list(points)], FillRule.NonZero).revolve(segments)


def vessel(outer: Sequence[Point], wall: float, floor: float, segments: int = ROUND) -> Manifold:
    """A hollow body of revolution, open at the top: profile (radius, z) from below, thickness of wall and floor."""
    top = outer[-1][1]
    inner = [(max(r - wall, 0.5), max(z, outer[0][1] + floor)) for r, z in outer]
    inner.append((inner[-1][0], top + 1.0))
    return revolve(outer, segments) - revolve(inner, segments)


def smooth(points: Sequence[Point], n: int = 24) -> list[Point]:
    """A smooth curve through points whose second entries ascend (monotone cubic), sampled at n places."""
    from scipy.interpolate import PchipInterpolator

    r, z = np.array(points).T
    places = np.linspace(z[0], z[-1], n)
    return [(float(a), float(b)) for a, b in zip(np.maximum(PchipInterpolator(z, r)(places), 0.2), places, strict=True)]


def tube(path: Sequence[Sequence[float]], radii: float | Sequence[float], segments: int = 12) -> Manifold:
    """A round rod along a path of 3-D points; one radius, or one for each point."""
    from manifold3d import Manifold

    sizes = [radii] * len(path) if isinstance(radii, int | float) else list(radii)
    beads = [ball(r, segments).translate(list(p)) for p, r in zip(path, sizes, strict=True)]
    return combine(*[Manifold.batch_hull([a, b]) for a, b in itertools.pairwise(beads)])


def warped(body: Manifold, change: Callable[[Array], Array], finest: float = 0.0) -> Manifold:
    """Moves every vertex (n, 3) -> (n, 3); edges longer than `finest` are split first."""
    if finest > 0:
        body = body.refine_to_length(finest)
    return body.warp_batch(lambda points: np.ascontiguousarray(change(np.asarray(points))))


def stack(sections: Sequence[tuple[float, float, float]], n: int = 28, corner: float = 1.0) -> Manifold:
    """A bottle: (width x, depth y, z) from the bottom up, smooth between them; corner 1 is elliptic, towards 0 boxy."""
    from scipy.interpolate import PchipInterpolator

    values = np.array(sections)
    z = np.linspace(values[0, 2], values[-1, 2], n)
    wide, deep = (PchipInterpolator(values[:, 2], values[:, k])(z) / 2 for k in (0, 1))
    body = revolve([(1.0, float(v)) for v in z])

    def change(p: Array) -> Array:
        angle = np.arctan2(p[:, 1], p[:, 0])
        rim = np.hypot(p[:, 0], p[:, 1])
        c, s = np.cos(angle), np.sin(angle)
        x = np.sign(c) * np.abs(c) ** corner * np.interp(p[:, 2], z, wide)
        y = np.sign(s) * np.abs(s) ** corner * np.interp(p[:, 2], z, deep)
        return np.column_stack([x * rim, y * rim, p[:, 2]])

    return warped(body, change)


def loft(sections: Sequence[Section], n: int = 32, corner: float = 1.0, segments: int = ROUND) -> Manifold:
    """A bar along x: sections (x, width y, thickness z, centre y, centre z) in ascending x, smooth between them.

    A corner of 1 makes elliptic sections, towards 0 boxy ones.
    """
    from scipy.interpolate import PchipInterpolator

    values = np.array(sections)
    x = np.union1d(np.linspace(values[0, 0], values[-1, 0], n), values[:, 0])
    table = PchipInterpolator(values[:, 0], values[:, 1:])(x)
    body = revolve([(1.0, float(v)) for v in x], segments)

    def change(p: Array) -> Array:
        rim, angle = np.hypot(p[:, 0], p[:, 1]), np.arctan2(p[:, 1], p[:, 0])
        wide, thick, side, up = (np.interp(p[:, 2], x, column) for column in table.T)
        c, s = np.cos(angle), np.sin(angle)
        y = side + rim * np.sign(c) * np.abs(c) ** corner * wide / 2
        return np.column_stack([p[:, 2], y, up + rim * np.sign(s) * np.abs(s) ** corner * thick / 2])

    return warped(body, change)


def bent(body: Manifold, radius: float) -> Manifold:
    """Bends a body that is long in x around an axis parallel to y, its middle staying where it is."""

    def change(p: Array) -> Array:
        angle, arm = p[:, 0] / radius, radius - p[:, 2]
        return np.column_stack([arm * np.sin(angle), p[:, 1], radius - arm * np.cos(angle)])

    return warped(body, change, 12.0)
