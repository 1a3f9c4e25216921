"""How much two solids overlap once one is moved onto the other: volumetric IoU from exact Boolean operations."""

from __future__ import annotations

import itertools

import numpy as np
import trimesh
from scipy.optimize import minimize
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from toyshift.core.arrays import Array
from toyshift.toys.geometry.solid import trimesh_to_manifold

SAMPLES = 600  # surface points matched by ICP
ICP_STEPS = 25
REFINED = 2  # best starts that are refined on the IoU itself
NEAR = 0.15  # boxes are tried on each other where no edge differs by more than this share of the longest


def iou(a: trimesh.Trimesh, b: trimesh.Trimesh) -> float:
    """Volume of the intersection over that of the union of two closed surfaces, where they are.

    Raises:
        MeshError: one of them does not bound a solid.
    """
    first, second = trimesh_to_manifold(a), trimesh_to_manifold(b)
    common = (first ^ second).volume()
    return float(common / (first.volume() + second.volume() - common))


def _box(mesh: trimesh.Trimesh) -> tuple[Array, Array, Array]:
    """Axes (columns), edges and centre of the smallest oriented box."""
    found = mesh.bounding_box_oriented.primitive
    pose = np.asarray(found.transform)
    return pose[:3, :3], np.asarray(found.extents), pose[:3, 3]


def _starts(a: trimesh.Trimesh, b: trimesh.Trimesh) -> list[Array]:
    """Poses (4, 4) that lay the oriented box, and the principal axes, of b on those of a in every way."""
    turns = [
        np.eye(3)[list(order)].T * signs for order in itertools.permutations(range(3)) for signs in itertools.product((1.0, -1.0), repeat=3)
    ]
    turns = [t for t in turns if np.linalg.det(t) > 0]  # 24 rotations
    (axes_a, size_a, mid_a), (axes_b, size_b, mid_b) = _box(a), _box(b)
    poses = [(axes_a @ t @ axes_b.T, mid_a, mid_b) for t in turns if np.abs(np.abs(t @ size_b) - size_a).max() < NEAR * size_a.max()]
    main_a, main_b = (np.linalg.eigh(m.moment_inertia)[1] for m in (a, b))
    main_a, main_b = (v * np.sign(np.linalg.det(v)) for v in (main_a, main_b))
    poses += [(main_a @ np.diag(s) @ main_b.T, a.center_mass, b.center_mass) for s in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))]
    out = []
    for turn, to, origin in poses:
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = turn, to - turn @ origin
        out.append(pose)
    return out


def _icp(pose: Array, points: Array, normals: Array, tree: cKDTree, moving: Array) -> Array:
    """Point-to-plane ICP of points (n, 3) onto a sampled surface, from a pose; the worst tenth of the pairs is left out."""
    for _ in range(ICP_STEPS):
        here = moving @ pose[:3, :3].T + pose[:3, 3]
        distance, index = tree.query(here)
        used = distance <= np.quantile(distance, 0.9)
        p, q, n = here[used], points[index[used]], normals[index[used]]
        centre = p.mean(axis=0)
        rows = np.column_stack([np.cross(p - centre, n), n])
        # Damping keeps directions in which a symmetric body can slide from running away.
        normal = rows.T @ rows + 1e-6 * np.eye(6) * np.trace(rows.T @ rows)
        step = np.linalg.solve(normal, rows.T @ np.einsum("ij,ij->i", q - p, n))
        turn = Rotation.from_rotvec(step[:3]).as_matrix()
        move = np.eye(4)
        move[:3, :3], move[:3, 3] = turn, centre + step[3:] - turn @ centre
        pose = move @ pose
        if np.abs(step).max() < 1e-6:
            break
    return pose


def aligned_iou(fixed: trimesh.Trimesh, moving: trimesh.Trimesh, evaluations: int = 150, enough: float = 1.0) -> tuple[float, Array]:
    """The largest volumetric IoU found over rigid motions (no scaling, no mirror image) of one solid onto another.

    Starts from all ways to lay the smallest oriented boxes and the principal axes on each other, follows each by ICP,
    and refines the best by a simplex search on the IoU itself. The search is local: what it returns is a lower bound.

    Args:
        fixed: a closed surface [m].
        moving: a closed surface [m].
        evaluations: Boolean operations of each refinement; 0 leaves it out.
        enough: the search ends once it has found this much.

    Returns:
        the IoU, and the pose (4, 4) of `moving` that reaches it.

    Raises:
        MeshError: one of them does not bound a solid.
    """
    first, second = trimesh_to_manifold(fixed), trimesh_to_manifold(moving)
    total = first.volume() + second.volume()

    def score(pose: Array) -> float:
        common = (first ^ second.transform(np.ascontiguousarray(pose[:3]))).volume()
        return float(common / (total - common))

    points, faces = trimesh.sample.sample_surface(fixed, 4 * SAMPLES, seed=0)
    points, normals, tree = np.asarray(points), np.asarray(fixed.face_normals[faces]), cKDTree(points)
    samples = np.asarray(trimesh.sample.sample_surface(moving, SAMPLES, seed=0)[0])
    starts = _starts(fixed, moving)
    tried = []
    for pose in itertools.chain(starts, (_icp(p, points, normals, tree, samples) for p in starts)):
        tried.append((score(pose), pose))
        if tried[-1][0] >= enough:
            return tried[-1]
    size, centre = float(np.linalg.norm(moving.extents)) / 2, np.asarray(moving.center_mass)

    def moved(step: Array, pose: Array) -> Array:
        """A pose after a step: three turns about the body's centre, as lengths at its rim, and three shifts [m]."""
        change = np.eye(4)
        middle = pose[:3, :3] @ centre + pose[:3, 3]
        change[:3, :3] = Rotation.from_rotvec(step[:3] / size).as_matrix()
        change[:3, 3] = step[3:] + middle - change[:3, :3] @ middle
        return change @ pose

    tried.sort(key=lambda t: -t[0])  # stable: of equals the first tried
    best = tried[0]
    for found, start in tried[: REFINED if evaluations else 0]:
        answer = minimize(
            lambda step, start=start: -score(moved(step, start)), np.zeros(6), method="Nelder-Mead",
            options={"initial_simplex": np.vstack([np.zeros(6), 0.02 * size * np.eye(6)]), "maxfev": evaluations, "xatol": 1e-6, "fatol": 1e-5},
        )
        if -answer.fun > max(found, best[0]):
            best = (float(-answer.fun), moved(answer.x, start))
        if best[0] >= enough:
            break
    return best
