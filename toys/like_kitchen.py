"""YCB-like shapes from the kitchen: boxes, cans, bottles, fruit, vessels and cutlery, in millimetres with z up."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from toyshift.toys.model import Array
from toyshift.toys.shapes import (
    ball,
    bent,
    box,
    combine,
    cylinder,
    ellipsoid,
    mirrored,
    outline,
    revolve,
    smooth,
    stack_of_sections,
    tube,
    vessel,
    warped,
)

if TYPE_CHECKING:
    from manifold3d import Manifold


def can(diameter: float, height: float, rim: float = 1.5) -> Manifold:
    """A tin: seams at both ends, lid and bottom set in."""
    r = diameter / 2
    seam = min(3.0, height / 8)
    body = revolve([(r - 1, 0), (r, 0.5), (r, seam), (r - 1, seam + 0.6), (r - 1, height - seam - 0.6), (r, height - seam), (r, height - 0.5), (r - 1, height)])
    inset = cylinder(r - 2.5, 2 * rim)
    return body - inset - inset.translate([0, 0, height])


def potted_meat_can() -> Manifold:
    def rounded_slab(x: float, y: float, z0: float, z1: float) -> Manifold:
        return outline([(-x / 2, -y / 2), (x / 2, -y / 2), (x / 2, y / 2), (-x / 2, y / 2)], z1 - z0, 14).translate([0, 0, (z0 + z1) / 2])

    body = rounded_slab(97, 53, 0, 80)
    return combine(body, rounded_slab(102, 57, 76, 83)) - rounded_slab(94, 50, 81, 90)


def mustard_bottle() -> Manifold:
    body = stack_of_sections([(86, 52, 0), (94, 57, 6), (92, 56, 50), (80, 52, 85), (94, 58, 120), (80, 50, 140), (34, 34, 152), (30, 30, 156)], 40, 0.8)
    return combine(body, cylinder(16, 12).translate([0, 0, 160]), revolve([(13, 164), (12, 174), (7, 178), (6, 191)]))


def bleach_bottle() -> Manifold:
    body = stack_of_sections([(92, 62, 0), (98, 68, 6), (96, 67, 90), (80, 62, 165), (46, 44, 190), (44, 44, 196)], 36, 0.75)
    return combine(body, cylinder(24, 30, 20).translate([0, 0, 208]), cylinder(13, 16).translate([0, 0, 230]), cylinder(10, 18).translate([0, 0, 245]))


def windex_bottle() -> Manifold:
    body = stack_of_sections([(88, 55, 0), (94, 60, 6), (92, 58, 110), (70, 46, 160), (34, 32, 190), (32, 32, 205)], 32, 0.75)
    head = combine(
        cylinder(18, 20).translate([0, 0, 212]),
        outline([(-34, 218), (-30, 262), (-10, 270), (38, 262), (46, 258), (46, 244), (20, 238), (14, 218)], 24, 2).rotate([90, 0, 0]),
        tube([(20, 0, 236), (30, 0, 220), (34, 0, 200)], 4), cylinder(8, 10).rotate([0, 90, 0]).translate([48, 0, 251]),
    )
    return combine(body, head)


def banana() -> Manifold:
    body = stack_of_sections([(5, 5, -102), (13, 13, -94), (15, 15, -84), (34, 33, -58), (39, 36, -10), (38, 36, 30), (28, 27, 72), (11, 11, 92), (8, 8, 97)], 36, 0.85)
    return bent(body.rotate([0, 90, 0]), 118)


def strawberry() -> Manifold:
    def seeds(p: Array) -> Array:
        theta, phi = np.arctan2(p[:, 1], p[:, 0]), np.arccos(np.clip(p[:, 2] / np.linalg.norm(p, axis=1), -1, 1))
        return np.asarray(p * (1 - 0.025 * np.maximum(0, np.sin(9 * theta) * np.sin(9 * phi)))[:, None])

    body = warped(revolve(smooth([(4, -23), (13, -19), (19.5, -7), (22.5, 7), (19, 18), (7, 22)], 26)), seeds)
    leaves = [ellipsoid(18, 8, 3).translate([9, 0, 0]).rotate([0, 24, 72 * k]).translate([0, 0, 24]) for k in range(5)]
    return combine(body, *leaves)


def apple() -> Manifold:
    return revolve([(2, 6), *[(r, z) for r, z in smooth([(2, 0), (20, 1), (33, 16), (37.5, 38), (34, 58), (20, 71)], 26)[1:]], (8, 70), (2, 62)]) + tube([(0, 0, 60), (2, 0, 72)], 1.5)


def lemon() -> Manifold:
    return revolve(smooth([(3, -30), (7, -27), (18, -19), (26, -3), (24, 11), (13, 23), (6, 27), (4, 29)], 30))


def peach() -> Manifold:
    def groove(p: Array) -> Array:
        depth = 0.06 * np.exp(-((np.arctan2(p[:, 1], p[:, 0]) / 0.22) ** 2))
        return np.asarray(p * np.column_stack([1 - depth, 1 - depth, np.ones(len(p))]))

    return warped(revolve([(1, -26), *smooth([(5, -28), (22, -20), (31, 2), (25, 20), (8, 28)], 24), (1, 25)]), groove)


def pear() -> Manifold:
    body = revolve(smooth([(4, 0), (20, 3), (32.5, 26), (28, 48), (17, 68), (12.5, 82), (8, 91), (2, 94)], 32))
    return combine(warped(body, lambda p: p + np.column_stack([0.0012 * p[:, 2] ** 2, 0 * p[:, 2], 0 * p[:, 2]])), tube([(9, 0, 90), (12, 0, 97)], 1.5))


def bowl() -> Manifold:
    outer = [(38.0, 0.0), (44.0, 2.0), *smooth([(46, 5), (66, 20), (76, 38), (79, 50), (80.5, 54)], 12)]
    return vessel(outer, 1.6, 3.0, 48)


def plate() -> Manifold:
    outer = [(78.0, 0.0), (82.0, 1.0), (92.0, 9.0), (100.0, 15.0), (128.0, 24.0), (130.0, 26.0)]
    inner = [(0.1, 1.6), (80.0, 1.6), (90.8, 10.2), (99.4, 16.4), (127.4, 25.6), (128.6, 27.0)]
    return revolve(outer, 48) - revolve(inner, 48)


def mug() -> Manifold:
    body = vessel([(36.0, 0.0), (40.0, 2.0), (41.0, 6.0), (41.0, 81.0)], 4.0, 5.0, 48)
    handle = tube([(40, 0, 68), (52, 0, 70), (61, 0, 62), (63, 0, 46), (60, 0, 30), (52, 0, 20), (39, 0, 17)], 5.5).scale([1, 1.1, 1])
    return combine(body, handle - cylinder(38.5, 200))


def cup(diameter: float, height: float) -> Manifold:
    """A stacking cup: straight wall, rounded foot, turned-out rim."""
    r = diameter / 2
    wall = 0.88 * r
    outer = [(0.74 * r, 0.0), (0.8 * r, 1.5), (0.82 * r, 6.0), (0.84 * r, 8.0), (wall, 12.0), (wall, height - 8), (wall + 1, height - 5)]
    shell = vessel([*outer, (wall + 1, height)], 2.0, 2.0, 48)
    rim = revolve([(wall - 0.5, height - 5), (r - 1, height - 4), (r, height - 2.5), (r - 1, height)], 48) - cylinder(wall - 1, 4 * height)
    return combine(shell, rim)


def pitcher() -> Manifold:
    body = vessel([(48.0, 0.0), (54.0, 3.0), (56.0, 20.0), (62.0, 235.0), (64.0, 246.0)], 3.0, 4.0, 48)

    def spout(p: Array) -> Array:
        pull = np.clip((p[:, 2] - 170) / 76, 0, 1) ** 2 * np.clip(np.cos(np.arctan2(p[:, 1], p[:, 0])) - 0.75, 0, 1) / 0.25 * 16
        return np.asarray(p + np.column_stack([pull, 0 * pull, 0 * pull]))

    path = [(-58, 0, 215), (-78, 0, 218), (-86, 0, 200), (-85, 0, 140), (-78, 0, 90), (-55, 0, 78)]
    return combine(warped(body, spout, 20.0), tube(path, 8).scale([1, 1.3, 1]) - cylinder(56, 600).translate([0, 0, 200]))


def skillet_lid() -> Manifold:
    shell = revolve([(134, 0), (134, 4), (126, 9), *arc_profile(120, 44, 8)], 48) - revolve([(132.4, -1), (132.4, 3), (124, 7.8), *arc_profile(118.6, 42.6, 8)], 48)
    knob = revolve([(16, 38), (9, 50), (10, 56), (22, 62), (24, 70), (18, 75)])
    return combine(shell, knob)


def arc_profile(radius: float, top: float, n: int) -> list[tuple[float, float]]:
    """A flat dome: from (radius, 10) up to the axis at height `top`."""
    return [(radius * math.cos(t), 10 + (top - 10) * math.sin(t)) for t in np.linspace(0.02, math.pi / 2 - 0.02, n)]


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
    for gap in gaps:
        flat = flat - gap
    return _curved(flat, 10)


def spoon() -> Manifold:
    flat = combine(outline(mirrored(_handle()), 4.5, 0.8), outline(mirrored([(-98, 5), (-90, 8), (-60, 8), (-30, 5), (-20, 3)]), 8.5, 0.6))
    dish = ellipsoid(62, 41, 22).translate([68, 0, 4]) - ellipsoid(59, 38, 20).translate([68, 0, 6.5]) - box(90, 60, 40).translate([68, 0, 24])
    return combine(_curved(flat, 8), dish, tube([(34, 0, 7), (44, 0, 4)], 2.6).scale([1, 1.4, 1]))


def knife() -> Manifold:
    blade = outline([(0, -7), (70, -9), (95, -8), (107, -1), (107, 3), (95, 6), (0, 6)], 3.5, 0.8)
    handle = stack_of_sections([(8, 9, -108), (14, 17, -100), (15, 18, -60), (13, 15, -10), (6, 11, 4)], 20, 0.7).rotate([0, 90, 0])
    return combine(blade, handle)


def spatula() -> Manifold:
    blade = outline(mirrored([(60, 5), (78, 14), (95, 35), (148, 42), (155, 38)]), 3.5, 3)
    for y in (-20, -7, 7, 20):
        blade = blade - outline([(100, y - 2.5), (140, y - 2.5), (140, y + 2.5), (100, y + 2.5)], 20, 1)
    neck = tube([(-10, 0, 26), (20, 0, 24), (50, 0, 12), (68, 0, 1)], [5, 4.5, 4, 3.5]).scale([1, 1.5, 1])
    handle = stack_of_sections([(10, 14, -156), (16, 24, -145), (17, 22, -80), (12, 14, -5)], 20, 0.9).rotate([0, 90, 0]).translate([0, 0, 26])
    return combine(blade, neck, handle)


def sponge() -> Manifold:
    def pillow(p: Array) -> Array:
        thin = (np.maximum(np.abs(p[:, 0]) / 39.5, np.abs(p[:, 1]) / 55.5)) ** 6
        return np.asarray(p * np.column_stack([np.ones(len(p)), np.ones(len(p)), 1 - 0.25 * thin]))

    return warped(box(79, 111, 18, 4), pillow, 12.0)


def ridged_ball(diameter: float, depth: float, seams: int) -> Manifold:
    """A ball with seams along great circles."""

    def press(p: Array) -> Array:
        unit = p / np.linalg.norm(p, axis=1, keepdims=True)
        planes = [np.array([math.cos(math.pi * k / seams), math.sin(math.pi * k / seams), 0.3 * (-1) ** k]) for k in range(seams)]
        near = np.min([np.abs(unit @ (n / np.linalg.norm(n))) for n in planes], axis=0)
        return np.asarray(p * (1 - depth / (diameter / 2) * np.exp(-((near / 0.05) ** 2)))[:, None])

    return warped(ball(diameter / 2, 56), press)
