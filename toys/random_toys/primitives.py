"""The four primitives that toys are made of: sphere, cuboid, cylinder and ring, with their solids and collision shapes."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.toys.geometry.solid import quat_to_matrix
from toyshift.toys.model import Array, Geom

if TYPE_CHECKING:
    import manifold3d

# What the entries of Primitive.size mean [m].
SIZE_NAMES: dict[str, tuple[str, ...]] = {
    "sphere": ("radius",),
    "cuboid": ("x", "y", "z"),  # full edges
    "cylinder": ("radius", "height"),
    "ring": ("outer_radius", "wall", "height"),
}
KINDS = tuple(SIZE_NAMES)

ROUND_SEGMENTS = 32  # facets around the axis of a meshed cylinder or ring, and around a meshed sphere
RING_BOXES = 20  # collision boxes of a ring: its outside is 1.2 % too wide at worst, its hole is never narrower

Vec3 = tuple[float, float, float]
Quat = tuple[float, float, float, float]


def rounded(value: float) -> float:
    """Rounds to the micrometre (or 1e-6), the resolution at which toys are compared; turns -0.0 into 0.0."""
    return round(value, 6) + 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Primitive:
    """One solid of a toy, its z axis being the axis of cylinders and rings.

    Attributes:
        kind: "sphere", "cuboid", "cylinder" or "ring" (a thin-walled hoop with an open hole).
        size: lengths in the order of SIZE_NAMES[kind] [m], rounded to 1e-6.
        pos: centre in the toy's frame [m].
        quat: rotation from the primitive's to the toy's frame, wxyz, rounded to 1e-6 (normalised where it is used).
    """

    kind: str
    size: tuple[float, ...]
    pos: Vec3 = (0.0, 0.0, 0.0)
    quat: Quat = (1.0, 0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if self.kind not in SIZE_NAMES:
            raise UnknownNameError("primitive", self.kind, KINDS)
        names = SIZE_NAMES[self.kind]
        if len(self.size) != len(names) or len(self.pos) != 3 or len(self.quat) != 4:
            raise ConfigError(f"a {self.kind} has size {names}, a position of 3 and a quaternion of 4 numbers; got {self.size}, {self.pos}, {self.quat}")
        numbers = (*self.size, *self.pos, *self.quat)
        if not all(map(math.isfinite, numbers)) or min(self.size) < 1e-6:
            raise ConfigError(f"a {self.kind} needs finite numbers and sizes of at least 1e-6 m; got size {self.size}, pos {self.pos}, quat {self.quat}")
        w, x, y, z = self.quat
        if w * w + x * x + y * y + z * z < 1e-6:
            raise ConfigError(f"the quaternion of a {self.kind} is zero")
        if self.kind == "ring" and self.size[1] >= self.size[0]:
            raise ConfigError(f"a ring's wall ({self.size[1]} m) must be thinner than its outer radius ({self.size[0]} m)")
        for name in ("size", "pos", "quat"):
            object.__setattr__(self, name, tuple([rounded(float(v)) for v in getattr(self, name)]))

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
        s = self.size
        if self.kind == "sphere":
            return 4.0 / 3.0 * math.pi * s[0] ** 3
        if self.kind == "cuboid":
            return s[0] * s[1] * s[2]
        if self.kind == "cylinder":
            return math.pi * s[0] ** 2 * s[1]
        return math.pi * (s[0] ** 2 - (s[0] - s[1]) ** 2) * s[2]

    def contains(self, points: Array, tolerance: float = 0.0) -> Any:
        """Whether points (n, 3) in the toy's frame lie in the material (a ring's hole is outside), as (n,) bool."""
        local = (np.asarray(points, dtype=np.float64) - np.asarray(self.pos)) @ quat_to_matrix(self.quat)
        s = self.size
        if self.kind == "sphere":
            return np.linalg.norm(local, axis=1) <= s[0] + tolerance
        if self.kind == "cuboid":
            return (np.abs(local) <= np.asarray(s) / 2 + tolerance).all(axis=1)
        radial, axial = np.linalg.norm(local[:, :2], axis=1), np.abs(local[:, 2])
        if self.kind == "cylinder":
            return (radial <= s[0] + tolerance) & (axial <= s[1] / 2 + tolerance)
        return (radial <= s[0] + tolerance) & (radial >= s[0] - s[1] - tolerance) & (axial <= s[2] / 2 + tolerance)

    def manifold(self, segments: int = ROUND_SEGMENTS) -> manifold3d.Manifold:
        """The solid as a polyhedron in the toy's frame whose volume is the exact one (radii are widened for the facets)."""
        from manifold3d import Manifold

        s = self.size
        # A regular polygon of this circumradius has the area of the unit circle.
        widen = math.sqrt(2 * math.pi / (segments * math.sin(2 * math.pi / segments)))
        if self.kind == "sphere":
            body = Manifold.sphere(s[0], segments)
            body = body.scale([(self.volume / body.volume()) ** (1 / 3)] * 3)
        elif self.kind == "cuboid":
            body = Manifold.cube(list(s), True)
        elif self.kind == "cylinder":
            body = Manifold.cylinder(s[1], s[0] * widen, circular_segments=segments, center=True)
        else:
            outer = Manifold.cylinder(s[2], s[0] * widen, circular_segments=segments, center=True)
            hole = Manifold.cylinder(2 * s[2], (s[0] - s[1]) * widen, circular_segments=segments, center=True)
            body = outer - hole
        return body.transform(np.column_stack([quat_to_matrix(self.quat), self.pos]))

    def geoms(self, rgba: tuple[float, float, float, float]) -> tuple[Geom, ...]:
        """MuJoCo collision shapes in the toy's frame: one, or RING_BOXES boxes around a ring."""
        s = self.size
        matrix = quat_to_matrix(self.quat)
        norm = math.sqrt(sum(q * q for q in self.quat))
        w, x, y, z = (q / norm for q in self.quat)
        quat = (w, x, y, z)
        if self.kind == "sphere":
            return (Geom("sphere", (s[0], 0.0, 0.0), self.pos, quat, rgba),)
        if self.kind == "cuboid":
            return (Geom("box", (s[0] / 2, s[1] / 2, s[2] / 2), self.pos, quat, rgba),)
        if self.kind == "cylinder":
            return (Geom("cylinder", (s[0], s[1] / 2, 0.0), self.pos, quat, rgba),)
        out = []
        half = (s[1] / 2, s[0] * math.tan(math.pi / RING_BOXES), s[2] / 2)
        for k in range(RING_BOXES):
            angle = 2 * math.pi * k / RING_BOXES
            centre = np.asarray(self.pos) + matrix @ np.array([math.cos(angle), math.sin(angle), 0.0]) * (s[0] - s[1] / 2)
            c, d = math.cos(angle / 2), math.sin(angle / 2)  # quat * rotation about z by angle
            turned = (w * c - z * d, x * c + y * d, y * c - x * d, z * c + w * d)
            out.append(Geom("box", half, (float(centre[0]), float(centre[1]), float(centre[2])), turned, rgba))
        return tuple(out)
