"""Draws toys from a distribution, in plain floats because arrays of three are slow."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from toyshift.toys.random_toys.distribution import ToyDistribution
from toyshift.toys.random_toys.kind import Kind, Quat, Size, Vec3, uniform
from toyshift.toys.random_toys.primitives import KINDS, Primitive, unit
from toyshift.toys.random_toys.toy import LEGO_COLOURS, Toy


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


def random_quat(rng: np.random.Generator) -> Quat:
    """A rotation drawn uniformly from SO(3) (Shoemake's method), wxyz, from three random()."""
    u, v, w = rng.random(), 2 * math.pi * rng.random(), 2 * math.pi * rng.random()
    a, b = math.sqrt(1 - u), math.sqrt(u)
    return b * math.cos(w), a * math.sin(v), a * math.cos(v), b * math.sin(w)


def _cube_rotations() -> tuple[Quat, ...]:
    """The 24 rotations that map the axes onto each other, wxyz."""
    h = math.sqrt(0.5)
    one = [[1.0 if k == i else 0.0 for k in range(4)] for i in range(4)]
    pairs = [(i, j, sign * h) for i, j in itertools.combinations(range(4), 2) for sign in (1, -1)]
    two = [[second if k == j else h if k == i else 0.0 for k in range(4)] for i, j, second in pairs]
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


def _place(rng: np.random.Generator, before: Primitive, kind: Kind, size: Size, quat: Quat, d: ToyDistribution) -> Vec3:
    """Where the next primitive goes, by the connection rule."""
    turn, first = unit(before.quat), KINDS[before.kind]
    u, v, w = rng.random(), rng.random(), rng.random()
    if d.connection == "centroid":
        x, y, z = _turned(turn, first.inside(before.size, d.asymmetry, u, v, w))
        anchor = (0.0, 0.0, 0.0)
        if kind.hollow:
            u, v, w = rng.random(), rng.random(), rng.random()
            anchor = _turned(quat, kind.inside(size, d.asymmetry, u, v, w))
    else:
        point, outward = first.surface(before.size, d.asymmetry, u, v, w)
        # Deep enough that the facets of both meet too: they lie up to 0.5 % of the radius inside a round surface.
        depth = 0.1 * min(*before.size, *size) + 0.006 * (first.round * before.size[0] + kind.round * size[0])
        inside = (point[0] - depth * outward[0], point[1] - depth * outward[1], point[2] - depth * outward[2])
        x, y, z = _turned(turn, inside)
        a, b, c = _turned(turn, outward)
        q, i, j, k = quat
        anchor = _turned(quat, kind.farthest(size, _turned((q, -i, -j, -k), (-a, -b, -c))))
    return before.pos[0] + x - anchor[0], before.pos[1] + y - anchor[1], before.pos[2] + z - anchor[2]


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
    kinds = tuple(KINDS.values())
    primitives: list[Primitive] = []
    for _ in range(1 + _choice(rng, d.counts)):
        kind = kinds[_choice(rng, d.kinds)]
        size, quat = kind.draw(rng, *d.ranges(kind.name).values()), _rotation(rng, d.rotation)
        pos = _place(rng, primitives[-1], kind, size, quat, d) if primitives else (0.0, 0.0, 0.0)
        primitives.append(Primitive(kind.name, size, pos, quat))
    colour = _colour(rng, len(primitives), d)
    # A range of one value takes nothing from the stream.
    density, friction = (low if low == high else uniform(rng, (low, high)) for low, high in (d.density, d.friction))
    return Toy(tuple(primitives), colour, density, friction)
