"""The object set `ycb:DIR`: scanned objects in the official YCB layout, at their real size."""

from __future__ import annotations

import functools
import warnings
from pathlib import Path

import numpy as np

from toyshift.core.errors import FileError, MeshError, ToyShiftError, UnknownNameError
from toyshift.core.files import content_hash, json_hash
from toyshift.toys.decompose import convex_parts, parts_properties
from toyshift.toys.grammar import Term
from toyshift.toys.meshfile import file_bytes, read_mesh, solid_surface, visual_mesh
from toyshift.toys.model import GraspObject
from toyshift.toys.objectset import ObjectSet
from toyshift.toys.rest import compute_rest_poses
from toyshift.toys.solid import mass_properties
from toyshift.toys.store import cached, scaled, store_path
from toyshift.toys.table import display_name, ycb_table
from toyshift.toys.workers import build_in_processes

VERSION = "ycb-4"  # change it when what is built from the same files changes
DEFAULT_DENSITY = 500.0  # [kg/m^3] where the table has no mass


def mesh_file(folder: Path) -> Path | None:
    """The mesh of one object's folder: google_16k/textured.obj or textured.obj, None where there is neither."""
    for candidate in (folder / "google_16k" / "textured.obj", folder / "textured.obj"):
        if candidate.is_file():
            return candidate
    return None


def find_objects(folder: Path) -> dict[str, Path]:
    """id -> mesh file of every object in a folder, sorted by id.

    Raises:
        FileError: the folder does not exist or holds no object.
    """
    if not folder.is_dir():
        what = f"{folder} is a file" if folder.exists() else f"the folder {folder} does not exist"
        raise FileError(f"ycb: {what}; give the folder that holds 002_master_chef_can/ and so on")
    found = {child.name: path for child in sorted(folder.iterdir()) if child.is_dir() and (path := mesh_file(child)) is not None}
    if not found:
        raise FileError(f"ycb: {folder} holds no objects; expected <id>/google_16k/textured.obj or <id>/textured.obj, e.g. {folder}/025_mug/google_16k/textured.obj")
    return found


def object_key(path: Path, object_id: str) -> str:
    """Content hash of everything the built object depends on."""
    row = ycb_table().get(object_id)
    return content_hash(VERSION, object_id, repr(row.mass if row else None), *file_bytes(path))


def build_object(path: Path, object_id: str) -> GraspObject:
    """Builds an object from its mesh file.

    Mass comes from the table (otherwise DEFAULT_DENSITY, with a warning); inertia is that of the solid at uniform
    density where the surface is closed, otherwise that of the union of its convex parts, scaled to the mass.

    Raises:
        MeshError: the mesh cannot be used; names the file and the remedy.
    """
    raw = read_mesh(path)
    with np.errstate(divide="ignore", invalid="ignore"):  # of a flat surface, which convex_parts refuses
        surface = solid_surface(raw)
    try:
        parts = convex_parts(surface)
        closed = surface.is_watertight and surface.is_winding_consistent
        volume, com, inertia = mass_properties(surface.vertices, surface.faces) if closed else parts_properties(parts)
        poses = compute_rest_poses(surface.vertices, com, upright=True)
    except MeshError as error:
        raise MeshError(f"{path}: {error}; repair or leave out the object {object_id!r}") from error
    row = ycb_table().get(object_id)
    if row is None:
        warnings.warn(f"{object_id!r} is not in the YCB table: its mass is taken as {DEFAULT_DENSITY:g} kg/m^3 x {volume * 1e6:.0f} cm^3", stacklevel=2)
    mass = row.mass if row else DEFAULT_DENSITY * volume
    info = {"closed": bool(closed), "volume": volume, "parts": len(parts)}
    return GraspObject(
        id=object_id, name=display_name(object_id), source="ycb", mesh=surface, geoms=(), parts=parts, visual=visual_mesh(raw, surface),
        mass=mass, com=com, inertia=inertia * (mass / volume), rest_poses=poses, info=info,
    )


def ensure_built(path: Path, object_id: str) -> None:
    """Builds an object into the cache; what a worker process runs."""
    cached(object_key(path, object_id), lambda: build_object(path, object_id))


def ycb_set(term: Term) -> ObjectSet:
    """Scans in the folder `ycb:DIR`, at real size; `@maniskill` shrinks the nine that ManiSkill shrinks (same density).

    `?graspable` keeps, per rest pose, what an opening of 80 mm can close around. At real size fewer objects fit: of
    the 39 scans this was developed with, 28; with `@maniskill` 32, the ones the table's fit80 column names. The first
    import builds convex parts in two processes; later ones read the cache.

    Raises:
        FileError, MeshError: no objects, or one that cannot be used; names the file and the remedy.
    """
    if term.variant not in ("", "maniskill"):
        raise UnknownNameError("variant of ycb", term.variant, ["maniskill"])
    files = find_objects(Path(term.argument).expanduser())
    keys = {name: object_key(path, name) for name, path in files.items()}
    missing = [name for name in files if not store_path(keys[name]).exists()]
    if missing:
        jobs = [["toyshift.toys.ycb:ensure_built", str(files[name].resolve()), name] for name in missing]
        problems = build_in_processes(jobs, "importing YCB")
        if problems:
            raise _problem(problems)
    scales = {name: row.scale for name, row in ycb_table().items()} if term.variant else {}

    @functools.cache
    def warn_once(name: str) -> None:
        if name not in ycb_table():
            warnings.warn(f"{name!r} is not in the YCB table: its mass is taken as {DEFAULT_DENSITY:g} kg/m^3 x its volume", stacklevel=2)

    def load(name: str) -> GraspObject:
        warn_once(name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return scaled(cached(keys[name], lambda: build_object(files[name], name)), scales.get(name, 1.0))

    return ObjectSet(term.text, tuple(files), json_hash(["ycb", term.variant, keys]), load)


def _problem(problems: list[tuple[str, str]]) -> ToyShiftError:
    """One error for all objects that could not be imported."""
    kind, message = problems[0]
    more = "" if len(problems) == 1 else f" ({len(problems) - 1} more: {'; '.join(text for _, text in problems[1:4])})"
    return (MeshError if kind == "MeshError" else FileError)(message + more)
