"""YCB-like small things: foam brick, die, marbles, blocks, peg test, cube, golf ball, in millimetres with z up."""

from __future__ import annotations

import math

import numpy as np

from toyshift.core.arrays import Array
from toyshift.toys.geometry.solid import Manifold
from toyshift.toys.ycb_like.sections import warped
from toyshift.toys.ycb_like.shapes import Point, ball, box, combine, cut, cylinder


def foam_brick() -> Manifold:
    return cut(box(52, 78, 51, 1), *[cylinder(5, 120).translate([0, y, 0]) for y in (-20.0, 0.0, 20.0)])


def die() -> Manifold:
    pips: dict[tuple[float, float, float], list[Point]] = {
        (0, 0, 0): [(0, 0)], (180, 0, 0): [(-1, -1), (-1, 0), (-1, 1), (1, -1), (1, 0), (1, 1)],
        (90, 0, 0): [(-1, -1), (1, 1)], (-90, 0, 0): [(-1, -1), (1, 1), (1, -1), (-1, 1), (0, 0)],
        (0, 90, 0): [(-1, -1), (0, 0), (1, 1)], (0, -90, 0): [(-1, -1), (1, 1), (1, -1), (-1, 1)],
    }
    body = box(17, 17, 17, 2)
    spots = [(turn, x, y) for turn, places in pips.items() for x, y in places]
    hollows = [ball(1.4, 12).translate([4 * x, 4 * y, 9.1]).rotate(list(turn)) for turn, x, y in spots]
    return cut(body, *hollows)


def marbles() -> Manifold:
    """A pile of marbles, each touching its neighbours: one rigid body like the scan."""
    spots = [(0.0, 0.0, 12.0, 18.0)]
    spots += [(24 * math.cos(t), 24 * math.sin(t), -2.0, 9.0) for t in np.linspace(0, 2 * math.pi, 9)[:-1]]
    spots += [(20 * math.cos(t), 20 * math.sin(t), -16.0, 11.0) for t in np.linspace(0.2, 0.2 + 2 * math.pi, 7)[:-1]]
    spots += [(0, 0, -14, 14), (4, 6, 34, 8), (31, 8, -12, 6), (-31, -6, -14, 6), (0, 0, -30, 8)]
    return combine(*[ball(r, 16).translate([x, y, z]) for x, y, z, r in spots])


def block_box() -> Manifold:
    """A crate heaped with wooden blocks under a round lid."""
    crate = box(142, 141, 112, 2).translate([0, 0, 56])
    turned = [box(26, 26, 26, 1).rotate([0, 0, 20 * k]) for k in range(6)]
    blocks = [block.translate([38 * math.cos(k), 38 * math.sin(k), 118]) for k, block in enumerate(turned)]
    top = [(cylinder(40, 40), 130), (cylinder(62, 14, 58), 152), (cylinder(58, 7), 161)]
    return combine(crate, *blocks, *[part.translate([0, 0, z]) for part, z in top])


def peg_test() -> Manifold:
    body = box(131, 118, 40, 2)
    holes = [cylinder(3.6, 24).translate([x, y, 14]) for x in (-32, 0, 32) for y in (-32, 0, 32)]
    return combine(cut(body, *holes), box(48, 36, 28, 2).translate([-38, 74, 4]))


def rubiks_cube() -> Manifold:
    cell, places = box(18.6, 18.6, 18.6, 1.2), (-19.4, 0.0, 19.4)
    return combine(box(56, 56, 56), *[cell.translate([x, y, z]) for x in places for y in places for z in places])


def dimpled_ball(diameter: float) -> Manifold:
    """A golf ball: shallow dimples on a Fibonacci sphere."""
    n = 90
    k = np.arange(n)
    z = 1 - (2 * k + 1) / n
    spots = np.column_stack([np.sqrt(1 - z * z) * np.cos(2.399963 * k), np.sqrt(1 - z * z) * np.sin(2.399963 * k), z])

    def press(p: Array) -> Array:
        unit = p / np.linalg.norm(p, axis=1, keepdims=True)
        near = (unit @ spots.T).max(axis=1)
        return np.asarray(p * (1 - 0.012 * np.clip((near - 0.99) / 0.01, 0, 1))[:, None])

    return warped(ball(diameter / 2, 64), press)
