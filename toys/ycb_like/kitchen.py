"""YCB-like groceries: boxes, cans, bottles, fruit, sponge and balls, in millimetres with z up."""

from __future__ import annotations

import math

import numpy as np

from toyshift.core.arrays import Array
from toyshift.toys.geometry.solid import Manifold
from toyshift.toys.ycb_like.sections import bent, revolve, smooth, stack, tube, warped
from toyshift.toys.ycb_like.shapes import ball, box, combine, cylinder, ellipsoid, outline


def can(diameter: float, height: float, rim: float = 1.5) -> Manifold:
    """A tin: seams at both ends, lid and bottom set in."""
    r = diameter / 2
    seam = min(3.0, height / 8)
    low, high = height - seam, height - 0.5
    bottom, top = [(r - 1, 0), (r, 0.5), (r, seam), (r - 1, seam + 0.6)], [(r, low), (r, high), (r - 1, height)]
    body = revolve([*bottom, (r - 1, low - 0.6), *top])
    inset = cylinder(r - 2.5, 2 * rim)
    return body - inset - inset.translate([0, 0, height])


def potted_meat_can() -> Manifold:
    def rounded_slab(x: float, y: float, z0: float, z1: float) -> Manifold:
        corners = [(-x / 2, -y / 2), (x / 2, -y / 2), (x / 2, y / 2), (-x / 2, y / 2)]
        return outline(corners, z1 - z0, 14).translate([0, 0, (z0 + z1) / 2])

    body = rounded_slab(97, 53, 0, 80)
    return combine(body, rounded_slab(102, 57, 76, 83)) - rounded_slab(94, 50, 81, 90)


def mustard_bottle() -> Manifold:
    neck = [(80, 50, 140), (34, 34, 152), (30, 30, 156)]
    body = stack([(86, 52, 0), (94, 57, 6), (92, 56, 50), (80, 52, 85), (94, 58, 120), *neck], 40, 0.8)
    return combine(body, cylinder(16, 12).translate([0, 0, 160]), revolve([(13, 164), (12, 174), (7, 178), (6, 191)]))


def bleach_bottle() -> Manifold:
    body = stack([(92, 62, 0), (98, 68, 6), (96, 67, 90), (80, 62, 165), (46, 44, 190), (44, 44, 196)], 36, 0.75)
    cap = [(cylinder(24, 30, 20), 208), (cylinder(13, 16), 230), (cylinder(10, 18), 245)]
    return combine(body, *[part.translate([0, 0, z]) for part, z in cap])


def windex_bottle() -> Manifold:
    body = stack([(88, 55, 0), (94, 60, 6), (92, 58, 110), (70, 46, 160), (34, 32, 190), (32, 32, 205)], 32, 0.75)
    trigger = [(-34, 218), (-30, 262), (-10, 270), (38, 262), (46, 258), (46, 244), (20, 238), (14, 218)]
    head = combine(
        cylinder(18, 20).translate([0, 0, 212]),
        outline(trigger, 24, 2).rotate([90, 0, 0]),
        tube([(20, 0, 236), (30, 0, 220), (34, 0, 200)], 4), cylinder(8, 10).rotate([0, 90, 0]).translate([48, 0, 251]),
    )
    return combine(body, head)


def banana() -> Manifold:
    fruit, tip = [(34, 33, -58), (39, 36, -10), (38, 36, 30), (28, 27, 72)], [(11, 11, 92), (8, 8, 97)]
    body = stack([(5, 5, -102), (13, 13, -94), (15, 15, -84), *fruit, *tip], 36, 0.85)
    return bent(body.rotate([0, 90, 0]), 118)


def strawberry() -> Manifold:
    def seeds(p: Array) -> Array:
        theta, phi = np.arctan2(p[:, 1], p[:, 0]), np.arccos(np.clip(p[:, 2] / np.linalg.norm(p, axis=1), -1, 1))
        return np.asarray(p * (1 - 0.025 * np.maximum(0, np.sin(9 * theta) * np.sin(9 * phi)))[:, None])

    body = warped(revolve(smooth([(4, -23), (13, -19), (19.5, -7), (22.5, 7), (19, 18), (7, 22)], 26)), seeds)
    leaves = [ellipsoid(18, 8, 3).translate([9, 0, 0]).rotate([0, 24, 72 * k]).translate([0, 0, 24]) for k in range(5)]
    return combine(body, *leaves)


def apple() -> Manifold:
    side = smooth([(2, 0), (20, 1), (33, 16), (37.5, 38), (34, 58), (20, 71)], 26)[1:]
    return revolve([(2, 6), *side, (8, 70), (2, 62)]) + tube([(0, 0, 60), (2, 0, 72)], 1.5)


def lemon() -> Manifold:
    return revolve(smooth([(3, -30), (7, -27), (18, -19), (26, -3), (24, 11), (13, 23), (6, 27), (4, 29)], 30))


def peach() -> Manifold:
    def groove(p: Array) -> Array:
        depth = 0.06 * np.exp(-((np.arctan2(p[:, 1], p[:, 0]) / 0.22) ** 2))
        return np.asarray(p * np.column_stack([1 - depth, 1 - depth, np.ones(len(p))]))

    return warped(revolve([(1, -26), *smooth([(5, -28), (22, -20), (31, 2), (25, 20), (8, 28)], 24), (1, 25)]), groove)


def pear() -> Manifold:
    body = revolve(smooth([(4, 0), (20, 3), (32.5, 26), (28, 48), (17, 68), (12.5, 82), (8, 91), (2, 94)], 32))
    leaning = warped(body, lambda p: p + np.column_stack([0.0012 * p[:, 2] ** 2, 0 * p[:, 2], 0 * p[:, 2]]))
    return combine(leaning, tube([(9, 0, 90), (12, 0, 97)], 1.5))


def sponge() -> Manifold:
    def pillow(p: Array) -> Array:
        thin = (np.maximum(np.abs(p[:, 0]) / 39.5, np.abs(p[:, 1]) / 55.5)) ** 6
        return np.asarray(p * np.column_stack([np.ones(len(p)), np.ones(len(p)), 1 - 0.25 * thin]))

    return warped(box(79, 111, 18, 4), pillow, 12.0)


def ridged_ball(diameter: float, depth: float, seams: int) -> Manifold:
    """A ball with seams along great circles."""

    def press(p: Array) -> Array:
        unit = p / np.linalg.norm(p, axis=1, keepdims=True)
        angles = [(k, math.pi * k / seams) for k in range(seams)]
        planes = [np.array([math.cos(angle), math.sin(angle), 0.3 * (-1) ** k]) for k, angle in angles]
        near = np.min([np.abs(unit @ (n / np.linalg.norm(n))) for n in planes], axis=0)
        return np.asarray(p * (1 - depth / (diameter / 2) * np.exp(-((near / 0.05) ** 2)))[:, None])

    return warped(ball(diameter / 2, 56), press)
