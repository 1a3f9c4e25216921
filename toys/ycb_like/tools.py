"""YCB-like tools: drill, scissors, padlock, marker, wrench, driver, hammer, clamps, chain, in millimetres with z up."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from toyshift.core.arrays import Array
from toyshift.toys.geometry.solid import Manifold
from toyshift.toys.ycb_like.sections import revolve, stack, tube, warped
from toyshift.toys.ycb_like.shapes import Point, arc, box, combine, cylinder, mirrored, outline


def power_drill() -> Manifold:
    body = stack([(40, 40, -70), (54, 54, -62), (56, 56, 0), (50, 50, 40), (38, 38, 62)], 24, 0.85).rotate([0, 90, 0])
    chuck = [(75, cylinder(17, 30, 14)), (98, cylinder(9, 28, 6))]
    grip = stack([(44, 36, 0), (40, 34, 30), (36, 34, 90), (50, 38, 130)], 18, 0.85).translate([-38, 0, 18])
    trigger = box(14, 12, 26, 3).translate([-8, 0, 112])
    battery = box(92, 56, 34, 8).translate([-28, 0, 15])
    front = combine(*[part.rotate([0, 90, 0]).translate([x, 0, 150]) for x, part in chuck])
    return combine(body.translate([0, 0, 150]), front, grip, trigger, battery)


def _loop(a: float, b: float) -> list[list[float]]:
    return [[a * math.cos(t), b * math.sin(t), 0.0] for t in np.linspace(0, 2 * math.pi, 25)]


def scissors() -> Manifold:
    def half(sign: int) -> Manifold:
        ring = tube(_loop(27, 18), 5.5).scale([1, 1, 1.3]).translate([-70, sign * 24, 0])
        shank = tube([(-44, sign * 18, 0), (-20, sign * 8, 0), (0, 0, 0)], [6, 6, 7])
        corners = [(-6, -6 * sign), (30, -8 * sign), (98, 2 * sign), (98, 3 * sign), (0, 8 * sign)][::sign]
        return combine(ring, shank, outline(corners, 4).translate([0, 0, 1.6 * sign]))

    return combine(half(1), half(-1), cylinder(6, 13))


def padlock() -> Manifold:
    body = box(54, 29, 31, 3).translate([0, 0, 15.5])
    shackle = tube([(-17, 0, 28), *[(x, 0.0, z + 48) for x, z in arc(17, 180, 0, 12)], (17, 0, 28)], 4.5)
    return combine(body, shackle)


def marker() -> Manifold:
    profile = [(6, 0), (7, 1), (8.6, 3), (8.6, 76), (9.5, 77), (9.5, 116), (8.6, 118), (4, 121)]
    return revolve(profile).rotate([0, 90, 0])


def adjustable_wrench() -> Manifold:
    """A handle with a thin web between its edges and a hole at its end, and a thick head with a movable jaw."""
    handle = outline(mirrored([(-100, 6), (-94, 11), (-84, 11), (-60, 8.5), (30, 8.5), (52, 12)]), 4.6, 2)
    web = outline(mirrored([(-78, 3.5), (-70, 6), (-60, 6), (25, 6), (32, 4)]), 10, 1)
    hole = cylinder(5.5, 40).translate([-90, 0, 0])
    handle = handle - web.translate([0, 0, 5.8]) - web.translate([0, 0, -5.8]) - hole
    points = [
        (40, -8), (51, -15), (59, -23), (73, -30), (86, -30), (95, -24), (102, -13), (102, -4), (98, -5), (79, -10),
        (74, -2), (68, 13), (82, 15), (91, 18), (83, 24), (65, 30), (54, 31), (48, 24), (42, 10),
    ]
    plates = [(outline(points, 7, 1), 1.0), (outline(points, 10.5, 1), 0.9)]
    head = [plate.scale([size, size, 1]).translate([70 - 70 * size, 0, 0]) for plate, size in plates]
    return combine(handle, *head, cylinder(7, 14).rotate([90, 0, 20]).translate([58, 1, 0]))


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
    sections = [(26, 20, -168), (32, 24, -160), (30, 22, -60), (24, 18, -20), (20, 15, 60), (22, 16, 150)]
    handle = stack(sections, 24, 0.9).rotate([0, 90, 0])
    neck = box(34, 26, 24, 4).translate([150, 0, 0])
    parts = [(30, cylinder(11, 40)), (56, cylinder(16, 16))]
    face = combine(*[part.rotate([90, 0, 0]).translate([150, y, 0]) for y, part in parts])
    hook = [(138, -8), (164, -8), (162, -30), (150, -50), (134, -62), (132, -60), (142, -44), (142, -26)]
    claw = outline(hook, 26, 1.5)
    slot = outline([(100, -70), (160, -70), (152, -34), (148, -34)], 7)
    return combine(handle, neck, face, claw - slot)


def clamp(
    outer: Sequence[Point], hole: Sequence[Point], width: float, web: float, flange: float,
    pivot: tuple[float, float, float], jaws: float,
) -> Manifold:
    """A spring clamp: two crossing levers, channels that open inwards, on a pin; its jaws touch at the origin.

    Args:
        outer: right half of the outline, from the tip of the jaws to the end of the handle, back along it to the fork.
        hole: right half of the opening between the jaws, from the pivot to the tip.
        width: of the levers.
        web: thickness of a lever's outer wall.
        flange: thickness of its side walls.
        pivot: how far from the tip the pin lies, its radius and its length.
        jaws: the levers are solid from the tip to here.
    """
    from manifold3d import CrossSection, FillRule, JoinType, Manifold

    far = max(y for _, y in outer)

    def plate(half: Sequence[Point], thickness: float, inset: float = 0.0) -> Manifold:
        points = [*half, *[(-x, y) for x, y in reversed(half)]]
        section = CrossSection([points], FillRule.NonZero)
        section = section.offset(-inset, JoinType.Miter) if inset else section
        return Manifold.extrude(section, thickness).translate([0, 0, -thickness / 2])

    last = max(range(len(outer)), key=lambda k: outer[k][1])
    along, radius, length = pivot
    whole = [*outer[: last + 1], (0, far)]  # without the fork: only the outer edges are rounded
    inner = width - 2 * flange
    channel = plate(whole, inner, web) + box(2 * far, 40, inner).translate([0, far + 20 - web, 0])
    channel = channel - box(400, 2 * jaws, 200) - cylinder(0.8 * radius, 200, segments=24).translate([0, along, 0])
    steps = ((0.45, 0.0), (0.75, 0.06), (0.9, 0.12), (1.0, 0.22))
    rounded = combine(*[plate(whole, width * share, width * inset) for share, inset in steps])
    body = (plate(outer, width) ^ (rounded + box(400, 2 * jaws, width))) - channel - plate(hole, 2 * width)
    return combine(body, cylinder(radius, length, segments=24).translate([0, along, 0]))


EXTRA_LARGE = (
    [
        (0, 0), (9, 6), (20, 25), (35, 43), (44, 59), (47, 73), (45, 91), (37, 108), (39, 118), (57, 150), (75, 176),
        (82.5, 185.5), (82.5, 196.5), (77.5, 202), (70, 199), (60.5, 189), (42, 161), (23.6, 135), (9, 113), (0, 112),
    ],
    [(0, 91.5), (10, 90), (17, 82), (19, 69), (12.5, 49), (5, 25), (0, 19)],
)
MEDIUM = (
    [
        (0, 0), (4.5, 3), (9, 10), (15.4, 19), (19.7, 26.7), (19.4, 34.5), (17, 45.3), (20, 51.5), (37, 71.7), (39, 78),
        (38, 85), (36, 84), (31, 77), (21.6, 68.6), (10.7, 56), (5, 52), (0, 53.7),
    ],
    [(0, 38.8), (8.2, 36), (9, 26), (4.5, 18), (5.3, 15), (5.3, 13), (0, 12.7)],
)


def large_clamp() -> Manifold:
    return clamp(*EXTRA_LARGE, width=26, web=6.5, flange=3.2, pivot=(101, 13, 36), jaws=19)


def medium_clamp() -> Manifold:
    return clamp(*MEDIUM, width=16.5, web=3, flange=2.6, pivot=(46, 8, 26), jaws=44)


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
