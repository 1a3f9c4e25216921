"""Draws toys from a distribution: sizes, rotations, connections and colours, in plain floats because arrays of three are slow."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from toyshift.toys.random_toys.distribution import Range, ToyDistribution
from toyshift.toys.random_toys.primitives import KINDS, Primitive, Quat, Vec3
from toyshift.toys.random_toys.toy import LEGO_COLOURS, Toy


def _uniform(rng: np.random.Generator, bounds: Range) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * rng.random()


def _log_uniform(rng: np.random.Generator, bounds: Range) -> float:
    return bounds[0] * math.exp(math.log(bounds[1] / bounds[0]) * rng.random())


def _choice(rng: np.random.Generator, shares: tuple[float, ...]) -> int:
    """Index drawn with the given probabilities from one random()."""
    u, total = rng.random(), 0.0
    for index, share in enumerate(shares):
        total += share
        if u < total:
            return index
    return max(i for i, share in enumerate(shares) if share > 0)


def _turned(quat: Quat, v: Sequence[float]) -> Vec3:
    """A vector rotated by a unit quaternion wxyz: v + 2 w (q x v) + 2 q x (q x v)."""
    w, x, y, z = quat
    a, b, c = v
    p, q, r = 2 * (y * c - z * b), 2 * (z * a - x * c), 2 * (x * b - y * a)
    return a + w * p + y * r - z * q, b + w * q + z * p - x * r, c + w * r + x * q - y * p


def _unit(quat: Quat) -> Quat:
    """A stored quaternion, which is rounded, at length 1 again."""
    norm = math.sqrt(sum(q * q for q in quat))
    w, x, y, z = quat
    return w / norm, x / norm, y / norm, z / norm


def random_quat(rng: np.random.Generator) -> Quat:
    """A rotation drawn uniformly from SO(3) (Shoemake's method), wxyz, from three random()."""
    u, v, w = rng.random(), 2 * math.pi * rng.random(), 2 * math.pi * rng.random()
    a, b = math.sqrt(1 - u), math.sqrt(u)
    return b * math.cos(w), a * math.sin(v), a * math.cos(v), b * math.sin(w)


def _cube_rotations() -> tuple[Quat, ...]:
    """The 24 rotations that map the axes onto each other, wxyz."""
    h = math.sqrt(0.5)
    one = [[1.0 if k == i else 0.0 for k in range(4)] for i in range(4)]
    two = [[h * s if k == j else h if k == i else 0.0 for k in range(4)] for i, j in itertools.combinations(range(4), 2) for s in (1, -1)]
    four = [[0.5, 0.5 * a, 0.5 * b, 0.5 * c] for a in (1, -1) for b in (1, -1) for c in (1, -1)]
    return tuple((w, x, y, z) for w, x, y, z in one + two + four)


_CUBE = _cube_rotations()


def _rotation(rng: np.random.Generator, rule: str) -> Quat:
    if rule == "uniform":
        return random_quat(rng)
    if rule == "axis-aligned":
        return _CUBE[int(rng.integers(24))]
    half = math.pi * rng.random()
    return math.cos(half), 0.0, 0.0, math.sin(half)


def _point_in_material(rng: np.random.Generator, kind: str, size: tuple[float, ...], spread: float) -> Vec3:
    """A uniform point of a primitive's material, in its own frame, kept 10 % away from the surface.

    A ring's material is the wall of the hoop: a point of its hole would not connect anything. `spread` (0..1) draws the
    point towards the middle: of the primitive, or of the wall's height.
    """
    a, b, c = rng.random(), rng.random(), rng.random()
    if kind == "sphere":
        z, angle, radius = 2 * a - 1, 2 * math.pi * b, 0.9 * spread * size[0] * c ** (1 / 3)
        flat = math.sqrt(1 - z * z)
        return radius * flat * math.cos(angle), radius * flat * math.sin(angle), radius * z
    inner = 0.9 * spread
    if kind == "cuboid":
        return inner * (a - 0.5) * size[0], inner * (b - 0.5) * size[1], inner * (c - 0.5) * size[2]
    angle = 2 * math.pi * b
    if kind == "cylinder":
        radius, height = inner * size[0] * math.sqrt(a), size[1]
    else:
        low, high = (size[0] - 0.9 * size[1]) ** 2, (size[0] - 0.1 * size[1]) ** 2
        radius, height = math.sqrt(low + (high - low) * a), size[2]
    return radius * math.cos(angle), radius * math.sin(angle), inner * (c - 0.5) * height


def _point_on_surface(rng: np.random.Generator, kind: str, size: tuple[float, ...], spread: float) -> tuple[Vec3, Vec3]:
    """A point of a primitive's outer surface, in its own frame, 10 % away from edges, and the outward normal there.

    Faces are drawn with equal shares, points uniformly on the face; `spread` draws them to the middle of a face. The
    inside of a hoop is left out: a toy's holes stay open.
    """
    a, b, c = rng.random(), rng.random(), rng.random()
    angle = 2 * math.pi * b
    if kind == "sphere":
        z = 2 * a - 1
        flat = math.sqrt(1 - z * z)
        normal = flat * math.cos(angle), flat * math.sin(angle), z
        return (size[0] * normal[0], size[0] * normal[1], size[0] * z), normal
    inner = 0.9 * spread
    if kind == "cuboid":
        axis, sign = divmod(int(6 * c), 2)
        point, out = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]
        point[axis], out[axis] = (sign - 0.5) * size[axis], 2.0 * sign - 1.0
        for other, u in (((axis + 1) % 3, a), ((axis + 2) % 3, b)):
            point[other] = inner * (u - 0.5) * size[other]
        return (point[0], point[1], point[2]), (out[0], out[1], out[2])
    height = size[-1]
    radial = math.cos(angle), math.sin(angle)
    if c < 1 / 3:
        return (size[0] * radial[0], size[0] * radial[1], inner * (a - 0.5) * height), (radial[0], radial[1], 0.0)
    up = 1.0 if c < 2 / 3 else -1.0
    reach = inner * size[0] * math.sqrt(a) if kind == "cylinder" else size[0] - (0.5 + 0.8 * (a - 0.5)) * size[1]
    return (reach * radial[0], reach * radial[1], up * height / 2), (0.0, 0.0, up)


def _support(kind: str, size: tuple[float, ...], direction: Vec3) -> Vec3:
    """The point of a primitive farthest along a direction, in the primitive's frame."""
    x, y, z = direction
    if kind == "sphere":
        return size[0] * x, size[0] * y, size[0] * z
    if kind == "cuboid":
        return math.copysign(size[0] / 2, x), math.copysign(size[1] / 2, y), math.copysign(size[2] / 2, z)
    flat = math.hypot(x, y)
    # Where the axis points along the direction, the whole rim is farthest: any point of it will do.
    x, y = (x / flat, y / flat) if flat > 1e-9 else (1.0, 0.0)
    return size[0] * x, size[0] * y, math.copysign(size[-1] / 2, z)


def _round_radius(kind: str, size: tuple[float, ...]) -> float:
    return 0.0 if kind == "cuboid" else size[0]


def _random_size(rng: np.random.Generator, kind: str, d: ToyDistribution) -> tuple[float, ...]:
    if kind == "sphere":
        return (_uniform(rng, d.sphere_radius),)
    if kind == "cuboid":
        return _log_uniform(rng, d.cuboid_edge), _log_uniform(rng, d.cuboid_edge), _log_uniform(rng, d.cuboid_edge)
    if kind == "cylinder":
        return _uniform(rng, d.cylinder_radius), _log_uniform(rng, d.cylinder_height)
    return _uniform(rng, d.ring_radius), _uniform(rng, d.ring_wall), _uniform(rng, d.ring_height)


def _place(rng: np.random.Generator, before: Primitive, kind: str, size: tuple[float, ...], quat: Quat, d: ToyDistribution) -> Vec3:
    """Where the next primitive goes, by the connection rule."""
    turn = _unit(before.quat)
    if d.connection == "centroid":
        x, y, z = _turned(turn, _point_in_material(rng, before.kind, before.size, d.asymmetry))
        p, q, r = _turned(quat, _point_in_material(rng, kind, size, d.asymmetry)) if kind == "ring" else (0.0, 0.0, 0.0)
    else:
        point, outward = _point_on_surface(rng, before.kind, before.size, d.asymmetry)
        # Deep enough that the facets of both meet too: they lie up to 0.5 % of the radius inside a round surface.
        depth = 0.1 * min(*before.size, *size) + 0.006 * (_round_radius(before.kind, before.size) + _round_radius(kind, size))
        inside = (point[0] - depth * outward[0], point[1] - depth * outward[1], point[2] - depth * outward[2])
        x, y, z = _turned(turn, inside)
        a, b, c = _turned(turn, outward)
        w, i, j, k = quat
        p, q, r = _turned(quat, _support(kind, size, _turned((w, -i, -j, -k), (-a, -b, -c))))
    return before.pos[0] + x - p, before.pos[1] + y - q, before.pos[2] + z - r


def _colour(rng: np.random.Generator, parts: int, d: ToyDistribution) -> str | tuple[str, ...]:
    if d.colour == "lego4":
        return LEGO_COLOURS[int(rng.integers(len(LEGO_COLOURS)))]
    if d.colour == "random":
        return f"#{int(rng.integers(256**3)):06x}"
    drawn = tuple(d.palette[int(rng.integers(len(d.palette)))] for _ in range(parts if d.colour == "per-part" else 1))
    return drawn if d.colour == "per-part" else drawn[0]


_LEGO = ToyDistribution()


def sample_toy(rng: np.random.Generator, distribution: ToyDistribution | None = None) -> Toy:
    """Draws one toy; by default by LEGO's rule: each primitive's centroid lies inside the one before it.

    The centroid of a ring is in its hole, so for a ring a random point of its wall takes the centroid's place; the
    material of every toy is therefore connected. Only rng.random() and rng.integers() are used: their streams are
    stable between NumPy versions, those of other methods are not.
    """
    d = distribution or _LEGO
    primitives: list[Primitive] = []
    for _ in range(1 + _choice(rng, d.counts)):
        kind = KINDS[_choice(rng, d.kinds)]
        size, quat = _random_size(rng, kind, d), _rotation(rng, d.rotation)
        pos = _place(rng, primitives[-1], kind, size, quat, d) if primitives else (0.0, 0.0, 0.0)
        primitives.append(Primitive(kind, size, pos, quat))
    colour = _colour(rng, len(primitives), d)
    # A range of one value takes nothing from the stream.
    density, friction = (bounds[0] if bounds[0] == bounds[1] else _uniform(rng, bounds) for bounds in (d.density, d.friction))
    return Toy(tuple(primitives), colour, density, friction)


def toy_rng(seed: int, *key: int) -> np.random.Generator:
    """The random stream of one toy: a function of the seed and the key alone."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))
