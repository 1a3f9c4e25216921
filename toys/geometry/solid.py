"""Solid geometry shared by the room: rotations, mass properties of polyhedra, and meshes from manifold3d."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import trimesh
from numpy.typing import NDArray

from toyshift.core.arrays import Array, Indices
from toyshift.core.errors import MeshError

if TYPE_CHECKING:
    import manifold3d

Manifold: TypeAlias = "manifold3d.Manifold"  # a solid; manifold3d is loaded by what makes one


def quat_to_matrix(quat: Sequence[float]) -> Array:
    """Rotation matrix (3, 3) of a quaternion wxyz of any length but zero."""
    w, x, y, z = np.asarray(quat, dtype=np.float64) / np.linalg.norm(quat)
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])


def quat_between(a: Array, b: Array) -> tuple[float, float, float, float]:
    """The smallest rotation (wxyz) from unit vector a to unit vector b; a turn about x or y where they are opposite."""
    w = 1.0 + float(a @ b)
    if w < 1e-9:
        axis = np.cross(a, [1.0, 0.0, 0.0])
        if np.linalg.norm(axis) < 1e-3:
            axis = np.cross(a, [0.0, 1.0, 0.0])
        quat = np.array([0.0, *axis])
    else:
        quat = np.array([w, *np.cross(a, b)])
    quat /= np.linalg.norm(quat)
    return float(quat[0]), float(quat[1]), float(quat[2]), float(quat[3])


def mass_properties(vertices: Array, faces: NDArray[Any]) -> tuple[float, Array, Array]:
    """Volume, centroid and inertia of a closed polyhedron at density 1.

    The sums run over the signed tetrahedra between the faces and the mean of the vertices, and are exact.

    Args:
        vertices: (n, 3) [m].
        faces: (m, 3) indices, counter-clockwise from outside.

    Returns:
        volume [m^3], centroid (3,) [m], inertia (3, 3) about the centroid [m^5].
    """
    shift = vertices.mean(axis=0)
    tri = (vertices - shift)[faces]  # (m, 3, 3)
    det = np.einsum("ij,ij->i", tri[:, 0], np.cross(tri[:, 1], tri[:, 2]))  # 6 x signed volume
    volume = float(det.sum() / 6.0)
    total = tri.sum(axis=1)
    first = (det[:, None] * total).sum(axis=0) / 24.0
    # Second moments of a tetrahedron with one corner at 0: det/120 (sum_i v_i v_i^T + s s^T).
    second = (np.einsum("m,mki,mkj->ij", det, tri, tri) + np.einsum("m,mi,mj->ij", det, total, total)) / 120.0
    centroid = first / volume if volume else np.zeros(3)
    second = second - volume * np.outer(centroid, centroid)
    inertia = np.trace(second) * np.eye(3) - second
    return volume, centroid + shift, inertia


def decimated(vertices: NDArray[Any], faces: NDArray[Any], most: int) -> tuple[Array, Indices]:
    """A surface with about `most` faces, in single precision; its vertices must be merged, or it is torn."""
    import fast_simplification

    points = np.asarray(vertices, dtype=np.float32)
    found = fast_simplification.simplify(points, np.asarray(faces, dtype=np.int32), target_count=most)
    return np.asarray(found[0], dtype=np.float64), np.asarray(found[1], dtype=np.int64)


def manifold_to_trimesh(body: Manifold) -> trimesh.Trimesh:
    """Mesh of a manifold, in double precision and with its vertices as they are."""
    mesh = body.to_mesh64()
    return trimesh.Trimesh(vertices_of(mesh), np.asarray(mesh.tri_verts, dtype=np.int64), process=False)


def vertices_of(mesh: Any) -> Array:
    """Vertices (n, 3) of a mesh of manifold3d, copied.

    What manifold3d hands out is a view that keeps its mesh alive, so every object that still lives when Python ends, in
    a cache or in the traceback of an error, would be reported by nanobind as a leak.
    """
    return np.array(mesh.vert_properties, dtype=np.float64)[:, :3]


def trimesh_to_manifold(mesh: trimesh.Trimesh) -> Manifold:
    """Manifold of a closed mesh.

    Raises:
        MeshError: the mesh does not bound a solid.
    """
    from manifold3d import Error, Manifold, Mesh64

    # Copies: manifold3d takes no read-only arrays, which is what trimesh hands out once a mesh has measured itself.
    vertices, faces = np.array(mesh.vertices, np.float64, order="C"), np.array(mesh.faces, np.uint64, order="C")
    body = Manifold(Mesh64(vertices, faces))
    if body.status() != Error.NoError or body.is_empty():
        raise MeshError(f"the mesh does not bound a solid ({body.status()}); close its holes first")
    return body


def union(bodies: Sequence[Manifold]) -> Manifold:
    """Union of solids."""
    from manifold3d import Manifold, OpType

    return bodies[0] if len(bodies) == 1 else Manifold.batch_boolean(list(bodies), OpType.Add)
