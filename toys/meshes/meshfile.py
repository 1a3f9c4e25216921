"""Reads mesh files (OBJ, STL, PLY, GLB, OFF) in metres, and says what is wrong with one that cannot be used."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import trimesh

from toyshift.core.errors import FileError, MeshError
from toyshift.toys.units import UNITS

SUFFIXES = (".obj", ".stl", ".ply", ".glb", ".off")
TEXT_SUFFIXES = (".obj", ".off")  # the others may be binary
MAX_BYTES = 256 * 2**20  # of a mesh file; reading takes several times as much memory
MAX_FACES = 2_000_000
DECIMATE = "decimate it (MeshLab, Blender, or trimesh's simplify_quadric_decimation)"  # the remedy
LARGEST = 5.0  # [m] larger objects are in another unit
CENTIMETRES = 50.0  # [m] numbers up to this may be either's
SMALLEST = 0.001  # [m]
USUAL = 0.1  # [m] of what a hand grasps


def _mentioned(path: Path, word: str) -> Iterator[str]:
    """What follows a keyword at the beginning of a line of an OBJ or MTL file."""
    text = path.read_text(encoding="utf-8", errors="replace")
    for match in re.finditer(rf"^[ \t]*{word}[ \t]+(.+?)[ \t]*\r?$", text, re.MULTILINE):
        yield match.group(1)


def texture_files(path: Path, decode: bool = True) -> list[Path]:
    """The MTL and image files that an OBJ needs; images are decoded only where `decode` is set, which takes longest.

    Raises:
        FileError: one of them is missing, lies outside the object's folder, or is an image that cannot be read.
    """
    found = []
    for library in _mentioned(path, "mtllib"):
        mtl = path.parent / library
        _check_companion(path, mtl, f"remove the line 'mtllib {library}' to import it without a texture")
        found.append(mtl)
        for image in _mentioned(mtl, "map_Kd"):
            name = image.split()[-1] if image.startswith("-") else image
            remedy = f"remove the line 'map_Kd {image}' to import it without a texture"
            _check_companion(mtl, mtl.parent / name, remedy)
            if decode:
                _check_image(mtl.parent / name, remedy)
            found.append(mtl.parent / name)
    return found


def _check_companion(owner: Path, wanted: Path, remedy: str) -> None:
    inside = wanted.resolve().is_relative_to(owner.parent.resolve())
    if not inside:
        what = f"{owner} refers to {wanted}, which is outside its folder"
        raise FileError(f"{what}; move the file beside it, or {remedy}")
    if not wanted.is_file():
        what = f"{owner} refers to {wanted.name}, which does not exist"
        raise FileError(f"{what}; put {wanted.name} into {owner.parent}, or {remedy}")


def _check_image(path: Path, remedy: str) -> None:
    """Decodes an image: trimesh passes over one that it cannot open, and blames the mesh for one that is cut short."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise FileError(f"{path} cannot be read as an image ({error}): put it there again, or {remedy}") from error


def _check_size(path: Path) -> None:
    """Refuses a file that would not fit into memory before any of it is read."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error}") from error
    if size > MAX_BYTES:
        raise MeshError(f"{path} has {size / 2**20:.0f} MiB; at most {MAX_BYTES / 2**20:.0f} MiB are read: {DECIMATE}")


def _check_faces(path: Path, count: int) -> None:
    if count > MAX_FACES:
        raise MeshError(f"{path} has {count:,} faces; at most {MAX_FACES:,} are used: {DECIMATE}")


def _declared_faces(path: Path) -> int:
    """How many faces a PLY or OFF file says it holds; 0 where it does not say: ten million would take 2 GB to read."""
    with path.open("rb") as handle:
        head = handle.read(4096)
    pattern = {".ply": rb"element face (\d+)", ".off": rb"OFF\s+\d+\s+(\d+)"}.get(path.suffix.lower())
    found = re.search(pattern, head) if pattern else None
    return int(found[1]) if found else 0


def _check_text(path: Path) -> None:
    """Refuses what is no text: trimesh would guess an encoding where a package for that happens to be installed."""
    try:
        path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise MeshError(f"{path} is no text in UTF-8; it is damaged or of another format: export it again") from error


def load_raw(path: Path, textures: bool = True) -> trimesh.Trimesh:
    """Reads a mesh file as it is, in its own unit, several bodies joined into one mesh.

    A GLB is turned from its y axis up, which the format prescribes, to z up.

    Args:
        path: a file with one of SUFFIXES.
        textures: whether an OBJ's material and image files must be there.

    Raises:
        FileError: the file or a file it refers to is missing.
        MeshError: it is unreadable, empty, too large or not finite.
    """
    if not path.is_file():
        raise FileError(f"{path} does not exist")
    _check_size(path)
    _check_faces(path, _declared_faces(path))
    # trimesh gives an OBJ with texture coordinates but no image a grey one of its own; only real images count.
    companions = texture_files(path) if path.suffix.lower() == ".obj" and textures else None
    if path.suffix.lower() in TEXT_SUFFIXES:
        _check_text(path)
    try:
        mesh = trimesh.load_mesh(str(path), process=False)
    except Exception as error:  # readers of damaged files raise anything: IndexError, struct.error, ...
        why = f"{type(error).__name__}: {error}"
        raise MeshError(f"{path} cannot be read as a mesh ({why}); export it again") from error
    if not isinstance(mesh, trimesh.Trimesh) or len(mesh.faces) == 0 or len(mesh.vertices) == 0:
        raise MeshError(f"{path} holds no triangles; export the surface as a triangle mesh")
    _check_faces(path, len(mesh.faces))
    if not np.isfinite(mesh.vertices).all():
        bad = int((~np.isfinite(mesh.vertices).all(axis=1)).sum())
        raise MeshError(f"{path} holds {bad} vertices that are not finite numbers; export it again")
    if mesh.faces.min() < 0 or mesh.faces.max() >= len(mesh.vertices):
        raise MeshError(f"{path} has faces that refer to vertices it does not hold; export it again")
    if path.suffix.lower() == ".glb":
        mesh.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0]))
    mesh.metadata["textured"] = companions is None or any(c.suffix.lower() != ".mtl" for c in companions)
    return mesh


def longest_edge(mesh: trimesh.Trimesh) -> float:
    """Longest edge of the upright box around the faces, in the mesh's unit."""
    return float(np.ptp(mesh.vertices[np.unique(mesh.faces)], axis=0).max())


def read_mesh(
    path: Path, scale: float | Sequence[float] = 1.0, textures: bool = True, option: bool = False
) -> trimesh.Trimesh:
    """Reads a mesh file in metres, checked, with the vertices in the file's order.

    Args:
        path: see load_raw.
        scale: what its coordinates are multiplied by to give metres, or one such number per axis.
        textures: see load_raw.
        option: whether the user can give the unit as an option of the object set; the errors then say so.

    Raises:
        FileError, MeshError: as load_raw does; or in another unit than metres.
    """
    mesh = load_raw(path, textures)
    factors = np.broadcast_to(np.asarray(scale, dtype=np.float64), 3)
    with np.errstate(over="ignore", invalid="ignore"):
        raw = longest_edge(mesh)
        if (factors != 1).any():
            mesh.vertices = np.asarray(mesh.vertices) * factors
        size = longest_edge(mesh)
    if not math.isfinite(raw) or not math.isfinite(size):
        told = f"{path} is too long for a number where it is multiplied by {factors.max():g}"
        raise MeshError(f"{told}; give a smaller scale, or export it again")
    if SMALLEST <= size <= LARGEST:
        return mesh
    told = f"{path} is {'only ' if size < SMALLEST else ''}{size:.4g} m long"
    if option and raw > USUAL / sys.float_info.max:  # a smaller one is flat
        raise MeshError(f"{told}; {_other_unit(raw)}")
    if size < SMALLEST:
        raise MeshError(f"{told}; it seems to be in another unit: this project reads metres")
    centimetres = size <= CENTIMETRES
    unit, factor = ("centimetres or millimetres", "0.01 or 0.001") if centimetres else ("millimetres", "0.001")
    raise MeshError(
        f"{told}; it seems to be in {unit}: multiply its coordinates by {factor}, this project reads metres"
    )


def _other_unit(raw: float) -> str:
    """Says in which unit, or by which scale where no unit helps, a mesh of a size in its file can be used."""
    words = {"mm": "millimetres", "cm": "centimetres", "m": "metres"}
    fitting = [unit for unit in words if SMALLEST <= UNITS[unit] * raw <= LARGEST]
    if fitting:
        options, why = [f"?unit={unit}" for unit in fitting], f"seems to be in {' or '.join(words[u] for u in fitting)}"
    else:
        scale = 10.0 ** round(math.log10(USUAL / raw))
        options, why = [f"?unit=m&scale={scale:g}"], "is not as large as what a hand grasps in any unit"
    return f"it {why}: give it a set of its own with {' or '.join(options)}"


def set_texture(mesh: trimesh.Trimesh, image: Path) -> None:
    """Gives a mesh with texture coordinates an image, in place of the one its material names.

    Raises:
        FileError: the image is missing or cannot be read.
    """
    from PIL import Image
    from trimesh.visual.material import SimpleMaterial

    _check_image(image, "install the package it belongs to again")
    with Image.open(image) as opened:
        mesh.visual.material = SimpleMaterial(image=opened.convert("RGB"))
    mesh.metadata["textured"] = True


def file_bytes(path: Path, textures: bool = True) -> list[bytes]:
    """The bytes of a mesh file and of everything it refers to, for its content hash.

    Raises:
        FileError: one of them is missing, unreadable or too large.
    """
    companions = texture_files(path, decode=False) if path.suffix.lower() == ".obj" and textures else []
    out = []
    for file in [path, *companions]:
        _check_size(file)
        try:
            out.append(file.read_bytes())
        except OSError as error:
            raise FileError(f"{file} cannot be read: {error}") from error
    return out
