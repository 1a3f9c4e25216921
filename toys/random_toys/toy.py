"""A toy: a frozen value of primitives, colour, density and friction whose id is a hash of its content."""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import Any

import trimesh

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.files import json_hash
from toyshift.toys.geometry.rest import compute_rest_poses
from toyshift.toys.geometry.solid import manifold_to_trimesh, mass_properties, union
from toyshift.toys.model import RGBA, GraspObject
from toyshift.toys.random_toys.primitives import Primitive, rounded

# Named colours; the first four are LEGO's. Colours without a name are written #rrggbb.
COLOURS: dict[str, RGBA] = {
    "red": (0.85, 0.12, 0.12, 1.0),
    "green": (0.13, 0.65, 0.2, 1.0),
    "blue": (0.12, 0.3, 0.85, 1.0),
    "yellow": (0.95, 0.8, 0.1, 1.0),
    "orange": (0.95, 0.5, 0.1, 1.0),
    "purple": (0.5, 0.2, 0.65, 1.0),
    "pink": (0.95, 0.55, 0.7, 1.0),
    "brown": (0.45, 0.28, 0.15, 1.0),
    "white": (0.92, 0.92, 0.9, 1.0),
    "grey": (0.5, 0.5, 0.52, 1.0),
    "black": (0.08, 0.08, 0.09, 1.0),
    "cyan": (0.15, 0.7, 0.8, 1.0),
}
LEGO_COLOURS = ("red", "green", "blue", "yellow")
_HEX = re.compile("#[0-9a-f]{6}")


def rgba_of(colour: str) -> RGBA:
    """Red, green, blue and alpha in 0..1 of a name of COLOURS or of #rrggbb (lower case).

    Raises:
        UnknownNameError: it is neither.
    """
    if colour in COLOURS:
        return COLOURS[colour]
    if not _HEX.fullmatch(colour):
        raise UnknownNameError("toy colour", colour, (*COLOURS, "#rrggbb"))
    return int(colour[1:3], 16) / 255, int(colour[3:5], 16) / 255, int(colour[5:7], 16) / 255, 1.0


@dataclasses.dataclass(frozen=True)
class Toy:
    """Primitives stuck together into one rigid solid.

    Attributes:
        primitives: at least one; their material must be connected (sampling guarantees it, this class does not check).
        colour: of the whole toy, or one for each primitive: names of COLOURS or #rrggbb.
        density: of the solid [kg/m^3].
        friction: sliding friction coefficient, see GraspObject.
    """

    primitives: tuple[Primitive, ...]
    colour: str | tuple[str, ...]
    density: float = 400.0
    friction: float = 1.0

    def __post_init__(self) -> None:
        if not self.primitives:
            raise ConfigError("a toy needs at least one primitive")
        if isinstance(self.colour, tuple) and len(self.colour) != len(self.primitives):
            what = f"a toy has one colour, or one for each of its {len(self.primitives)} primitives"
            raise ConfigError(f"{what}; got {self.colour}")
        for colour in {self.colour} if isinstance(self.colour, str) else self.colour:
            rgba_of(colour)
        if not 1.0 <= self.density <= 30000.0:
            raise ConfigError(f"a toy's density is between 1 and 30000 kg/m^3; got {self.density}")
        if not 0.01 <= self.friction <= 10.0:
            raise ConfigError(f"a toy's friction is between 0.01 and 10; got {self.friction}")
        object.__setattr__(self, "density", rounded(float(self.density)))
        object.__setattr__(self, "friction", rounded(float(self.friction)))

    @functools.cached_property
    def id(self) -> str:
        """16 hex digits that depend on nothing but the toy's content."""
        content = [[p.kind, *[round(v * 1e6) for v in (*p.size, *p.pos, *p.quat)]] for p in self.primitives]
        # Ids are older than friction: only another friction than the usual one enters them.
        friction = [] if self.friction == 1.0 else [round(self.friction * 1e6)]
        return json_hash([content, self.colour, round(self.density * 1e6), *friction])

    @property
    def colours(self) -> tuple[str, ...]:
        """The colour of each primitive."""
        return (self.colour,) * len(self.primitives) if isinstance(self.colour, str) else self.colour

    @property
    def name(self) -> str:
        """What an instruction calls the toy: by its colour where it has one with a name."""
        distinct = set(self.colours)
        if len(distinct) > 1:
            return "colourful toy"
        only = distinct.pop()
        return f"{only} toy" if only in COLOURS else "toy"

    def scaled(self, factor: float) -> Toy:
        """The same shape `factor` times as large, of the same density; another toy, with an id of its own."""
        if factor == 1.0:
            return self

        def larger(p: Primitive) -> Primitive:
            x, y, z = p.pos
            return Primitive(p.kind, tuple(factor * v for v in p.size), (factor * x, factor * y, factor * z), p.quat)

        return dataclasses.replace(self, primitives=tuple(map(larger, self.primitives)))

    def to_json(self) -> dict[str, Any]:
        colour = self.colour if isinstance(self.colour, str) else list(self.colour)
        primitives = [p.to_json() for p in self.primitives]
        material = {"density": self.density, "friction": self.friction}
        return {"id": self.id, "colour": colour, **material, "primitives": primitives}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Toy:
        """Reads what to_json wrote.

        Raises:
            ConfigError: a field is missing, or the content does not have the stored id.
        """
        try:
            colour = value["colour"] if isinstance(value["colour"], str) else tuple(value["colour"])
            primitives = tuple(Primitive.from_json(p) for p in value["primitives"])
            toy = cls(primitives, colour, float(value["density"]), float(value.get("friction", 1.0)))
        except (KeyError, TypeError, AttributeError) as error:
            what = f"{error} is missing or has the wrong type"
            raise ConfigError(f"not a toy: {what}; it needs primitives, colour and density") from error
        if value.get("id", toy.id) != toy.id:
            what = f"toy {value['id']!r} was changed: its content has the id {toy.id!r}"
            raise ConfigError(f"{what}. Remove the id if the change is meant")
        return toy

    def mesh(self) -> trimesh.Trimesh:
        """The watertight surface of the union of the primitives."""
        return manifold_to_trimesh(union([p.manifold() for p in self.primitives]))


def toy_object(toy: Toy, source: str) -> GraspObject:
    """Everything a simulation needs of a toy; mass and inertia are those of the union, not of overlapping parts."""
    mesh = toy.mesh()
    volume, com, inertia = mass_properties(mesh.vertices, mesh.faces)
    coloured = zip(toy.primitives, toy.colours, strict=True)
    return GraspObject(
        id=toy.id, name=toy.name, source=source, mesh=mesh, parts=(), visual=None,
        geoms=tuple(geom for primitive, colour in coloured for geom in primitive.geoms(rgba_of(colour))),
        mass=volume * toy.density, com=com, inertia=inertia * toy.density, info={"toy": toy.to_json()},
        rest_poses=compute_rest_poses(mesh.vertices, com), friction=(toy.friction, *GraspObject.friction[1:]),
    )
