"""The object set `ycb:DIR`: scanned objects in the official YCB layout, at their real size."""

from __future__ import annotations

import warnings
from pathlib import Path

from toyshift.core.errors import FileError
from toyshift.core.files import content_hash
from toyshift.toys.grammar import Term, check_variant
from toyshift.toys.meshes.meshfile import file_bytes
from toyshift.toys.meshes.meshobject import DEFAULT_DENSITY, MeshRecipe
from toyshift.toys.meshes.meshset import mesh_set
from toyshift.toys.objectset import ObjectSet
from toyshift.toys.ycb_table import display_name, ycb_table

VERSION = "ycb-4"  # change it when what is built from the same files changes


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
    children = sorted(child for child in folder.iterdir() if child.is_dir())
    found = {child.name: path for child in children if (path := mesh_file(child)) is not None}
    if not found:
        places = f"<id>/google_16k/textured.obj or <id>/textured.obj, e.g. {folder}/025_mug/google_16k/textured.obj"
        raise FileError(f"ycb: {folder} holds no objects; expected {places}")
    return found


def object_key(path: Path, object_id: str) -> str:
    """Content hash of everything the built object depends on."""
    row = ycb_table().get(object_id)
    return content_hash(VERSION, object_id, repr(row.mass if row else None), *file_bytes(path))


def recipe(path: Path, object_id: str) -> MeshRecipe:
    """How an object is built: its mass from the table, otherwise from DEFAULT_DENSITY.

    A scan is the outside of one thing, so it is not searched for pieces that overlap.
    """
    row = ycb_table().get(object_id)
    mass, name = row.mass if row else None, display_name(object_id)
    return MeshRecipe(str(path.resolve()), object_id, name, "ycb", mass=mass, unite=False, version=VERSION)


def ycb_set(term: Term) -> ObjectSet:
    """Scans in the folder `ycb:DIR`, at real size; `@maniskill` shrinks the nine that ManiSkill shrinks (same density).

    `?graspable` keeps, per rest pose, what an opening of 80 mm can close around. At real size fewer objects fit: of
    the 39 scans this was developed with, 28; with `@maniskill` 32, the ones the table's fit80 column names. One and
    two of these are left out for their mass, which is a placeholder, unless `&light` asks for them. The first import
    builds convex parts in two processes; later ones read the cache.

    Raises:
        FileError, MeshError: no objects, or one that cannot be used; names the file and the remedy.
    """
    check_variant(term, ["maniskill"])
    files = find_objects(Path(term.argument).expanduser())
    keys = {name: object_key(path, name) for name, path in files.items()}
    table = ycb_table()
    unknown = [name for name in files if name not in table]
    if unknown:
        some = ", ".join(repr(name) for name in unknown[:10]) + (" ..." if len(unknown) > 10 else "")
        warnings.warn(f"not in the YCB table: {some}: mass taken as {DEFAULT_DENSITY:g} kg/m^3 x volume", stacklevel=2)
    scales = {name: row.scale for name, row in table.items()} if term.variant else {}
    return mesh_set(
        term.text, [recipe(path, name) for name, path in files.items()], keys, ["ycb", term.variant], "importing YCB",
        finish=lambda found: found.scaled(scales.get(found.id, 1.0)),
    )
