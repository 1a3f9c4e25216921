"""YCB-like shapes from the workshop and the toy box: tools, clamps, balls, bricks, aeroplane parts, in millimetres with z up."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from toyshift.toys.model import Array
from toyshift.toys.shapes import (
    Point,
    arc,
    ball,
    box,
    combine,
    cylinder,
    ellipsoid,
    mirrored,
    outline,
    revolve,
    stack_of_sections,
    tube,
    warped,
)

if TYPE_CHECKING:
    from manifold3d import Manifold


def power_drill() -> Manifold:
    body = stack_of_sections([(40, 40, -70), (54, 54, -62), (56, 56, 0), (50, 50, 40), (38, 38, 62)], 24, 0.85).rotate([0, 90, 0]).translate([0, 0, 150])
    chuck = combine(cylinder(17, 30, 14).rotate([0, 90, 0]).translate([75, 0, 150]), cylinder(9, 28, 6).rotate([0, 90, 0]).translate([98, 0, 150]))
    grip = stack_of_sections([(44, 36, 0), (40, 34, 30), (36, 34, 90), (50, 38, 130)], 18, 0.85).translate([-38, 0, 18])
    trigger = box(14, 12, 26, 3).translate([-8, 0, 112])
    battery = box(92, 56, 34, 8).translate([-28, 0, 15])
    return combine(body, chuck, grip, trigger, battery)


def _loop(a: float, b: float) -> list[list[float]]:
    return [[a * math.cos(t), b * math.sin(t), 0.0] for t in np.linspace(0, 2 * math.pi, 25)]


def scissors() -> Manifold:
    def half(sign: int) -> Manifold:
        ring = tube(_loop(27, 18), 5.5).scale([1, 1, 1.3]).translate([-70, sign * 24, 0])
        shank = tube([(-44, sign * 18, 0), (-20, sign * 8, 0), (0, 0, 0)], [6, 6, 7])
        blade = outline([(-6, -6 * sign), (30, -8 * sign), (98, 2 * sign), (98, 3 * sign), (0, 8 * sign)][:: sign], 4).translate([0, 0, 1.6 * sign])
        return combine(ring, shank, blade)

    return combine(half(1), half(-1), cylinder(6, 13))


def padlock() -> Manifold:
    body = box(54, 29, 31, 3).translate([0, 0, 15.5])
    shackle = tube([(-17, 0, 28), *[(x, 0.0, z + 48) for x, z in arc(17, 180, 0, 12)], (17, 0, 28)], 4.5)
    return combine(body, shackle)


def marker() -> Manifold:
    return revolve([(6, 0), (7, 1), (8.6, 3), (8.6, 76), (9.5, 77), (9.5, 116), (8.6, 118), (4, 121)]).rotate([0, 90, 0])


def adjustable_wrench() -> Manifold:
    handle = outline(mirrored([(-100, 6), (-94, 11), (-84, 11), (-60, 8), (30, 8), (52, 12)]), 5, 2) - cylinder(5.5, 40).translate([-90, 0, 0])
    head = outline([(42, -12), (56, -28), (78, -30), (100, -24), (104, -14), (84, -12), (76, -2), (78, 10), (98, 14), (96, 24), (74, 28), (54, 18)], 7.5, 2)
    return combine(handle, head, cylinder(7, 14).rotate([90, 0, 20]).translate([60, 4, 0]))


def screwdriver(flat: bool) -> Manifold:
    handle = revolve([(9, 0), (14, 3), (17, 10), (17, 60), (13, 72), (12, 78), (16, 90), (15, 96), (8, 101)])

    def flutes(p: Array) -> Array:
        angle = np.arctan2(p[:, 1], p[:, 0])
        return np.asarray(p * np.column_stack([*[1 - 0.06 * np.maximum(0, np.cos(6 * angle))] * 2, np.ones(len(p))]))

    shaft = cylinder(3.2, 112).translate([0, 0, 154])
    tip = (
        outline([(-3.2, 0), (3.2, 0), (3.5, 10), (-3.5, 10)], 1.6).rotate([90, 0, 0]).translate([0, 0, 206])
        if flat
        else cylinder(3.2, 8, 1.2).translate([0, 0, 212])
    )
    return combine(warped(handle, flutes), shaft, tip).rotate([0, 90, 0])


def hammer() -> Manifold:
    handle = stack_of_sections([(26, 20, -168), (32, 24, -160), (30, 22, -60), (24, 18, -20), (20, 15, 60), (22, 16, 150)], 24, 0.9).rotate([0, 90, 0])
    neck = box(34, 26, 24, 4).translate([150, 0, 0])
    face = combine(cylinder(11, 40).rotate([90, 0, 0]).translate([150, 30, 0]), cylinder(16, 16).rotate([90, 0, 0]).translate([150, 56, 0]))
    claw = outline([(138, -8), (164, -8), (162, -30), (150, -50), (134, -62), (132, -60), (142, -44), (142, -26)], 26, 1.5)
    slot = outline([(100, -70), (160, -70), (152, -34), (148, -34)], 7)
    return combine(handle, neck, face, claw - slot)


def clamp(length: float, spread: float, thickness: float) -> Manifold:
    """A spring clamp: two crossing levers, each a handle and a jaw with a pad, around a pivot."""
    arm = thickness * 0.27

    def lever(sign: int) -> Manifold:
        handle = tube([(-0.5 * length, sign * 0.42 * spread, 0), (-0.2 * length, sign * 0.26 * spread, 0), (0.08 * length, 0, 0)], [arm * 0.9, arm, arm])
        jaw = tube([(0.08 * length, 0, 0), (0.22 * length, -sign * 0.2 * spread, 0), (0.44 * length, -sign * 0.1 * spread, 0)], [arm, arm, arm * 0.8])
        pad = box(0.12 * length, arm * 1.2, thickness * 0.8, 1).translate([0.44 * length, -sign * (0.1 * spread - arm * 0.3), 0])
        return combine(handle, jaw, pad)

    return combine(lever(1), lever(-1), cylinder(0.12 * spread, thickness).translate([0.06 * length, 0, 0]))


def chain() -> Manifold:
    """A heap of links, joined where they touch so that it is one rigid body."""
    links = []
    n, radius = 20, 120.0
    for k in range(n):
        angle = 2 * math.pi * k / n
        link = tube(_loop(25, 11)[::2], 5.0, 8)
        turned = link.rotate([90 if k % 2 else 0, 0, 0]).rotate([0, 0, math.degrees(angle) + 90])
        links.append(turned.translate([radius * math.cos(angle), radius * math.sin(angle), 0]))
    return combine(*links)


def foam_brick() -> Manifold:
    body = box(52, 78, 51, 1)
    for y in (-20.0, 0.0, 20.0):
        body = body - cylinder(5, 120).translate([0, y, 0])
    return body


def die() -> Manifold:
    body = box(17, 17, 17, 2)
    pips: dict[tuple[float, float, float], list[Point]] = {
        (0, 0, 0): [(0, 0)], (180, 0, 0): [(-1, -1), (-1, 0), (-1, 1), (1, -1), (1, 0), (1, 1)], (90, 0, 0): [(-1, -1), (1, 1)],
        (-90, 0, 0): [(-1, -1), (1, 1), (1, -1), (-1, 1), (0, 0)], (0, 90, 0): [(-1, -1), (0, 0), (1, 1)], (0, -90, 0): [(-1, -1), (1, 1), (1, -1), (-1, 1)],
    }
    for turn, places in pips.items():
        for x, y in places:
            body = body - ball(1.4, 12).translate([4 * x, 4 * y, 9.1]).rotate(list(turn))
    return body


def marbles() -> Manifold:
    """A pile of marbles, each touching its neighbours: one rigid body like the scan."""
    spots = [(0.0, 0.0, 12.0, 18.0)]
    spots += [(24 * math.cos(t), 24 * math.sin(t), -2.0, 9.0) for t in np.linspace(0, 2 * math.pi, 9)[:-1]]
    spots += [(20 * math.cos(t), 20 * math.sin(t), -16.0, 11.0) for t in np.linspace(0.2, 0.2 + 2 * math.pi, 7)[:-1]]
    spots += [(0.0, 0.0, -14.0, 14.0), (4.0, 6.0, 34.0, 8.0), (31.0, 8.0, -12.0, 6.0), (-31.0, -6.0, -14.0, 6.0), (0.0, 0.0, -30.0, 8.0)]
    return combine(*[ball(r, 16).translate([x, y, z]) for x, y, z, r in spots])


def block_box() -> Manifold:
    """A crate heaped with wooden blocks under a round lid."""
    crate = box(142, 141, 112, 2).translate([0, 0, 56])
    blocks = [box(26, 26, 26, 1).rotate([0, 0, 20 * k]).translate([38 * math.cos(k), 38 * math.sin(k), 118]) for k in range(6)]
    return combine(crate, *blocks, cylinder(40, 40).translate([0, 0, 130]), cylinder(62, 14, 58).translate([0, 0, 152]), cylinder(58, 7).translate([0, 0, 161]))


def peg_test() -> Manifold:
    body = box(131, 118, 40, 2)
    for x, y in itertools.product((-32, 0, 32), (-32, 0, 32)):
        body = body - cylinder(3.6, 24).translate([x, y, 14])
    return combine(body, box(48, 36, 28, 2).translate([-38, 74, 4]))


def airplane() -> Manifold:
    fuselage = stack_of_sections([(20, 24, -130), (44, 52, -110), (60, 70, -40), (74, 84, 40), (66, 74, 100), (30, 34, 128)], 28, 0.9).rotate([0, 90, 0])
    wing = outline([(-35, -126), (15, -126), (38, -20), (38, 20), (15, 126), (-35, 126), (-28, 0)], 22, 8).translate([10, 0, -12])
    tail = combine(
        outline([(-128, -58), (-98, -58), (-88, 0), (-98, 58), (-128, 58)], 14, 5).translate([0, 0, 8]),
        outline([(-132, 10), (-80, 10), (-104, 100), (-132, 100)], 14, 5).rotate([90, 0, 0]),
    )
    wheels = [cylinder(24, 18).rotate([90, 0, 0]).translate([x, y, -58]) for x, y in ((40, -44), (40, 44), (-80, 0))]
    struts = [tube([(x, y, -58), (x, y * 0.4, -20)], 8) for x, y in ((40, -44), (40, 44), (-80, 0))]
    propeller = combine(box(10, 24, 110, 4).translate([128, 0, 0]), ball(14, 24).translate([128, 0, 0]))
    return combine(fuselage, wing, tail, *wheels, *struts, propeller)


def airplane_tail() -> Manifold:
    """Two stubby bodies at an angle with a bolt at one end."""
    long = combine(*[ellipsoid(56, 56, 56).translate([x, 0, 0]) for x in (-20, 22)], cylinder(28, 42).rotate([0, 90, 0]))
    arm = tube([(-18, 0, 0), (-40, 46, 0), (-46, 62, 0)], [25, 24, 21], 32)
    return combine(long, arm, cylinder(12, 22).rotate([0, 90, 0]).translate([58, 0, 0]), cylinder(14, 10).rotate([0, 90, 0]).translate([68, 0, 0]))


def bolt(washer: bool) -> Manifold:
    """A toy bolt: thick head, shaft, and a point of crossed blades."""
    head = revolve([(11, 0), (15.5, 2), (15.5, 19), (13, 22)])
    shaft = cylinder(9.2, 26).translate([0, 0, 34])
    blades = [outline([(-7.5, 44), (7.5, 44), (6, 58), (3, 66), (-3, 66), (-6, 58)], 5, 1).rotate([90, 0, 0]).rotate([0, 0, a]) for a in (0, 90)]
    ring = [cylinder(15, 4).translate([0, 0, 50])] if washer else []
    return combine(head, shaft, *blades, *ring)


def brick(nx: int, ny: int, height: float, pitch: float = 16.0) -> Manifold:
    """A toy brick: walls and a roof, studs on top, tubes below."""
    x, y = nx * pitch - 0.4, ny * pitch - 0.4
    body = box(x, y, height, 0.6).translate([0, 0, height / 2]) - box(x - 6, y - 6, 1.3 * height)
    centres = [((i - (nx - 1) / 2) * pitch, (j - (ny - 1) / 2) * pitch) for i in range(nx) for j in range(ny)]
    studs = [(cylinder(4.8, 6, segments=20) - cylinder(3.2, 3, segments=20).translate([0, 0, 3])).translate([a, b, height + 2]) for a, b in centres]
    gaps = [((i - (nx - 2) / 2) * pitch, (j - (ny - 2) / 2) * pitch) for i in range(nx - 1) for j in range(ny - 1)]
    inner = cylinder(6.6, height - 1, segments=12) - cylinder(4.9, 1.3 * height + height, segments=12).translate([0, 0, -height / 2])
    tubes = [inner.translate([a, b, (height - 1) / 2]) for a, b in gaps]
    return combine(body, *studs, *tubes)


def rounded_brick() -> Manifold:
    """A 2 x 4 brick whose ends curve down to the ground."""
    shape = outline([*arc(32, 0, 180, 24)], 32).rotate([90, 0, 0]).scale([1, 1, 0.72]) - box(80, 40, 40).translate([0, 0, 38])
    hollow = outline([*arc(28, 0, 180, 24)], 28).rotate([90, 0, 0]).scale([1, 1, 0.58])
    studs = [cylinder(4.8, 6, segments=20).translate([a, b, 20]) for a in (-8, 8) for b in (-8, 8)]
    return combine(shape - hollow, *studs)


def arch_brick() -> Manifold:
    """A 2 x 6 bridge with sloping shoulders and an opening below."""
    side = outline([(-48, 0), (-48, 14), (-34, 38), (34, 38), (48, 14), (48, 0), (20, 0), (16, 18), (-16, 18), (-20, 0)], 32).rotate([90, 0, 0])
    inner = box(26, 28, 24).translate([0, 0, 24])
    feet = [box(22, 28, 24).translate([x, 0, 6]) for x in (-33, 33)]
    body = side - inner
    for foot in feet:
        body = body - foot
    studs = [cylinder(4.8, 6, segments=20).translate([a, b, 40]) for a in (-24, -8, 8, 24) for b in (-8, 8)]
    return combine(body, *studs)


def brick_car() -> Manifold:
    """A base of bricks on four wheels with a cord and its handle."""
    base = combine(box(190, 96, 20, 2).translate([-52, 0, 34]), *[cylinder(4.8, 6, segments=12).translate([-132 + 16 * i, -40 + 16 * j, 46]) for i in range(11) for j in range(6)])
    base = base - box(182, 88, 20).translate([-52, 0, 28])
    wheels = [cylinder(22, 24).rotate([90, 0, 0]).translate([x, y, 22]) for x in (-118, 12) for y in (-51, 51)]
    axles = [cylinder(6, 110).rotate([90, 0, 0]).translate([x, 0, 24]) for x in (-118, 12)]
    cord = tube([(40, 0, 34), (70, 8, 38), (100, 16, 40), (125, 20, 30), (136, 22, 18)], 3)
    return combine(base, *wheels, *axles, cord, revolve([(6, 0), (10, 3), (6, 20), (3, 30)]).rotate([0, 90, 10]).translate([128, 22, 10]))


def rubiks_cube() -> Manifold:
    cells = [box(18.6, 18.6, 18.6, 1.2).translate([19.4 * i, 19.4 * j, 19.4 * k]) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)]
    return combine(box(56, 56, 56), *cells)


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
