"""A toy: a frozen value of one to five primitives and a colour whose id is a hash of its content."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import trimesh

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.files import json_hash
from toyshift.toys.model import GraspObject
from toyshift.toys.primitives import Primitive, rounded
from toyshift.toys.rest import compute_rest_poses
from toyshift.toys.solid import manifold_to_trimesh, mass_properties, union

# LEGO's four colours; the whole toy has one.
COLOURS: dict[str, tuple[float, float, float, float]] = {
    "red": (0.85, 0.12, 0.12, 1.0),
    "green": (0.13, 0.65, 0.2, 1.0),
    "blue": (0.12, 0.3, 0.85, 1.0),
    "yellow": (0.95, 0.8, 0.1, 1.0),
}


@dataclasses.dataclass(frozen=True)
class Toy:
    """Primitives stuck together into one rigid solid of one colour.

    Attributes:
        primitives: at least one; their material must be connected (sampling guarantees it, this class does not check).
        colour: a name of COLOURS.
        density: of the solid [kg/m^3].
    """

    primitives: tuple[Primitive, ...]
    colour: str
    density: float = 400.0

    def __post_init__(self) -> None:
        if not self.primitives:
            raise ConfigError("a toy needs at least one primitive")
        if self.colour not in COLOURS:
            raise UnknownNameError("toy colour", self.colour, COLOURS)
        if not 1.0 <= self.density <= 30000.0:
            raise ConfigError(f"a toy's density is between 1 and 30000 kg/m^3; got {self.density}")
        object.__setattr__(self, "density", rounded(float(self.density)))

    @functools.cached_property
    def id(self) -> str:
        """16 hex digits that depend on nothing but the toy's content."""
        content = [[p.kind, *(round(v * 1e6) for v in (*p.size, *p.pos, *p.quat))] for p in self.primitives]
        return json_hash([content, self.colour, round(self.density * 1e6)])

    @property
    def name(self) -> str:
        return f"{self.colour} toy"

    def to_json(self) -> dict[str, Any]:
        return {"id": self.id, "colour": self.colour, "density": self.density, "primitives": [p.to_json() for p in self.primitives]}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Toy:
        """Reads what to_json wrote.

        Raises:
            ConfigError: a field is missing, or the content does not have the stored id.
        """
        try:
            toy = cls(tuple(Primitive.from_json(p) for p in value["primitives"]), value["colour"], float(value["density"]))
        except (KeyError, TypeError) as error:
            raise ConfigError(f"not a toy: {error} is missing or has the wrong type; it needs primitives, colour and density") from error
        if value.get("id", toy.id) != toy.id:
            raise ConfigError(f"toy {value['id']!r} was changed: its content has the id {toy.id!r}. Remove the id if the change is meant")
        return toy

    def mesh(self) -> trimesh.Trimesh:
        """The watertight surface of the union of the primitives."""
        return manifold_to_trimesh(union([p.manifold() for p in self.primitives]))


def toy_object(toy: Toy, source: str) -> GraspObject:
    """Everything a simulation needs of a toy; mass and inertia are those of the union, not of overlapping parts."""
    mesh = toy.mesh()
    volume, com, inertia = mass_properties(mesh.vertices, mesh.faces)
    rgba = COLOURS[toy.colour]
    return GraspObject(
        id=toy.id, name=toy.name, source=source, mesh=mesh,
        geoms=tuple(g for p in toy.primitives for g in p.geoms(rgba)), parts=(), visual=None,
        mass=volume * toy.density, com=com, inertia=inertia * toy.density,
        rest_poses=compute_rest_poses(mesh.vertices, com), info={"toy": toy.to_json()},
    )
