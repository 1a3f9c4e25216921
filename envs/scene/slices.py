"""Cuts a mesh into slices, whose hulls stay out of the hollows that the hull of the whole would fill."""

from __future__ import annotations

import itertools

import numpy as np

from toyshift.core.arrays import Array, Indices


def slices(vertices: Array, faces: Indices, axis: int, count: int) -> list[Array]:
    """Cuts a surface across an axis into slices of the same thickness.

    Args:
        vertices: (n, 3) [m].
        faces: (m, 3).
        axis: 0 x, 1 y, 2 z.
        count: of slices.

    Returns:
        for every slice the points (k, 3) of the surface whose convex hull is the slice's: vertices within it, and where
        edges cross its two cuts.
    """
    edges = np.unique(np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1), axis=0)
    start, end = vertices[edges[:, 0]], vertices[edges[:, 1]]  # (e, 3)
    along = vertices[:, axis]
    cuts = np.linspace(along.min(), along.max(), count + 1)
    rings = [_crossings(start, end, axis, cut) for cut in cuts[1:-1]]
    rings = [np.zeros((0, 3)), *rings, np.zeros((0, 3))]
    return [
        np.concatenate([vertices[(along >= low) & (along <= high)], rings[i], rings[i + 1]])
        for i, (low, high) in enumerate(itertools.pairwise(cuts))
    ]


def _crossings(start: Array, end: Array, axis: int, cut: float) -> Array:
    """Points (k, 3) where edges from start (e, 3) to end (e, 3) cross a plane."""
    a, b = start[:, axis] - cut, end[:, axis] - cut
    through = a * b < 0
    share = (a[through] / (a[through] - b[through]))[:, None]
    points: Array = start[through] + share * (end[through] - start[through])
    points[:, axis] = cut
    return points
