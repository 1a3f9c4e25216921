"""YCB-like cutlery: fork, spoon, knife and spatula, in millimetres with z up."""

from __future__ import annotations

import numpy as np

from toyshift.core.arrays import Array
from toyshift.toys.geometry.solid import Manifold
from toyshift.toys.ycb_like.sections import loft, stack, warped
from toyshift.toys.ycb_like.shapes import box, combine, cut, cylinder, ellipsoid, mirrored, outline


def _curved(body: Manifold, rise: float) -> Manifold:
    """Lifts a flat piece of cutlery: x from -100 to 100, the neck of the business end lies highest."""

    def lift(p: Array) -> Array:
        z = rise * np.exp(-(((p[:, 0] - 42) / 26) ** 2)) + 0.25 * rise * np.exp(-(((p[:, 0] + 100) / 40) ** 2))
        return np.asarray(p + np.column_stack([0 * z, 0 * z, z]))

    return warped(body, lift, 8.0)


def _handle() -> list[tuple[float, float]]:
    return [(-99, 2), (-97, 6), (-90, 9), (-70, 9), (-40, 7), (-10, 4.5), (20, 3.5), (44, 3.5)]


def fork() -> Manifold:
    flat = outline(mirrored([*_handle(), (52, 6), (58, 11), (64, 13), (99, 12)]), 4.5, 0.8)
    gaps = [box(34, 3.2, 20).translate([84, y, 0]) for y in (-6.8, 0.0, 6.8)]
    flat = combine(flat, outline(mirrored([(-98, 5), (-90, 8), (-60, 8), (-30, 5), (-20, 3)]), 8.5, 0.6))
    return _curved(cut(flat, *gaps), 10)


def spoon() -> Manifold:
    """A stout oval handle, a thin neck and a dish; x runs from the handle's end."""
    handle = loft([
        (0, 8, 5, 0, 14.2), (3, 15, 10, 0, 14.1), (10, 18.5, 12.8, 0, 13.9), (63, 15.7, 11.4, 0, 10),
        (97, 11.7, 9.2, 0, 7.5), (101, 8, 6, 0, 7.5),
    ], 24, 0.85)
    neck = loft([
        (98, 8, 3, 0, 7.5), (106, 7, 2.4, 0, 7.3), (127, 5.5, 2.4, 0, 5.9), (140, 14, 2.4, 0, 4.6),
        (146, 26, 2.2, 0, 3.8),
    ], 16, 0.6, 24)
    rim = ellipsoid(62, 41, 26)
    dish = rim - ellipsoid(58, 37.5, 22.5).translate([0, 0, -1.2]) - box(90, 60, 40).translate([0, 0, -20])
    return combine(handle, neck, dish.rotate([0, -12, 0]).translate([166, 0, 5]))


def knife() -> Manifold:
    blade = outline([(0, -7), (70, -9), (95, -8), (107, -1), (107, 3), (95, 6), (0, 6)], 3.5, 0.8)
    handle = stack([(8, 9, -108), (14, 17, -100), (15, 18, -60), (13, 15, -10), (6, 11, 4)], 20, 0.7).rotate([0, 90, 0])
    return combine(blade, handle)


def spatula() -> Manifold:
    """An oval handle with a hole, a neck hollow on its underside, and a blade at an angle.

    x runs from the handle's end.
    """
    handle = loft([
        (0, 4, 4, 0, 16), (4, 16, 10, 0, 16.5), (15, 24, 13, 0, 17), (30, 27, 16, 0, 18.5), (45, 29, 17, 0, 19.5),
        (65, 27, 18, 0, 20.5), (89, 24, 16, 0, 22), (115, 20, 13, 0, 25), (123, 17, 11, 0, 26),
    ], 16, segments=24)
    handle = handle - cylinder(6.5, 60).scale([1, 0.7, 1]).translate([17.6, 0, 17])
    neck = loft([
        (118, 14, 7, 0, 27.5), (140, 14, 8, 0, 24), (168, 14, 8, 0, 17.6), (197, 15, 5.5, 0, 8.5), (208, 18, 4, 0, 3.5),
        (214, 30, 4, 0, 2.6),
    ], 16, 0.4, 24)
    groove = loft([(126, 9, 6, 0, 23), (140, 9, 6, 0, 21.2), (168, 9, 6, 0, 14.8), (196, 9, 4, 0, 6.4)], 12, 0.3, 16)
    blade = loft([
        (205, 22, 4, 0, 3), (214, 33, 4, 0, 2.8), (224, 60, 3.8, 0, 5), (234, 77, 3.8, 0, 8), (254, 82, 3.8, 0, 13.2),
        (276, 83.5, 3.6, 0, 20), (302, 83, 3.4, 0, 28.5), (308, 78, 3, 0, 30.3), (311, 66, 2, 0, 31.3),
    ], 20, 0.35, 24)
    return combine(handle, neck - groove, blade)
