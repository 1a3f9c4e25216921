"""YCB-like vessels: bowl, plate, mug, stacking cups, pitcher and skillet lid, in millimetres with z up."""

from __future__ import annotations

import math

import numpy as np

from toyshift.core.arrays import Array
from toyshift.toys.geometry.solid import Manifold
from toyshift.toys.ycb_like.sections import revolve, spun, tube, vessel, warped
from toyshift.toys.ycb_like.shapes import combine, cylinder


def bowl() -> Manifold:
    """A wall of 1 mm with a sharp foot and a turned-out rim, as measured on the scan."""
    outside = [
        (0, 1.7), (24, 1.3), (41, 0.6), (43, 0), (44.4, 1), (46, 2), (48, 4), (52.1, 8), (56, 12), (58.5, 15),
        (62.2, 20), (65.1, 25), (67.6, 30), (69.75, 35), (71.3, 40), (72.4, 45), (73.5, 49.2), (74.7, 50.8),
        (78.9, 51.4), (79.6, 52.6), (78.8, 54.9),
    ]
    inside = [
        (77.4, 54.9), (75.7, 53.2), (74, 51.8), (72.8, 50.2), (71.46, 45), (70.36, 40), (68.78, 35), (66.6, 30),
        (64.1, 25), (61.1, 20), (57.4, 15), (54.9, 12), (50.9, 8), (46.8, 4), (45.5, 2.9), (43.6, 1.6), (41.1, 1.5),
        (30, 2.1), (19, 2.5), (0, 2.75),
    ]
    return spun([*outside, *inside], 72)


def plate() -> Manifold:
    """A wall of 1 mm: flat middle, steep shoulder, wide rim, as measured on the scan."""
    outside = [
        (0, 2.0), (15, 1.9), (30, 1.65), (45, 1.25), (57, 0.8), (66, 0.4), (74, 0), (78, 0.1), (80, 0.6), (82, 1.15),
        (84, 1.95), (86, 3.1), (88, 4.8), (90, 7.2), (92, 9.75), (94, 12.1), (97, 14.1), (100, 15.3), (107, 17.65),
        (115, 20.2), (123, 22.5), (129.6, 23.4),
    ]
    inside = [
        (129.8, 24.7), (127, 24.1), (123, 23.5), (115, 21.15), (107, 18.65), (100, 16.2), (97, 14.9), (94, 12.95),
        (92, 10.8), (90, 8.55), (88, 6.2), (86, 4.35), (84, 3.05), (82, 2.15), (80, 1.5), (77, 1.05), (74, 1.0),
        (66, 1.35), (57, 1.75), (45, 2.25), (30, 2.7), (15, 3.05), (0, 3.15),
    ]

    def warp(p: Array) -> Array:
        """Out of flat by half a millimetre, like the scanned plate: it is bent about one diameter."""
        radius, angle = np.hypot(p[:, 0], p[:, 1]), np.arctan2(p[:, 1], p[:, 0])
        drop = 0.55 * np.minimum(radius / 90, 1.15) * np.cos(2 * angle)
        return np.asarray(p - np.column_stack([0 * angle, 0 * angle, drop]))

    return warped(spun([*outside, *inside], 72), warp)


def mug() -> Manifold:
    body = vessel([(36.0, 0.0), (40.0, 2.0), (41.0, 6.0), (41.0, 81.0)], 4.0, 5.0, 48)
    path = [(40, 0, 68), (52, 0, 70), (61, 0, 62), (63, 0, 46), (60, 0, 30), (52, 0, 20), (39, 0, 17)]
    return combine(body, tube(path, 5.5).scale([1, 1.1, 1]) - cylinder(38.5, 200))


def cup(wall: float, rim: float, height: float) -> Manifold:
    """A stacking cup on a foot ring: 2 mm of nearly straight wall, a hollow foot, a lip that hangs outside the wall.

    Args:
        wall: outer radius halfway up.
        rim: radius of the lip.
        height: from the foot to the lip.
    """
    foot, h = wall - 4.8, height
    outside = [
        (0, 6.2), (0.6 * foot, 6.4), (foot - 1.9, 6.6), (foot - 1.5, 4.5), (foot - 0.9, 2), (foot - 0.1, 0),
        (foot + 0.1, 0), (foot + 0.6, 2), (foot + 1, 6), (wall - 2.5, 7), (wall - 0.9, 8), (wall - 0.45, 9.5),
        (wall - 0.3, 14), (wall + 0.3, h - 12), (wall + 0.6, h - 5), (wall + 1.1, h - 3.8), (rim - 2, h - 3.8),
        (rim - 0.3, h - 4.2), (rim, h - 3), (rim - 0.4, h - 1.4), (0.4 * wall + 0.6 * rim, h),
    ]
    inside = [
        (0.55 * wall + 0.45 * rim, h), (wall + 0.9, h - 1), (wall - 0.6, h - 2.5), (wall - 1.4, h - 6),
        (wall - 1.6, h - 12), (wall - 2.3, 15), (wall - 2.5, 9), (wall - 3, 8.2), (0, 8),
    ]
    return spun([*outside, *inside])


def pitcher() -> Manifold:
    body = vessel([(48.0, 0.0), (54.0, 3.0), (56.0, 20.0), (62.0, 235.0), (64.0, 246.0)], 3.0, 4.0, 48)

    def spout(p: Array) -> Array:
        ahead = np.clip(np.cos(np.arctan2(p[:, 1], p[:, 0])) - 0.75, 0, 1)
        pull = np.clip((p[:, 2] - 170) / 76, 0, 1) ** 2 * ahead / 0.25 * 16
        return np.asarray(p + np.column_stack([pull, 0 * pull, 0 * pull]))

    path = [(-58, 0, 215), (-78, 0, 218), (-86, 0, 200), (-85, 0, 140), (-78, 0, 90), (-55, 0, 78)]
    handle = tube(path, 8).scale([1, 1.3, 1]) - cylinder(56, 600).translate([0, 0, 200])
    return combine(warped(body, spout, 20.0), handle)


def skillet_lid() -> Manifold:
    shell = revolve([(134, 0), (134, 4), (126, 9), *arc_profile(120, 44, 8)], 48)
    hollow = revolve([(132.4, -1), (132.4, 3), (124, 7.8), *arc_profile(118.6, 42.6, 8)], 48)
    return combine(shell - hollow, revolve([(16, 38), (9, 50), (10, 56), (22, 62), (24, 70), (18, 75)]))


def arc_profile(radius: float, top: float, n: int) -> list[tuple[float, float]]:
    """A flat dome: from (radius, 10) up to the axis at height `top`."""
    return [(radius * math.cos(t), 10 + (top - 10) * math.sin(t)) for t in np.linspace(0.02, math.pi / 2 - 0.02, n)]
