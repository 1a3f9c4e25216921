"""One object from a mesh file: a recipe that says all that it depends on, and what builds it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import trimesh

from toyshift.core.errors import MeshError
from toyshift.core.files import content_hash
from toyshift.toys.geometry.decompose import convex_parts, parts_properties
from toyshift.toys.geometry.rest import compute_rest_poses
from toyshift.toys.geometry.self_intersection import MAX_FACES, crossing_faces, misfilled
from toyshift.toys.geometry.solid import mass_properties
from toyshift.toys.meshes.meshfile import file_bytes, read_mesh, set_texture
from toyshift.toys.meshes.meshvisual import visual_mesh
from toyshift.toys.meshes.repair import repaired, united
from toyshift.toys.model import RGBA, GraspObject

VERSION = "mesh-1"  # change it when what is built from the same recipe changes
DEFAULT_DENSITY = 500.0  # [kg/m^3] where neither a mass nor a density is known
MISFILLED = 0.02  # of its inside: a surface that encloses more than this twice or inside out bounds no solid
THIN = 1e-6  # of the hull: what fills less encloses no volume


@dataclasses.dataclass(frozen=True)
class MeshRecipe:
    """What an object is made of; JSON-able, so that another process can build it.

    Attributes:
        path: the mesh file.
        id, name, source: see GraspObject.
        scale: what the file's coordinates are multiplied by along its axes to give metres.
        mass: [kg], or None: density times volume.
        density: [kg/m^3], used where there is no mass.
        texture: an image in place of the one that the file names, or "".
        textures: whether the material and image files that an OBJ names must be there.
        rgba: colour in place of the file's, or None.
        unite: whether overlapping pieces are united and surfaces that pass through themselves are rebuilt.
        option: whether the unit is an option of the set; errors then say so.
        version: of what is built from the same recipe.
    """

    path: str
    id: str
    name: str
    source: str
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    mass: float | None = None
    density: float = DEFAULT_DENSITY
    texture: str = ""
    textures: bool = True
    rgba: RGBA | None = None
    unite: bool = True
    option: bool = False
    version: str = VERSION

    def key(self) -> str:
        """Content hash of everything the built object depends on; not where its files lie.

        Raises:
            FileError: a file cannot be read.
        """
        facts = dataclasses.asdict(self) | {"path": Path(self.path).suffix.lower(), "texture": bool(self.texture)}
        image = [Path(self.texture).read_bytes()] if self.texture else []
        return content_hash(json.dumps(facts, sort_keys=True), *file_bytes(Path(self.path), self.textures), *image)


def surface_of(raw: trimesh.Trimesh, unite: bool = True) -> tuple[trimesh.Trimesh, tuple[str, ...], bool]:
    """The repaired surface of a mesh, what was repaired, and whether it bounds a solid."""
    with np.errstate(divide="ignore", invalid="ignore"):  # of a flat surface, which convex_parts refuses
        surface, said = repaired(raw)
        closed = bool(surface.is_watertight and surface.is_winding_consistent)
        if unite and closed:
            surface, more = united(surface)
            said += more
    if not closed:
        said += ("volume and collision parts are those of the thin shell that CoACD makes of it",)
    if unite and len(surface.faces) <= MAX_FACES:
        crossing = len(crossing_faces(surface))
        wrong = misfilled(surface) if crossing and closed else 0.0
        if wrong > MISFILLED:
            closed = False
            what = f"passes through itself at {crossing} faces and encloses {wrong:.0%} of its inside"
            said += (f"{what} twice or inside out: volume and collision parts are those of CoACD's remesh",)
        elif crossing:
            said += (f"passes through itself at {crossing} faces, with next to no effect on its volume",)
    elif unite:
        said += (f"not tested for passing through itself: more than {MAX_FACES:,} faces",)
    return surface, said, closed


def build(recipe: MeshRecipe) -> GraspObject:
    """Builds an object.

    Inertia is that of the solid at uniform density where the surface is closed, otherwise that of the union of its
    convex parts, scaled to the mass. `info` holds `closed`, `volume` [m^3], `parts`, `repairs` and `mass_from`.

    Raises:
        FileError, MeshError: a file is missing or cannot be used; names it and the remedy.
        MissingDependencyError: an open surface needs coacd, which does not load.
    """
    raw = read_mesh(Path(recipe.path), recipe.scale, recipe.textures, recipe.option)
    if recipe.texture:
        set_texture(raw, Path(recipe.texture))
    surface, repairs, closed = surface_of(raw, recipe.unite)
    try:
        parts = convex_parts(surface, remesh=bool(surface.is_watertight) and not closed)
        volume, com, inertia = mass_properties(surface.vertices, surface.faces) if closed else parts_properties(parts)
        if volume < THIN * surface.convex_hull.volume:
            raise MeshError("the surface encloses no volume (a folded sheet?): give its walls a thickness")
        poses = compute_rest_poses(surface.vertices, com, upright=True)
    except MeshError as error:
        raise MeshError(f"{recipe.path}: {error}; repair or leave out the object {recipe.id!r}") from error
    mass = recipe.mass if recipe.mass is not None else recipe.density * volume
    visual = visual_mesh(raw, surface)
    if recipe.rgba is not None:
        visual = dataclasses.replace(visual, rgba=recipe.rgba)
    info = {
        "closed": closed, "volume": volume, "parts": len(parts), "repairs": list(repairs),
        "mass_from": "given" if recipe.mass is not None else f"{recipe.density:g} kg/m^3 x volume",
    }
    return GraspObject(
        id=recipe.id, name=recipe.name, source=recipe.source, mesh=surface, geoms=(), parts=parts, visual=visual,
        mass=mass, com=com, inertia=inertia * (mass / volume), rest_poses=poses, info=info,
    )
