"""The distribution of toys: LEGO's rule with every probability and size range in one frozen value."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from toyshift.core.errors import ConfigError
from toyshift.core.files import json_hash
from toyshift.toys.model import Array
from toyshift.toys.primitives import KINDS, Primitive, Quat, Vec3
from toyshift.toys.solid import quat_to_matrix
from toyshift.toys.toy import COLOURS, Toy

Range = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class ToyDistribution:
    """How random toys are drawn. The paper gives no sizes: these are ours, chosen so that toys measure 2-20 cm, as the paper's seem to.

    Attributes:
        counts: probabilities of 1, 2, ... primitives.
        kinds: probabilities of sphere, cuboid, cylinder, ring.
        sphere_radius: uniform range [m].
        cuboid_edge: range of each edge, uniform in the logarithm, so that slabs and beams occur [m].
        cylinder_radius: uniform range [m].
        cylinder_height: range, uniform in the logarithm [m].
        ring_radius: uniform range of the outer radius [m].
        ring_wall: uniform range [m]; ring_radius[0] - ring_wall[1] is the narrowest hole's radius.
        ring_height: uniform range of the axial height [m].
        density: [kg/m^3].
    """

    counts: tuple[float, ...] = (0.2, 0.2, 0.2, 0.2, 0.2)
    kinds: tuple[float, float, float, float] = (0.25, 0.25, 0.25, 0.25)
    sphere_radius: Range = (0.014, 0.034)
    cuboid_edge: Range = (0.012, 0.2)
    cylinder_radius: Range = (0.009, 0.033)
    cylinder_height: Range = (0.015, 0.2)
    ring_radius: Range = (0.022, 0.034)
    ring_wall: Range = (0.004, 0.006)
    ring_height: Range = (0.006, 0.035)
    density: float = 400.0

    def __post_init__(self) -> None:
        for name in ("counts", "kinds"):
            shares = getattr(self, name)
            if not shares or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
                raise ConfigError(f"{name} must be probabilities that sum to 1; got {shares}")
        if len(self.kinds) != len(KINDS):
            raise ConfigError(f"kinds needs one probability for each of {KINDS}; got {len(self.kinds)}")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name not in ("counts", "kinds", "density") and not 1e-4 <= value[0] <= value[1] <= 1.0:
                raise ConfigError(f"{field.name} must be an ascending range within 0.0001 and 1 m; got {value}")
        if self.ring_wall[1] >= self.ring_radius[0]:
            raise ConfigError(f"ring_wall {self.ring_wall} must stay below ring_radius {self.ring_radius}")

    @property
    def fingerprint(self) -> str:
        """Content hash of the configuration."""
        return json_hash(dataclasses.asdict(self))


def _uniform(rng: np.random.Generator, bounds: Range) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * float(rng.random())


def _log_uniform(rng: np.random.Generator, bounds: Range) -> float:
    return bounds[0] * math.exp(math.log(bounds[1] / bounds[0]) * float(rng.random()))


def _choice(rng: np.random.Generator, shares: tuple[float, ...]) -> int:
    """Index drawn with the given probabilities from one random()."""
    u, total = float(rng.random()), 0.0
    for index, share in enumerate(shares):
        total += share
        if u < total:
            return index
    return max(i for i, share in enumerate(shares) if share > 0)


def random_quat(rng: np.random.Generator) -> Quat:
    """A rotation drawn uniformly from SO(3) (Shoemake's method), wxyz, from three random()."""
    u, v, w = float(rng.random()), 2 * math.pi * float(rng.random()), 2 * math.pi * float(rng.random())
    a, b = math.sqrt(1 - u), math.sqrt(u)
    return b * math.cos(w), a * math.sin(v), a * math.cos(v), b * math.sin(w)


def _point_in_material(rng: np.random.Generator, kind: str, size: tuple[float, ...]) -> Array:
    """A uniform point of a primitive's material, in its own frame, kept 10 % away from the surface.

    A ring's material is the wall of the hoop: a point of its hole would not connect anything.
    """
    a, b, c = float(rng.random()), float(rng.random()), float(rng.random())
    if kind == "sphere":
        z, angle, radius = 2 * a - 1, 2 * math.pi * b, 0.9 * size[0] * c ** (1 / 3)
        flat = math.sqrt(1 - z * z)
        return np.array([radius * flat * math.cos(angle), radius * flat * math.sin(angle), radius * z])
    if kind == "cuboid":
        return np.array([0.9 * (u - 0.5) * edge for u, edge in zip((a, b, c), size, strict=True)])
    angle = 2 * math.pi * b
    if kind == "cylinder":
        radius, height = 0.9 * size[0] * math.sqrt(a), size[1]
    else:
        low, high = (size[0] - 0.9 * size[1]) ** 2, (size[0] - 0.1 * size[1]) ** 2
        radius, height = math.sqrt(low + (high - low) * a), size[2]
    return np.array([radius * math.cos(angle), radius * math.sin(angle), 0.9 * (c - 0.5) * height])


def _random_size(rng: np.random.Generator, kind: str, d: ToyDistribution) -> tuple[float, ...]:
    if kind == "sphere":
        return (_uniform(rng, d.sphere_radius),)
    if kind == "cuboid":
        return tuple(_log_uniform(rng, d.cuboid_edge) for _ in range(3))
    if kind == "cylinder":
        return _uniform(rng, d.cylinder_radius), _log_uniform(rng, d.cylinder_height)
    return _uniform(rng, d.ring_radius), _uniform(rng, d.ring_wall), _uniform(rng, d.ring_height)


def sample_toy(rng: np.random.Generator, distribution: ToyDistribution | None = None) -> Toy:
    """Draws one toy by LEGO's rule: each primitive's centroid lies inside the one before it.

    The centroid of a ring is in its hole, so for a ring a random point of its wall takes the centroid's place; the
    material of every toy is therefore connected. Only rng.random() and rng.integers() are used: their streams are
    stable between NumPy versions, those of other methods are not.
    """
    d = distribution or ToyDistribution()
    primitives: list[Primitive] = []
    for _ in range(1 + _choice(rng, d.counts)):
        kind = KINDS[_choice(rng, d.kinds)]
        size, quat = _random_size(rng, kind, d), random_quat(rng)
        pos: Vec3 = (0.0, 0.0, 0.0)
        if primitives:
            before = primitives[-1]
            target = np.asarray(before.pos) + quat_to_matrix(before.quat) @ _point_in_material(rng, before.kind, before.size)
            if kind == "ring":
                target = target - quat_to_matrix(quat) @ _point_in_material(rng, kind, size)
            pos = (float(target[0]), float(target[1]), float(target[2]))
        primitives.append(Primitive(kind, size, pos, quat))
    colour = list(COLOURS)[int(rng.integers(len(COLOURS)))]
    return Toy(tuple(primitives), colour, d.density)


def toy_rng(seed: int, *key: int) -> np.random.Generator:
    """The random stream of one toy: a function of the seed and the key alone."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))
