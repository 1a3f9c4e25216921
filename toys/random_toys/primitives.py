"""The primitives that toys are made of: the table of their kinds, and one of them with its size and place."""

from __future__ import annotations

import dataclasses
import importlib
import math
from typing import Any

import numpy as np

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.toys.geometry.solid import Manifold, quat_to_matrix
from toyshift.toys.model import RGBA, Geom
from toyshift.toys.random_toys.kind import Kind, Quat, Size, Vec3

# Files beside this one, each with its KIND, in the order of `ToyDistribution.kinds`; a new one goes to the end.
FILES = ("sphere", "cuboid", "cylinder", "ring")
KINDS: dict[str, Kind] = {
    kind.name: kind for kind in (importlib.import_module(f"toyshift.toys.random_toys.{file}").KIND for file in FILES)
}
ROUND_SEGMENTS = 32  # facets around the axis of a meshed cylinder or ring, and around a meshed sphere


def rounded(value: float) -> float:
    """Rounds to the micrometre (or 1e-6), the resolution at which toys are compared; turns -0.0 into 0.0."""
    return round(value, 6) + 0.0


def unit(quat: Quat) -> Quat:
    """A stored quaternion, which is rounded, at length 1 again."""
    norm = math.sqrt(sum(q * q for q in quat))
    w, x, y, z = quat
    return w / norm, x / norm, y / norm, z / norm


@dataclasses.dataclass(frozen=True, slots=True)
class Primitive:
    """One solid of a toy, its z axis being the axis of cylinders and rings.

    Attributes:
        kind: a name of KINDS.
        size: lengths in the order of KINDS[kind].sizes [m], rounded to 1e-6.
        pos: centre in the toy's frame [m].
        quat: rotation from the primitive's to the toy's frame, wxyz, rounded to 1e-6 (normalised where it is used).
    """

    kind: str
    size: Size
    pos: Vec3 = (0.0, 0.0, 0.0)
    quat: Quat = (1.0, 0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UnknownNameError("primitive", self.kind, KINDS)
        name, names = f"a {self.kind}", KINDS[self.kind].sizes
        if len(self.size) != len(names) or len(self.pos) != 3 or len(self.quat) != 4:
            got = f"{self.size}, {self.pos}, {self.quat}"
            raise ConfigError(f"{name} has size {names}, a position of 3 and a quaternion of 4 numbers; got {got}")
        numbers = (*self.size, *self.pos, *self.quat)
        if not all(map(math.isfinite, numbers)) or min(self.size) < 1e-6:
            got = f"size {self.size}, pos {self.pos}, quat {self.quat}"
            raise ConfigError(f"{name} needs finite numbers and sizes of at least 1e-6 m; got {got}")
        if sum(q * q for q in self.quat) < 1e-6:
            raise ConfigError(f"the quaternion of {name} is zero")
        KINDS[self.kind].check(self.size)
        for field in ("size", "pos", "quat"):
            object.__setattr__(self, field, tuple([rounded(float(v)) for v in getattr(self, field)]))

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "size": list(self.size), "pos": list(self.pos), "quat": list(self.quat)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Primitive:
        try:
            return cls(value["kind"], tuple(value["size"]), tuple(value["pos"]), tuple(value["quat"]))
        except (KeyError, TypeError) as error:
            raise ConfigError(f"not a primitive: {value!r} ({error}); it needs kind, size, pos and quat") from error

    @property
    def volume(self) -> float:
        """Exact volume [m^3]."""
        return KINDS[self.kind].volume(self.size)

    def contains(self, points: Array, tolerance: float = 0.0) -> Any:
        """Whether points (n, 3) in the toy's frame lie in the material (a ring's hole is outside), as (n,) bool."""
        local = (np.asarray(points, dtype=np.float64) - np.asarray(self.pos)) @ quat_to_matrix(self.quat)
        return KINDS[self.kind].contains(self.size, local, tolerance)

    def manifold(self, segments: int = ROUND_SEGMENTS) -> Manifold:
        """The solid in the toy's frame, a polyhedron of the exact volume (radii are widened for the facets)."""
        from manifold3d import Manifold

        placed = np.column_stack([quat_to_matrix(self.quat), self.pos])
        return KINDS[self.kind].solid(self.size, Manifold, segments).transform(placed)

    def geoms(self, rgba: RGBA) -> tuple[Geom, ...]:
        """MuJoCo collision shapes in the toy's frame: one, or many around a ring."""
        matrix, (w, x, y, z) = quat_to_matrix(self.quat), unit(self.quat)
        out = []
        for kind, size, angle, distance in KINDS[self.kind].collision(self.size):
            along = matrix @ np.array([math.cos(angle), math.sin(angle), 0.0])
            i, j, k = (np.asarray(self.pos) + along * distance).tolist()
            c, d = math.cos(angle / 2), math.sin(angle / 2)
            quat = (w * c - z * d, x * c + y * d, y * c - x * d, z * c + w * d)  # quat * rotation about z by angle
            out.append(Geom(kind, size, (i, j, k), quat, rgba))
        return tuple(out)
