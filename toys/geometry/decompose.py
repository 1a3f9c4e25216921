"""Convex collision parts of a surface: one hull or exact slices of a closed one, CoACD's parts of one with holes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import trimesh
from scipy.spatial import ConvexHull, QhullError

from toyshift.core.arrays import Array, Indices
from toyshift.core.errors import MeshError
from toyshift.toys.geometry.coacd_child import coacd_parts
from toyshift.toys.geometry.slicing import sliced_parts
from toyshift.toys.geometry.solid import decimated, manifold_to_trimesh, mass_properties, trimesh_to_manifold, union

MAX_PARTS = 24
MAX_PARTS_HOLLOW = 32  # cups, bowls, plates: thin walls need more, or the hollow fills up
HOLLOW = 0.35  # a solid that fills less of its hull than this is hollow
CONVEX = 0.95  # a solid that fills this much of its hull is one part
MAX_VERTICES = 1000  # of all parts together
MAX_FACES = 2500  # of the surface that is cut


def hull_faces(points: Array) -> tuple[Array, Indices]:
    """Corners (n, 3) of a convex hull and its faces (m, 3), counter-clockwise from outside."""
    hull = ConvexHull(points)
    corners = points[hull.vertices]
    index = np.full(len(points), -1, dtype=np.int64)
    index[hull.vertices] = np.arange(len(hull.vertices))
    faces = index[hull.simplices]
    tri = corners[faces]
    flip = np.einsum("ij,ij->i", np.cross(tri[:, 1] - tri[:, 0], tri[:, 2] - tri[:, 0]), hull.equations[:, :3]) < 0
    faces[flip] = faces[flip][:, ::-1]
    return corners, faces


def _thinned(points: Array, parts: int) -> Array:
    """The corners of a hull, or as many as its share of MAX_VERTICES, spread over it: collisions cost by the corner."""
    most = int(np.clip(MAX_VERTICES // parts, 24, 250))
    corners = points[ConvexHull(points).vertices]
    if len(corners) <= most:
        return np.asarray(corners)
    chosen = [int(np.argmax(np.linalg.norm(corners - corners.mean(axis=0), axis=1)))]
    nearest = np.linalg.norm(corners - corners[chosen[0]], axis=1)
    while len(chosen) < most:
        chosen.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, np.linalg.norm(corners - corners[chosen[-1]], axis=1))
    return np.asarray(corners[np.sort(chosen)])


def _hull_volume(points: Array) -> float:
    try:
        return float(ConvexHull(points).volume)
    except QhullError:
        return 0.0


def _axis_of_revolution(inertia: Array) -> Array | None:
    """The principal axis around which a body is nearly symmetric (a mug's handle may disturb it), or None."""
    moments, vectors = np.linalg.eigh(inertia)
    low, high = moments[1] - moments[0], moments[2] - moments[1]
    if min(low, high) > 0.25 * moments[2]:
        return None
    if max(low, high) < 2.5 * min(low, high):
        return None
    return np.asarray(vectors[:, 2] if low < high else vectors[:, 0])


def _coarse(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """A mesh of at most MAX_FACES faces, as long as it stays closed: cutting costs by the face."""
    if len(mesh.faces) <= MAX_FACES:
        return mesh
    coarse = trimesh.Trimesh(*decimated(mesh.vertices, mesh.faces, MAX_FACES), process=False)
    return coarse if coarse.is_watertight and coarse.volume > 0 else mesh


def convex_parts(mesh: trimesh.Trimesh, remesh: bool = False) -> tuple[Array, ...]:
    """Convex hulls (vertices (n, 3) each) that together fill a solid and leave its hollows open.

    On closed surfaces exact slices come closer to the solid than CoACD does, in a tenth of the time: of YCB's
    scanned cup 065-a, CoACD's 16 parts hold 2.5 times the volume after 22 s, the slices 2.1 times after 2 s.

    Args:
        mesh: a surface; one that is not closed goes to CoACD, which repairs it.
        remesh: whether it goes there although it is closed, because it passes through itself.

    Raises:
        MeshError: nothing with a volume is left.
    """
    try:
        corners, faces = hull_faces(np.asarray(mesh.vertices))
    except (QhullError, ValueError) as error:
        raise MeshError("the surface is flat or empty: its points do not span a volume") from error
    hull_volume, _, inertia = mass_properties(corners, faces)
    if remesh or not mesh.is_watertight:
        parts = coacd_parts(mesh, remesh)
    else:
        volume, com, inertia = mass_properties(mesh.vertices, mesh.faces)
        if volume >= CONVEX * hull_volume:
            return (_thinned(corners, 1),)
        hollow = volume < HOLLOW * hull_volume
        box = np.asarray(mesh.bounding_box_oriented.primitive.transform)[:3, :3].T
        axis = _axis_of_revolution(inertia) if hollow else None
        cap = MAX_PARTS_HOLLOW if hollow else MAX_PARTS
        parts = sliced_parts(trimesh_to_manifold(_coarse(mesh)), box, axis, com, cap)
    solid = [p for p in parts if _hull_volume(p) > 1e-6 * hull_volume]
    if not solid:
        raise MeshError("the surface has no convex part with a volume; is it flat?")
    return tuple(_thinned(p, len(solid)) for p in solid)


def parts_properties(parts: Sequence[Array]) -> tuple[float, Array, Array]:
    """Volume, centroid and inertia at density 1 of the union of convex parts."""
    from manifold3d import Manifold

    mesh = manifold_to_trimesh(union([Manifold.hull_points(np.ascontiguousarray(p)) for p in parts]))
    return mass_properties(mesh.vertices, mesh.faces)
