"""Mesh files: what is read from them, what is wrong with them, and how their surface and texture become an object's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import trimesh
from numpy.typing import NDArray

from toyshift.core.errors import FileError, MeshError
from toyshift.toys.model import Array, VisualMesh

MAX_VISUAL_FACES = 5000
MAX_TEXTURE = 1024  # [pixels]; the official textures of 4096 would take 48 MB each
LARGEST = 5.0  # [m] larger objects are in another unit
CENTIMETRES = 50.0  # [m] numbers up to this may be either's
SMALLEST = 0.001  # [m]
SMALL_HOLE = 0.08  # of the surface's area; larger holes are not closed


def _mentioned(path: Path, word: str) -> Iterator[str]:
    """What follows a keyword at the beginning of a line of an OBJ or MTL file."""
    text = path.read_text(encoding="utf-8", errors="replace")
    for match in re.finditer(rf"^[ \t]*{word}[ \t]+(.+?)[ \t]*\r?$", text, re.MULTILINE):
        yield match.group(1)


def texture_files(path: Path) -> list[Path]:
    """The MTL and image files that an OBJ needs.

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
            _check_image(mtl.parent / name, remedy)
            found.append(mtl.parent / name)
    return found


def _check_companion(owner: Path, wanted: Path, remedy: str) -> None:
    inside = wanted.resolve().is_relative_to(owner.parent.resolve())
    if not inside:
        raise FileError(f"{owner} refers to {wanted}, which is outside its folder; move the file beside it, or {remedy}")
    if not wanted.is_file():
        raise FileError(f"{owner} refers to {wanted.name}, which does not exist; put {wanted.name} into {owner.parent}, or {remedy}")


def _check_image(path: Path, remedy: str) -> None:
    """Decodes an image: trimesh passes over one that it cannot open, and blames the mesh for one that is cut short."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise FileError(f"{path} cannot be read as an image ({error}): put it there again, or {remedy}") from error


def read_mesh(path: Path) -> trimesh.Trimesh:
    """Reads a mesh file in metres, checked, with the vertices as they are in the file.

    Raises:
        FileError: the file or a file it refers to is missing.
        MeshError: it is unreadable, empty, flat, not finite, or in another unit than metres.
    """
    if not path.is_file():
        raise FileError(f"{path} does not exist")
    # trimesh gives an OBJ with texture coordinates but no image a grey one of its own; only real images count.
    companions = texture_files(path) if path.suffix.lower() == ".obj" else None
    try:
        mesh = trimesh.load_mesh(str(path), process=False)
    except ModuleNotFoundError as error:  # trimesh looks for a package that guesses the encoding
        raise MeshError(f"{path} is no text in UTF-8; it is damaged or of another format: export it again") from error
    except Exception as error:  # readers of damaged files raise anything: IndexError, struct.error, ...
        raise MeshError(f"{path} cannot be read as a mesh ({type(error).__name__}: {error}); export it again") from error
    if not isinstance(mesh, trimesh.Trimesh) or len(mesh.faces) == 0 or len(mesh.vertices) == 0:
        raise MeshError(f"{path} holds no triangles; export the surface as a triangle mesh")
    if not np.isfinite(mesh.vertices).all():
        raise MeshError(f"{path} holds vertices that are not finite numbers; export it again")
    extents = np.ptp(mesh.vertices[np.unique(mesh.faces)], axis=0)
    if extents.max() > LARGEST:
        unit, factor = ("millimetres", "0.001") if extents.max() > CENTIMETRES else ("centimetres or millimetres", "0.01 or 0.001")
        raise MeshError(f"{path} is {extents.max():.4g} m long; it seems to be in {unit}: multiply its coordinates by {factor}, this project reads metres")
    if extents.max() < SMALLEST:
        raise MeshError(f"{path} is only {extents.max():.3g} m long; it seems to be in another unit: this project reads metres")
    mesh.metadata["textured"] = companions is None or any(c.suffix.lower() != ".mtl" for c in companions)
    return mesh


def _holes_closed(surface: trimesh.Trimesh) -> trimesh.Trimesh:
    """Closes holes smaller than SMALL_HOLE of the surface with a fan around their middle.

    A larger hole is left open: it may be the mouth of a vessel whose wall is a single sheet.
    """
    edges = surface.edges_sorted
    _, index, count = np.unique(edges, axis=0, return_index=True, return_counts=True)
    following = {int(b): int(a) for a, b in surface.edges[index[count == 1]]}  # against the faces' direction
    vertices, faces = [np.asarray(surface.vertices)], [np.asarray(surface.faces)]
    size = len(surface.vertices)
    while following:
        start, node = next(iter(following.items()))
        del following[start]
        loop = [start]
        while node != start and node in following:
            loop.append(node)
            node = following.pop(node)
        if node != start:
            continue  # not a simple loop
        rim = surface.vertices[loop]
        middle = rim.mean(axis=0)
        fan = np.stack([rim, np.roll(rim, -1, axis=0), np.broadcast_to(middle, rim.shape)], axis=1)
        if trimesh.triangles.area(fan).sum() > SMALL_HOLE * surface.area:
            continue
        vertices.append(middle[None])
        faces.append(np.array([[a, b, size] for a, b in zip(loop, loop[1:] + loop[:1], strict=True)]))
        size += 1
    return trimesh.Trimesh(np.concatenate(vertices), np.concatenate(faces), process=False)


def solid_surface(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """The surface alone: vertices that were split for the texture joined, small holes closed, faces turned outward."""
    surface = trimesh.Trimesh(np.asarray(mesh.vertices, dtype=np.float64), np.asarray(mesh.faces), process=False)
    surface.merge_vertices(merge_tex=True, merge_norm=True)
    surface.update_faces(surface.nondegenerate_faces())
    surface.remove_unreferenced_vertices()
    if not surface.is_watertight:
        surface = _holes_closed(surface)
    if not surface.is_winding_consistent or surface.volume < 0:
        surface.fix_normals()
    return surface


def _decimated(surface: trimesh.Trimesh, faces: int) -> tuple[Array, NDArray[np.int64]]:
    import fast_simplification

    points, triangles = fast_simplification.simplify(
        np.asarray(surface.vertices, dtype=np.float32), np.asarray(surface.faces, dtype=np.int32), target_count=faces,
    )
    return np.asarray(points, dtype=np.float64), np.asarray(triangles, dtype=np.int64)


def _texture(mesh: trimesh.Trimesh) -> NDArray[np.uint8] | None:
    material = getattr(mesh.visual, "material", None)
    image = getattr(material, "image", None) or getattr(material, "baseColorTexture", None)
    if image is None or not mesh.metadata.get("textured", True) or getattr(mesh.visual, "uv", None) is None:
        return None
    image = image.convert("RGB")
    if max(image.size) > MAX_TEXTURE:
        image.thumbnail((MAX_TEXTURE, MAX_TEXTURE))
    return np.asarray(image, dtype=np.uint8).copy()


def visual_mesh(mesh: trimesh.Trimesh, surface: trimesh.Trimesh) -> VisualMesh:
    """What is drawn: the textured mesh, decimated where it has more than MAX_VISUAL_FACES faces.

    Args:
        mesh: as read, with its texture coordinates.
        surface: solid_surface(mesh); decimating the split vertices of `mesh` would tear it.
    """
    texture = _texture(mesh)
    colour = (0.7, 0.7, 0.7, 1.0)
    if texture is None:
        main = getattr(getattr(mesh.visual, "material", None), "main_color", None)
        if main is not None:
            r, g, b = (float(v) / 255 for v in main[:3])
            colour = (r, g, b, 1.0)
    if len(mesh.faces) <= MAX_VISUAL_FACES:
        uv = np.asarray(mesh.visual.uv, dtype=np.float32) if texture is not None else None
        return VisualMesh(np.asarray(mesh.vertices, dtype=np.float32), np.asarray(mesh.faces, dtype=np.int32), uv, texture, colour)
    points, faces = _decimated(surface, MAX_VISUAL_FACES)
    if texture is None:
        return VisualMesh(points.astype(np.float32), faces.astype(np.int32), None, None, colour)
    corners = points[faces].reshape(-1, 3)
    uv = transfer_uv(mesh, points[faces])
    return VisualMesh(corners.astype(np.float32), np.arange(len(corners), dtype=np.int32).reshape(-1, 3), uv, texture, colour)


def transfer_uv(mesh: trimesh.Trimesh, triangles: Array) -> NDArray[np.float32]:
    """Texture coordinates (3 n, 2) for the corners of new triangles (n, 3, 3) on the surface of a textured mesh.

    Each triangle takes all its coordinates from the one chart of the texture that lies under its middle; corners
    beyond that chart's edge take the chart's nearest vertex, so no triangle is smeared across the image.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    uv, faces = np.asarray(mesh.visual.uv, dtype=np.float64), np.asarray(mesh.faces)
    edges = faces[:, [0, 1, 1, 2]].reshape(-1, 2)
    graph = coo_array((np.ones(len(edges), dtype=np.int8), (edges[:, 0], edges[:, 1])), shape=(len(uv), len(uv)))
    chart = connected_components(graph, directed=False)[1]
    middle = triangles.mean(axis=1)
    _, _, under = trimesh.proximity.closest_point(mesh, middle)
    wanted = np.repeat(chart[faces[under, 0]], 3)
    corners = triangles.reshape(-1, 3)
    inward = corners + 0.02 * (np.repeat(middle, 3, axis=0) - corners)
    points, _, nearest = trimesh.proximity.closest_point(mesh, inward)
    weights = trimesh.triangles.points_to_barycentric(mesh.triangles[nearest], points)
    out = np.einsum("nk,nkd->nd", weights, uv[faces[nearest]])
    beyond = np.flatnonzero(chart[faces[nearest, 0]] != wanted)
    for one in np.unique(wanted[beyond]):
        members = np.flatnonzero(chart == one)
        here = beyond[wanted[beyond] == one]
        out[here] = uv[members[cKDTree(np.asarray(mesh.vertices)[members]).query(corners[here])[1]]]
    return np.asarray(out, dtype=np.float32)


def file_bytes(path: Path) -> list[bytes]:
    """The bytes of a mesh file and of everything it refers to, for its content hash."""
    companions = texture_files(path) if path.suffix.lower() == ".obj" else []
    out = []
    for file in [path, *companions]:
        try:
            out.append(file.read_bytes())
        except OSError as error:
            raise FileError(f"{file} cannot be read: {error}") from error
    return out
