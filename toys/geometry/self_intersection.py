"""Finds where a surface passes through itself, and how much of its inside it encloses twice or inside out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import trimesh
from numpy.typing import NDArray

from toyshift.core.arrays import Array, Indices

MAX_FACES = 60_000  # of a surface that is tested; larger ones would take minutes
PAIRS = 2_000_000  # of faces that are compared at a time, ~200 MB


def _near_pairs(low: Array, high: Array) -> Iterator[tuple[Indices, Indices]]:
    """Pairs of boxes (n, 3) that overlap, by sweeping along x, in batches of about PAIRS candidates."""
    order = np.argsort(low[:, 0], kind="stable")
    low, high = low[order], high[order]
    reach = np.searchsorted(low[:, 0], high[:, 0], side="right")
    count = np.maximum(reach - np.arange(len(low)) - 1, 0)
    total = np.cumsum(count)
    start = 0
    while start < len(low):
        done = total[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(total, done + PAIRS, side="right")))
        mine = count[start:stop]
        a = np.repeat(np.arange(start, start + len(mine)), mine)
        b = a + 1 + np.arange(len(a)) - np.repeat(np.cumsum(mine) - mine, mine)
        kept = ((low[a, 1:] <= high[b, 1:]) & (low[b, 1:] <= high[a, 1:])).all(axis=1)
        yield order[a[kept]], order[b[kept]]
        start = stop


def _pierces(start: Array, along: Array, triangle: Array) -> NDArray[np.bool_]:
    """Whether segments (n, 3) cross the inside of triangles (n, 3, 3); Moeller and Trumbore, "Fast, minimum storage
    ray/triangle intersection" (1997)."""
    e1, e2 = triangle[:, 1] - triangle[:, 0], triangle[:, 2] - triangle[:, 0]
    p = np.cross(along, e2)
    det = np.einsum("ij,ij->i", e1, p)
    scale = np.linalg.norm(e1, axis=1) * np.linalg.norm(e2, axis=1) * np.linalg.norm(along, axis=1)
    parallel = np.abs(det) <= 1e-9 * scale
    inverse = 1.0 / np.where(parallel, 1.0, det)
    s = start - triangle[:, 0]
    u = np.einsum("ij,ij->i", s, p) * inverse
    q = np.cross(s, e1)
    v = np.einsum("ij,ij->i", along, q) * inverse
    t = np.einsum("ij,ij->i", e2, q) * inverse
    edge = 1e-6  # touching is not crossing
    return np.asarray(~parallel & (u > edge) & (v > edge) & (u + v < 1 - edge) & (t > edge) & (t < 1 - edge))


def crossing_faces(surface: trimesh.Trimesh) -> Indices:
    """Indices of the faces that pass through another face with which they share no vertex.

    Args:
        surface: with its vertices merged; more than MAX_FACES faces are for the caller to keep away.
    """
    faces = np.asarray(surface.faces)
    corners = np.asarray(surface.vertices)[faces]  # (n, 3, 3)
    hit = np.zeros(len(faces), dtype=bool)
    for a, b in _near_pairs(corners.min(axis=1), corners.max(axis=1)):
        apart = ~(faces[a][:, :, None] == faces[b][:, None, :]).any(axis=(1, 2))
        a, b = a[apart], b[apart]
        crossed = np.zeros(len(a), dtype=bool)
        for one, other in ((a, b), (b, a)):
            for k in range(3):
                begin = corners[one, k]
                crossed |= _pierces(begin, corners[one, (k + 1) % 3] - begin, corners[other])
        hit[a[crossed]] = True
        hit[b[crossed]] = True
    return np.flatnonzero(hit)


def misfilled(surface: trimesh.Trimesh, samples: int = 500) -> float:
    """Share of a closed surface's inside that it encloses twice or inside out: whose winding number is neither 0 nor 1.

    Winding numbers are sums of solid angles (Van Oosterom and Strackee, 1983) at points drawn from the upright box; the
    same surface always gives the same share.
    """
    low, high = surface.bounds
    rng = np.random.default_rng(0)
    points = rng.uniform(low, high, size=(samples, 3))
    triangles = np.asarray(surface.triangles)
    winding = np.zeros(samples)
    batch = max(1, 1_000_000 // len(triangles))
    for start in range(0, samples, batch):
        a, b, c = np.moveaxis(triangles[None] - points[start : start + batch, None, None], 2, 0)  # (batch, n, 3) each
        la, lb, lc = (np.linalg.norm(v, axis=2) for v in (a, b, c))
        top = np.einsum("kij,kij->ki", a, np.cross(b, c))
        dots = [np.einsum("kij,kij->ki", v, w) * length for v, w, length in ((a, b, lc), (b, c, la), (c, a, lb))]
        winding[start : start + batch] = np.arctan2(top, la * lb * lc + sum(dots)).sum(axis=1) / (2 * np.pi)
    rounded = np.round(winding)
    inside = rounded != 0
    return float((rounded[inside] != 1).mean()) if inside.any() else 0.0
