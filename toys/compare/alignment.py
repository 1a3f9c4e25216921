"""Lays one sampled shape on another: rotations tried on coarse distance fields, then ICP; Chamfer distance and IoU."""

from __future__ import annotations

import dataclasses
import functools
import itertools

import numpy as np
from scipy.spatial.transform import Rotation

from toyshift.core.arrays import Array
from toyshift.toys.compare.descriptor import FIELD_CELLS, FIELD_EXTENT, Shape, cells
from toyshift.toys.geometry.solid import trimesh_to_manifold

COARSE = 96  # samples per shape on the coarse fields
MATCHED = 256  # samples per shape matched by ICP
MEASURED = 512  # samples per shape in the final distance
STARTS = 2  # best coarse rotations that ICP starts from
ICP_STEPS = 15


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """One shape laid on another.

    Attributes:
        distance: symmetric Chamfer distance: the mean of the mean distance from a's surface to b's and that from b's to
            a's; [m], or [radii] where both were scaled to radius 1.
        turn, shift: (3, 3) and (3,): p -> turn p + shift takes b, centred, onto a, centred, in the unit of `distance`.
    """

    distance: float
    turn: Array
    shift: Array


@functools.cache
def turns() -> Array:
    """(96, 3, 3) rotations: the 24 of a cube, alone and behind an eighth of a full turn about each axis.

    The 24 lay principal axes on principal axes in every way; the rest serve bodies such as cubes, whose principal axes
    mean nothing.
    """
    orders, signs = itertools.permutations(range(3)), itertools.product((1.0, -1.0), repeat=3)
    signed = (np.eye(3)[list(order)] * sign for order, sign in itertools.product(orders, signs))
    cube = np.array([m for m in signed if np.linalg.det(m) > 0])
    eighth = np.concatenate([np.eye(3)[None], Rotation.from_rotvec(np.eye(3) * np.pi / 4).as_matrix()])
    return np.asarray(np.einsum("aij,bjk->abik", cube, eighth).reshape(-1, 3, 3))


def _coarse(shape: Shape, points: Array) -> Array:
    """Mean coarse distances (r,) of point sets (r, n, 3) to a shape [its radii]."""
    index = cells(points) @ np.array([FIELD_CELLS**2, FIELD_CELLS, 1])
    beyond = np.maximum(np.abs(points) - FIELD_EXTENT, 0.0)
    return np.asarray((shape.field[index] + np.sqrt(np.square(beyond).sum(axis=-1))).mean(axis=1), dtype=np.float64)


def _guesses(a: Shape, b: Shape, ratio: float) -> tuple[Array, Array]:
    """Rotations (96, 3, 3) from b's to a's frame, and coarse Chamfer distances (96,) [a's radii]; ratio: b to a."""
    turn = a.axes @ turns() @ b.axes.T
    small = turn.astype(np.float32)  # single precision is plenty for cells
    there = (ratio * b.points[:COARSE]).astype(np.float32) @ small.transpose(0, 2, 1)
    back = (a.points[:COARSE] / ratio).astype(np.float32) @ small
    return turn, 0.5 * (_coarse(a, there) + ratio * _coarse(b, back))


def coarse_distance(a: Shape, b: Shape, metric: bool) -> float:
    """A quick estimate of `fit(a, b, metric).distance` that ranks candidates."""
    ratio = b.radius / a.radius if metric else 1.0
    return float(_guesses(a, b, ratio)[1].min()) * (a.radius if metric else 1.0)


def _rigid(p: Array, q: Array) -> tuple[Array, Array]:
    """The rotation and shift that take points p (n, 3) nearest to q (n, 3) in the least-squares sense (Kabsch)."""
    mean_p, mean_q = p.mean(axis=0), q.mean(axis=0)
    u, _, vt = np.linalg.svd((p - mean_p).T @ (q - mean_q))
    turn = (vt.T * [1.0, 1.0, np.sign(np.linalg.det(vt.T @ u.T))]) @ u.T
    return turn, mean_q - turn @ mean_p


def _icp(a: Shape, b: Shape, ratio: float, turn: Array, shift: Array) -> tuple[float, Array, Array]:
    """Point-to-point ICP with matches from a to b and b to a; returns the last mean distance, rotation and shift."""
    mine, theirs, others = a.points[:MATCHED], ratio * b.points[:MATCHED], ratio * b.points
    before = np.inf
    for _ in range(ICP_STEPS):
        near_a, index_a = a.tree.query(theirs @ turn.T + shift)
        near_b, index_b = b.tree.query((mine - shift) @ turn / ratio)
        mean = 0.5 * float(near_a.mean() + ratio * near_b.mean())
        if mean > before * 0.998:
            break
        before = mean
        turn, shift = _rigid(np.concatenate([theirs, others[index_b]]), np.concatenate([a.points[index_a], mine]))
    return mean, turn, shift


def chamfer(a: Shape, b: Shape, ratio: float, turn: Array, shift: Array) -> float:
    """Symmetric Chamfer distance in a's radii where p -> turn (ratio p) + shift takes b's points into a's frame."""
    there = a.distances(ratio * b.points[:MEASURED] @ turn.T + shift)
    back = ratio * b.distances((a.points[:MEASURED] - shift) @ turn / ratio)
    return 0.5 * float(there.mean() + back.mean())


def fit(a: Shape, b: Shape, metric: bool) -> Fit:
    """Lays b on a by a rigid motion (no mirror image) that makes their Chamfer distance small.

    Of 96 rotations about the centres, tried on coarse distance fields, the best two are followed by ICP. The search is
    local, so the distance is an upper bound of the smallest one. It is exactly symmetric in a and b.

    Args:
        a, b: the shapes.
        metric: with their sizes, in metres; else both scaled to a root-mean-square radius of 1 first.
    """
    if a.key == b.key:
        return Fit(0.0, np.eye(3), np.zeros(3))
    if b.key < a.key:
        other = fit(b, a, metric)
        return Fit(other.distance, other.turn.T, -other.turn.T @ other.shift)
    ratio = b.radius / a.radius if metric else 1.0
    turn, guess = _guesses(a, b, ratio)
    found = (_icp(a, b, ratio, turn[k], np.zeros(3)) for k in np.argsort(guess, kind="stable")[:STARTS])
    _, best, shift = min(found, key=lambda one: one[0])
    unit = a.radius if metric else 1.0
    return Fit(chamfer(a, b, ratio, best, shift) * unit, best, shift * unit)


def overlap_where(a: Shape, b: Shape, found: Fit) -> float:
    """Volume of the intersection over that of the union, in metres, where a metric fit lays b on a.

    Raises:
        MeshError: one of them does not bound a solid.
    """
    if a.key == b.key:
        return 1.0
    first, second = trimesh_to_manifold(a.mesh), trimesh_to_manifold(b.mesh)
    move = np.column_stack([found.turn, found.shift + a.centre - found.turn @ b.centre])
    common = float((first ^ second.transform(move)).volume())
    return common / (float(first.volume()) + float(second.volume()) - common)
