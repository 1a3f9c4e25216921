"""What shape distances need of an object: samples of its surface, size, axes, and a pose-invariant descriptor."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import trimesh
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist

from toyshift.core.arrays import Array, Float32, Indices
from toyshift.core.errors import MeshError
from toyshift.core.files import content_hash

SAMPLES = 2048  # points of a surface
D2_SAMPLES = 512  # of them in the descriptor: 130,816 distances
QUANTILES = 64  # of these distances
NEAR_TRIANGLES = 3  # the triangles of so many nearest samples are measured exactly
FIELD_CELLS = 32  # per edge of the coarse distance field ...
FIELD_EXTENT = 2.5  # ... which reaches so many radii from the centre


@dataclasses.dataclass(frozen=True, eq=False)
class Shape:
    """A surface, sampled once, in units of its own radius and centred at the mean of its samples.

    The samples depend on the triangles' indices and areas alone, so a body that is moved, turned or scaled has the
    same samples, moved, turned and scaled.

    Attributes:
        key: content hash of the surface where it lies; shapes with the same key are the same.
        points: (SAMPLES, 3), uniform over the surface, root-mean-square distance 1 from the centre.
        triangles: (SAMPLES, 3, 3) the triangle of each sample.
        radius: root-mean-square distance of the samples from the centre [m].
        centre: (3,) of the samples in the object's frame [m].
        mesh: the surface in the object's frame [m].
    """

    key: str
    points: Array
    triangles: Array
    radius: float
    centre: Array
    mesh: trimesh.Trimesh

    @functools.cached_property
    def axes(self) -> Array:
        """(3, 3) right-handed principal axes of the samples as columns, the longest last."""
        vectors = np.linalg.eigh(self.points.T @ self.points)[1]
        return np.asarray(vectors * [1.0, 1.0, np.sign(np.linalg.det(vectors))])

    @functools.cached_property
    def tree(self) -> cKDTree:
        return cKDTree(self.points)

    @functools.cached_property
    def field(self) -> Float32:
        """(FIELD_CELLS^3,) distance of each cell to the surface [radii], exact to about a cell (0.16 radii)."""
        empty = np.ones((FIELD_CELLS,) * 3, dtype=bool)
        empty[tuple(np.moveaxis(cells(self.points), -1, 0))] = False
        return np.asarray(distance_transform_edt(empty, 2 * FIELD_EXTENT / FIELD_CELLS), dtype=np.float32).ravel()

    @functools.cached_property
    def descriptor(self) -> Array:
        """(QUANTILES,) of the distances between two random surface points [radii].

        This is the shape distribution D2 (Osada et al. 2002, "Shape Distributions"), which neither a turn nor a shift
        changes; the mean absolute difference of two of them is the Wasserstein-1 distance of the distributions.
        """
        return np.asarray(np.quantile(pdist(self.points[:D2_SAMPLES]), (np.arange(QUANTILES) + 0.5) / QUANTILES))

    @functools.cached_property
    def radii(self) -> Array:
        """(3,) root-mean-square extents along the principal axes [radii], the longest last."""
        return np.asarray(np.sqrt(np.maximum(np.linalg.eigvalsh(self.points.T @ self.points / len(self.points)), 0.0)))

    def distances(self, points: Array) -> Array:
        """Distances (n,) of points (n, 3) to the surface [radii], exact up to the choice of the triangles."""
        near, index = self.tree.query(points, k=NEAR_TRIANGLES)  # (n, k)
        repeated = np.repeat(points, NEAR_TRIANGLES, axis=0)
        on = trimesh.triangles.closest_point(self.triangles[index.ravel()], repeated)
        exact = np.linalg.norm(repeated - on, axis=1).reshape(near.shape)
        return np.asarray(np.minimum(exact.min(axis=1), near[:, 0]))


def cells(points: Any) -> Indices:
    """Cells (..., 3) of the coarse field that hold points (..., 3); those outside get the nearest cell."""
    index = ((points + FIELD_EXTENT) * (FIELD_CELLS / (2 * FIELD_EXTENT))).astype(np.int64)
    return np.asarray(np.clip(index, 0, FIELD_CELLS - 1))


def sample_shape(mesh: trimesh.Trimesh) -> Shape:
    """Samples a surface in metres.

    Raises:
        MeshError: the surface has no area, or a coordinate is not finite.
    """
    vertices, faces = np.asarray(mesh.vertices, dtype=np.float64), np.asarray(mesh.faces, dtype=np.int64)
    if not len(faces) or not np.isfinite(vertices).all() or not mesh.area > 0:
        raise MeshError("the surface has no area or coordinates that are no numbers, so its shape cannot be compared")
    rng = np.random.default_rng(int(content_hash(faces.tobytes()), 16))
    points, chosen = trimesh.sample.sample_surface(mesh, SAMPLES, seed=rng)
    points = np.asarray(points, dtype=np.float64)
    centre = points.mean(axis=0)
    radius = float(np.sqrt(((points - centre) ** 2).sum(axis=1).mean()))
    key = content_hash(np.round(vertices * 1e9).astype(np.int64).tobytes(), faces.tobytes())
    return Shape(key, (points - centre) / radius, (vertices[faces[chosen]] - centre) / radius, radius, centre, mesh)
