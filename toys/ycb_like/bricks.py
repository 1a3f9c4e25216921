"""YCB-like construction toys: aeroplane parts, bolts and bricks, in millimetres with z up.

As in the sister files, the order in which solids are made, each copy anew, decides the order of their vertices.
"""

from __future__ import annotations

from toyshift.toys.geometry.solid import Manifold
from toyshift.toys.ycb_like.sections import loft, revolve, spun, stack, tube
from toyshift.toys.ycb_like.shapes import arc, ball, box, combine, cut, cylinder, outline


def airplane() -> Manifold:
    sections = [(20, 24, -130), (44, 52, -110), (60, 70, -40), (74, 84, 40), (66, 74, 100), (30, 34, 128)]
    fuselage = stack(sections, 28, 0.9).rotate([0, 90, 0])
    wing = outline([(-35, -126), (15, -126), (38, -20), (38, 20), (15, 126), (-35, 126), (-28, 0)], 22, 8)
    tail = combine(
        outline([(-128, -58), (-98, -58), (-88, 0), (-98, 58), (-128, 58)], 14, 5).translate([0, 0, 8]),
        outline([(-132, 10), (-80, 10), (-104, 100), (-132, 100)], 14, 5).rotate([90, 0, 0]),
    )
    wheels = [cylinder(24, 18).rotate([90, 0, 0]).translate([x, y, -58]) for x, y in ((40, -44), (40, 44), (-80, 0))]
    struts = [tube([(x, y, -58), (x, y * 0.4, -20)], 8) for x, y in ((40, -44), (40, 44), (-80, 0))]
    propeller = combine(box(10, 24, 110, 4).translate([128, 0, 0]), ball(14, 24).translate([128, 0, 0]))
    return combine(fuselage, wing.translate([10, 0, -12]), tail, *wheels, *struts, propeller)


def airplane_tail() -> Manifold:
    """A stubby body with a stepped nose, and a thick fin that rises from its other end."""
    sections = [
        (0, 15, 15, 0, 26.5), (19, 15.5, 15.5, 0, 26.3), (24, 20, 19.5, 0, 26), (30, 29, 34, 0, 26.5),
        (38, 48, 49, 0, 26.3), (60, 49, 55, 0, 27.6), (88, 54, 58, 0, 29), (110, 57, 57, 0, 28.5), (125, 52, 52, 0, 26),
        (134, 40, 36, 0, 24), (139.5, 10, 9, 0, 23),
    ]
    body = loft(sections, 40, 0.85)
    fin = loft([
        (30, 30, 46, 0, 112), (45, 31, 49, 0, 112), (62, 28.5, 46, 0, 109.5), (80, 29.5, 48, 0, 113),
        (100, 31, 48.5, 0, 115), (138, 31.5, 49, 0, 115), (141, 30, 47, 0, 115),
    ], 32, 0.6)
    switch = box(8, 14, 18, 3).translate([87, 0, 88])
    # The loft runs along x with its sections in y-z: stand it up so that x becomes z and z becomes x.
    return combine(body, fin.rotate([0, -90, 0]).mirror([1, 0, 0]), switch)


def bolt(washer: bool) -> Manifold:
    """A toy bolt: thick head, shaft, and a point of crossed blades."""
    head = revolve([(11, 0), (15.5, 2), (15.5, 19), (13, 22)])
    shaft = cylinder(9.2, 26).translate([0, 0, 34])
    blade = outline([(-7.5, 44), (7.5, 44), (6, 58), (3, 66), (-3, 66), (-6, 58)], 5, 1).rotate([90, 0, 0])
    blades = [blade.rotate([0, 0, angle]) for angle in (0, 90)]
    ring = [cylinder(15, 4).translate([0, 0, 50])] if washer else []
    return combine(head, shaft, *blades, *ring)


def brick(nx: int, ny: int, height: float, pitch: float = 16.0) -> Manifold:
    """A toy brick: walls and a roof, studs on top, tubes below."""
    x, y = nx * pitch - 0.4, ny * pitch - 0.4
    body = box(x, y, height, 0.6).translate([0, 0, height / 2]) - box(x - 6, y - 6, 1.3 * height)
    centres = [((i - (nx - 1) / 2) * pitch, (j - (ny - 1) / 2) * pitch) for i in range(nx) for j in range(ny)]

    def stud() -> Manifold:
        return cylinder(4.8, 6, segments=20) - cylinder(3.2, 3, segments=20).translate([0, 0, 3])

    studs = [stud().translate([a, b, height + 2]) for a, b in centres]
    gaps = [((i - (nx - 2) / 2) * pitch, (j - (ny - 2) / 2) * pitch) for i in range(nx - 1) for j in range(ny - 1)]
    inner = cylinder(6.6, height - 1, segments=12)
    inner = inner - cylinder(4.9, 1.3 * height + height, segments=12).translate([0, 0, -height / 2])
    tubes = [inner.translate([a, b, (height - 1) / 2]) for a, b in gaps]
    return combine(body, *studs, *tubes)


def rounded_brick() -> Manifold:
    """A 2 x 4 brick whose ends curve down to the ground."""
    shape = outline([*arc(32, 0, 180, 24)], 32).rotate([90, 0, 0]).scale([1, 1, 0.72])
    shape = shape - box(80, 40, 40).translate([0, 0, 38])
    hollow = outline([*arc(30, 0, 180, 24)], 28.6).rotate([90, 0, 0]).scale([1, 1, 0.7]) ^ box(80, 40, 25)
    tubes = [cylinder(7.2, 11, segments=20) - cylinder(4.9, 30, segments=20) for _ in range(3)]
    tubes = [one.translate([x, 0, 7.5]) for one, x in zip(tubes, (-16, 0, 16), strict=True)]
    studs = [cylinder(4.8, 6, segments=20).translate([a, b, 20]) for a in (-8, 8) for b in (-8, 8)]
    return combine(shape - hollow, *tubes, *studs)


def arch_brick() -> Manifold:
    """A 2 x 6 bridge with sloping shoulders and an opening below."""
    left, right = [(-48, 0), (-48, 14), (-34, 38)], [(34, 38), (48, 14), (48, 0)]
    side = outline([*left, *right, (20, 0), (16, 18), (-16, 18), (-20, 0)], 32).rotate([90, 0, 0])
    inner = box(26, 28, 24).translate([0, 0, 24])
    feet = [box(22, 28, 24).translate([x, 0, 6]) for x in (-33, 33)]
    studs = [cylinder(4.8, 6, segments=20).translate([a, b, 40]) for a in (-24, -8, 8, 24) for b in (-8, 8)]
    return combine(cut(side, inner, *feet), *studs)


def brick_car() -> Manifold:
    """A hollow base with studs on four wheels, a hitch, and a cord with a bell-shaped handle; x runs from the hitch."""
    base = box(158, 96, 31, 1).translate([91, 0, 33.5])
    rooms = [box(26.5, 93.4, 60).translate([26.7, 0, 15.8]), box(26.5, 93.4, 60).translate([155.3, 0, 15.8])]
    rooms += [box(99, depth, 60).translate([91, y, 15.8]) for y, depth in ((-31.5, 30.4), (31.5, 30.4), (0, 29.6))]
    base = cut(base, *rooms)
    places = [(19 + 16 * i, -40 + 16 * j) for i in range(10) for j in range(6)]
    studs = [cylinder(4.8, 5, segments=16).translate([x, y, 50.5]) for x, y in places]
    pegs = [cylinder(8, 18, segments=16) - cylinder(5.5, 40, segments=16) for _ in range(5)]
    pegs = [peg.translate([59 + 16 * k, 0, 37]) for k, peg in enumerate(pegs)]
    wheel = spun([(0, -8.2), (20, -8.2), (22.8, -6), (22.8, 6), (20, 8.2), (0, 8.2)], 40).rotate([90, 0, 0])
    wheels = [wheel.translate([x, y, 22.8]) for x in (43.5, 139) for y in (-55.3, 55.3)]
    path = [(168, -2, 36), (184, -2, 42), (200, -1, 50), (219, 1.5, 55), (246, -4, 57), (268, -18, 53), (282, -33, 41)]
    cord = tube(path, 2.2)
    bell = spun([(0, 44), (3, 43), (7, 26), (15, 14), (18, 9), (18, 0), (13, 0), (12, 8), (0, 12)], 24)
    hitch = [box(14, 9, 18, 1).translate([7, 0, 18]), box(16, 14, 14, 2).translate([175, 3, 38])]
    return combine(base, *studs, *pegs, *wheels, cord, bell.translate([282, -33, 0]), *hitch)
