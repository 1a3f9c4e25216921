"""Checks a folder of meshes object by object: what each is, what had to be repaired, and what is wrong with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from toyshift.core.errors import ToyShiftError
from toyshift.toys.grammar import Term
from toyshift.toys.meshes.archive import folder_of
from toyshift.toys.meshes.mesh_folder import COMPANIONS, Plan, plan_meshes
from toyshift.toys.meshes.meshfile import SUFFIXES, read_mesh
from toyshift.toys.meshes.meshobject import MeshRecipe, build, surface_of
from toyshift.toys.meshes.meshset import build_missing, hashed
from toyshift.toys.meshes.ycb import find_objects, mesh_file, object_key, recipe
from toyshift.toys.objectset import PANDA_OPENING, too_light
from toyshift.toys.store import cached


@dataclasses.dataclass(frozen=True)
class Checked:
    """What is known of one object; only `id`, `file`, `ok` and `error` of one that cannot be used.

    Attributes:
        id: see GraspObject.
        file: its mesh.
        ok: whether it can be used.
        error: why it cannot, and the remedy.
        vertices, faces: how many the file holds.
        unit: of the file.
        watertight: whether its surface is closed, after repairs.
        repairs: what was repaired, or stays wrong without doing harm.
        box: edges of the smallest oriented box, ascending [m].
        volume: [m^3].
        mass: [kg].
        mass_from: where the mass comes from.
        width: smallest horizontal width over the rest poses [m].
        graspable: whether a Panda hand can close around it.
        density: mass over volume [kg/m^3].
        light: whether that is less than LEAST_DENSITY: `?graspable` leaves it out.
        parts: number of convex collision parts.
    """

    id: str
    file: str
    ok: bool
    error: str = ""
    vertices: int = 0
    faces: int = 0
    unit: str = ""
    watertight: bool = False
    repairs: tuple[str, ...] = ()
    box: tuple[float, ...] = ()
    volume: float = 0.0
    mass: float = 0.0
    mass_from: str = ""
    width: float = 0.0
    graspable: bool = False
    parts: int = 0
    density: float = 0.0
    light: bool = False


def is_ycb_layout(folder: Path) -> bool:
    """Whether a folder holds objects in the official YCB layout, <id>/google_16k/textured.obj."""
    return any(child.is_dir() and mesh_file(child) is not None for child in folder.iterdir())


def plan_folder(argument: Path, options: Mapping[str, str]) -> tuple[Plan, bool]:
    """How a folder or archive will be read, and whether it has the YCB layout.

    Args:
        argument: the folder, zip file or wheel.
        options: those of the source `meshes`; without any, a folder in the YCB layout is read as `ycb:` does.

    Raises:
        FileError: it holds no meshes.
        ConfigError, UnknownNameError: an option that is out of range.
    """
    term = Term(f"meshes:{argument}", "meshes", str(argument), "", tuple(options.items()))
    folder = folder_of(argument.expanduser(), (*SUFFIXES, *COMPANIONS))
    if options or not is_ycb_layout(folder):
        return plan_meshes(str(argument), "meshes", options, term), False
    files = find_objects(folder)
    keys, unreadable = hashed(files, lambda name: object_key(files[name], name))
    return Plan(tuple(recipe(path, name) for name, path in files.items()), keys, unreadable, "m", ""), True


def check(plan: Plan, ycb: bool) -> Iterator[Checked]:
    """Builds what is not in the cache yet, then reports the objects one by one; none that fails stops the rest."""
    usable = [one for one in plan.recipes if one.id in plan.keys]
    problems = build_missing(usable, plan.keys, "checking meshes")
    failures = {name: str(error) for name, error in plan.unreadable.items()}
    failures |= {name: failed.message for name, failed in problems.items()}
    for one in plan.recipes:
        if one.id in failures:
            yield Checked(one.id, one.path, False, failures[one.id])
        else:
            try:
                yield _facts(one, plan, ycb)
            except ToyShiftError as error:
                yield Checked(one.id, one.path, False, str(error))


def _facts(one: MeshRecipe, plan: Plan, ycb: bool) -> Checked:
    raw = read_mesh(Path(one.path), one.scale, one.textures, one.option)
    surface, repairs, closed = surface_of(raw, one.unite)
    found = cached(plan.keys[one.id], lambda: build(one))
    box = np.sort(np.asarray(surface.bounding_box_oriented.primitive.extents))
    source = "the YCB table" if ycb else "given"
    mass_from = source if one.mass is not None else f"{one.density:g} kg/m^3 x volume"
    volume, graspable = float(found.info["volume"]), found.graspable(PANDA_OPENING)
    return Checked(
        one.id, one.path, True, "", len(raw.vertices), len(raw.faces), plan.unit, closed, repairs, tuple(box.tolist()),
        volume, found.mass, mass_from, found.width, graspable, len(found.parts), found.density, too_light(found),
    )
