"""The object set `meshes:DIR`: a folder (or zip file) of one's own meshes, in any unit."""

from __future__ import annotations

import csv
import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path

from toyshift.core.errors import ConfigError, FileError, ToyShiftError, UnknownNameError
from toyshift.core.files import cache_dir, json_hash, read_json, real_path, write_json
from toyshift.toys.grammar import Term, check_variant, number
from toyshift.toys.meshes.archive import folder_of
from toyshift.toys.meshes.meshfile import SUFFIXES, load_raw, longest_edge
from toyshift.toys.meshes.meshobject import DEFAULT_DENSITY, MeshRecipe
from toyshift.toys.meshes.meshset import hashed, mesh_set
from toyshift.toys.model import GraspObject
from toyshift.toys.objectset import ObjectSet
from toyshift.toys.units import UNITS, infer_unit

COMPANIONS = (".mtl", ".png", ".jpg", ".jpeg", ".csv")  # what else is taken out of an archive


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a folder of meshes is read.

    Attributes:
        recipes: one an object, sorted by id.
        keys: id -> content hash, without those of `unreadable`.
        unreadable: id -> why the file's bytes cannot be read.
        unit: of the files.
        inferred: how the unit was found, or "" where it was given.
    """

    recipes: tuple[MeshRecipe, ...]
    keys: Mapping[str, str]
    unreadable: Mapping[str, ToyShiftError]
    unit: str
    inferred: str


def find_meshes(folder: Path) -> dict[str, Path]:
    """id -> mesh file of a folder and those in it, sorted; the id is the path without suffix, its parts joined by "_".

    Raises:
        FileError: there is no mesh, or two have the same id.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in inner.parts)
        if hidden or path.suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        name = "_".join(inner.with_suffix("").parts)
        if name in found:
            both = f"{found[name]} and {path} would both be the object {name!r}"
            raise FileError(f"meshes: {both}; move one of them away or rename it")
        found[name] = path
    if not found:
        raise FileError(f"meshes: {folder} holds no mesh; expected files that end in {', '.join(SUFFIXES)}")
    return dict(sorted(found.items()))


def read_masses(path: Path) -> dict[str, float]:
    """id -> mass [kg] of a CSV file with the columns `id` and `mass_g`, as the YCB table has them.

    Raises:
        FileError: it cannot be read, lacks a column, or holds a mass that is no positive number.
    """
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            reader = csv.DictReader(handle)
            if not {"id", "mass_g"} <= set(reader.fieldnames or ()):
                columns = ", ".join(reader.fieldnames or ()) or "none"
                raise FileError(f"{path} has the columns {columns}; it needs id and mass_g")
            masses = {}
            for row in reader:
                mass = float(row["mass_g"] or "nan") / 1000
                if not 0 < mass < float("inf"):
                    what = f"the mass_g of {row['id']!r} must be a positive number"
                    raise FileError(f"{path}: {what}, got {row['mass_g']!r}")
                masses[row["id"]] = mass
            return masses
    except (OSError, ValueError) as error:
        raise FileError(f"{path} cannot be read as a table of masses: {error}") from error


def _infer(files: Mapping[str, Path], keys: Mapping[str, str]) -> tuple[str, str]:
    """The unit of all files together and how it was found; kept in the cache, as reading many meshes takes long."""
    memory = cache_dir("units") / f"{json_hash(sorted(keys.values()))}.json"
    if memory.is_file():
        found = read_json(memory)
        return str(found["unit"]), str(found["why"])
    edges = []
    for path in files.values():
        try:
            edges.append(longest_edge(load_raw(path, textures=False)))
        except ToyShiftError:
            continue  # told when the object is built
    if not edges:
        return "m", ""  # the error that comes is of a mesh, not of its unit
    unit = infer_unit(edges)
    why = f"the unit was taken to be {unit}: the longest edges are {min(edges):.3g} to {max(edges):.3g} in the files"
    write_json(memory, {"unit": unit, "why": why})
    return unit, why


def plan_meshes(argument: str, source: str, options: Mapping[str, str], term: Term) -> Plan:
    """Finds the meshes of a folder or archive, their unit and masses.

    Raises:
        FileError: no meshes, or a table of masses that cannot be read.
        ConfigError, UnknownNameError: an option that is out of range or contradicts another.
    """
    unit = options.get("unit", "")
    if unit and unit not in UNITS:
        raise UnknownNameError("unit of meshes", unit, UNITS)
    given = [key for key in ("density", "mass", "masses") if options.get(key)]
    if "mass" in given and len(given) > 1:
        other = given[0] if given[0] != "mass" else given[1]
        raise ConfigError(f"object set {term.text!r}: mass contradicts {other}; give one of them")
    files = find_meshes(folder_of(Path(argument).expanduser(), (*SUFFIXES, *COMPANIONS)))
    mass = number(term, "mass", 0.0) or None
    density = number(term, "density", DEFAULT_DENSITY)
    masses = read_masses(Path(options["masses"]).expanduser()) if options.get("masses") else {}
    usual = MeshRecipe("", "", "", source, density=density, option=True)
    recipes = {
        name: dataclasses.replace(
            usual, path=str(real_path(path)), id=name, name=name.replace("_", " "), mass=masses.get(name, mass)
        )
        for name, path in files.items()
    }
    keys, unreadable = hashed(recipes, lambda name: recipes[name].key())
    inferred = ""
    if not unit:
        unit, inferred = _infer({name: files[name] for name in keys}, keys)
    factor = UNITS[unit] * number(term, "scale", 1.0)
    scaled = [dataclasses.replace(one, scale=(factor, factor, factor)) for one in recipes.values()]
    return Plan(tuple(scaled), {one.id: one.key() for one in scaled if one.id in keys}, unreadable, unit, inferred)


def meshes_set(term: Term) -> ObjectSet:
    """The meshes in the folder or zip file `meshes:DIR` (OBJ, STL, PLY, GLB, OFF), in folders inside it too.

    Options: `unit` (m, cm, mm or in; inferred with a warning where it is absent), `scale` (a further factor), `mass`
    [kg] of each object, `masses` (a CSV with id and mass_g), `density` [kg/m^3] (500) of those without a mass. z is up.
    What had to be repaired is told as a warning when an object is loaded, and stands in its `info`.

    Raises:
        FileError, MeshError: no meshes, or one that cannot be used; names the file and the remedy.
        ConfigError, UnknownNameError: an option that is out of range.
    """
    check_variant(term)
    options = dict(term.options)
    plan = plan_meshes(term.argument, "meshes", options, term)
    if plan.unreadable:
        raise next(iter(plan.unreadable.values()))
    if plan.inferred:
        warnings.warn(f"{term.text}: {plan.inferred}; write ?unit={plan.unit} (or cm, mm, in) to say so", stacklevel=2)

    def finish(found: GraspObject) -> GraspObject:
        if found.info["repairs"]:
            warnings.warn(f"{found.id!r} of {term.text}: {'; '.join(found.info['repairs'])}", stacklevel=2)
        return found

    return mesh_set(term.text, plan.recipes, plan.keys, ["meshes"], "importing meshes", finish)
