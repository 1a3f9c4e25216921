"""What is drawn of a mesh file: its texture or colour, on a surface that is decimated without tearing the texture."""

from __future__ import annotations

import numpy as np
import trimesh

from toyshift.core.arrays import Array, Float32, Image
from toyshift.toys.geometry.solid import decimated
from toyshift.toys.model import GREY, RGBA, VisualMesh

MAX_VISUAL_FACES = 5000
MAX_TEXTURE = 1024  # [pixels]; the official textures of 4096 would take 48 MB each


def _texture(mesh: trimesh.Trimesh) -> Image | None:
    material = getattr(mesh.visual, "material", None)
    image = getattr(material, "image", None) or getattr(material, "baseColorTexture", None)
    if image is None or not mesh.metadata.get("textured", True) or getattr(mesh.visual, "uv", None) is None:
        return None
    image = image.convert("RGB")
    if max(image.size) > MAX_TEXTURE:
        image.thumbnail((MAX_TEXTURE, MAX_TEXTURE))
    return np.asarray(image, dtype=np.uint8).copy()


def _colour(mesh: trimesh.Trimesh) -> RGBA:
    """The colour of a mesh without a texture: its material's, or its commonest face or vertex colour; or grey."""
    if getattr(mesh.visual, "kind", None) in ("face", "vertex"):
        main = mesh.visual.main_color
    else:
        main = getattr(getattr(mesh.visual, "material", None), "main_color", None)
    if main is None:
        return GREY
    r, g, b = (float(v) / 255 for v in main[:3])
    return r, g, b, 1.0


def visual_mesh(mesh: trimesh.Trimesh, surface: trimesh.Trimesh) -> VisualMesh:
    """What is drawn: the textured mesh, decimated where it has more than MAX_VISUAL_FACES faces.

    Args:
        mesh: as read, with its texture coordinates.
        surface: the same surface with its vertices merged; decimating the split vertices of `mesh` would tear it.
    """
    texture = _texture(mesh)
    if len(mesh.faces) > MAX_VISUAL_FACES:
        points, faces = decimated(surface.vertices, surface.faces, MAX_VISUAL_FACES)
    else:
        points, faces = np.asarray(surface.vertices), np.asarray(surface.faces)
    if texture is None:
        return VisualMesh(points.astype(np.float32), faces.astype(np.int32), None, None, _colour(mesh))
    if len(mesh.faces) <= MAX_VISUAL_FACES:
        mirrored = mesh.volume < 0 < surface.volume
        points, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)[:, :: -1 if mirrored else 1]
        uv = np.asarray(mesh.visual.uv, dtype=np.float32)
    else:
        uv = transfer_uv(mesh, points[faces])
        points = points[faces].reshape(-1, 3)
        faces = np.arange(len(points)).reshape(-1, 3)
    return VisualMesh(points.astype(np.float32), np.ascontiguousarray(faces, dtype=np.int32), uv, texture)


def transfer_uv(mesh: trimesh.Trimesh, triangles: Array) -> Float32:
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
