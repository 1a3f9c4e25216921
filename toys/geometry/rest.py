"""Rest poses: in which orientations an object lies stably on a table, how likely each is, and how wide it is there."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import ConvexHull, QhullError

from toyshift.core.arrays import Array, Indices
from toyshift.core.errors import MeshError
from toyshift.toys.geometry.solid import quat_between, quat_to_matrix
from toyshift.toys.model import RestPose

MERGE_DEGREES = 5.0  # orientations closer than this are one pose
ROLL_DEGREES = 25.0  # neighbouring poses at most this far apart ...
ROLL_HEIGHT = 0.0015  # ... and with centres of mass this equally high [m] are one family: the object rolls between them
MIN_PROBABILITY = 0.05  # rarer families are left out
MAX_FAMILIES = 6  # how many are kept where all are rare
ROLL_POSES = 6  # poses that stand for one family
UPRIGHT_DEGREES = 8.0  # a stable pose this near to z up is the upright one


def min_width(points: Array) -> float:
    """Least distance between two parallel lines that enclose points (n, 2); 0 where they are on one line."""
    try:
        corners = points[ConvexHull(points).vertices]
    except QhullError:
        return 0.0
    edges = np.roll(corners, -1, axis=0) - corners
    normals = np.column_stack([-edges[:, 1], edges[:, 0]]) / np.linalg.norm(edges, axis=1, keepdims=True)
    heights = (corners[None, :, :] - corners[:, None, :]) @ normals[:, :, None]  # (edge, corner, 1)
    return float(np.ptp(heights[..., 0], axis=1).min())


def _solid_angles(triangles: Array) -> Array:
    """Solid angles of triangles (n, 3, 3) seen from the origin (Van Oosterom and Strackee), as (n,) [sr]."""
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    la, lb, lc = (np.linalg.norm(v, axis=1) for v in (a, b, c))
    top = np.abs(np.einsum("ij,ij->i", a, np.cross(b, c)))
    ab, ac, bc = (np.einsum("ij,ij->i", v, w) for v, w in ((a, b), (a, c), (b, c)))
    bottom = la * lb * lc + ab * lc + ac * lb + bc * la
    return np.asarray(2 * np.arctan2(top, bottom))


def _groups(a: Indices, b: Indices, n: int) -> Indices:
    """Labels (n,) of the connected components of a graph with edges a-b."""
    graph = coo_array((np.ones(len(a), dtype=np.int8), (a, b)), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _stable_directions(hull: ConvexHull, com: Array) -> tuple[Array, Array]:
    """Down directions (k, 3) in which the object is stable, and how likely a random drop ends there (k,).

    A face is hit with the probability of its solid angle seen from the centre of mass; from it the object topples
    over an edge to a neighbour as long as the centre of mass is not above the face.
    """
    normals, offsets = hull.equations[:, :3], hull.equations[:, 3]
    neighbours = np.asarray(hull.neighbors, dtype=np.int64)
    n = len(normals)
    corners = hull.points[hull.simplices]  # (n, 3, 3)
    shares = _solid_angles(corners - com) / (4 * np.pi)
    first = np.repeat(np.arange(n), 3)
    second = neighbours.ravel()
    flat = np.einsum("ij,ij->i", normals[first], normals[second]) > np.cos(np.radians(0.25))
    facet = _groups(first[flat], second[flat], n)
    count = int(facet.max()) + 1
    weight = np.bincount(facet, shares, count)
    height_of = -(normals @ com + offsets)  # of the centre of mass above each face
    sides = np.moveaxis(np.diff(corners, axis=1), 1, 0)
    area = np.maximum(np.linalg.norm(np.cross(*sides), axis=1), 1e-30)
    total = np.bincount(facet, area, count)
    height = np.bincount(facet, area * height_of, count) / total
    down: Array = np.stack([np.bincount(facet, area * normals[:, k], count) for k in range(3)], axis=1)
    down = down / np.linalg.norm(down, axis=1, keepdims=True)
    # How far the centre of mass lies beyond each edge of each triangle, within the triangle's plane.
    # Edge k runs between the other two corners.
    after, opposite = np.roll(corners, -1, axis=1), np.roll(corners, -2, axis=1)
    along = opposite - after
    outward = np.cross(along, normals[:, None, :])
    outward *= -np.sign(np.einsum("nkd,nkd->nk", outward, corners - after))[..., None]
    beyond = np.einsum("nkd,nkd->nk", com - after, outward) / np.maximum(np.linalg.norm(outward, axis=2), 1e-30)
    # Each facet topples over the edge that the centre of mass is farthest beyond, or stays.
    a, b, far = facet[first], facet[second], beyond.ravel()
    rolls = (a != b) & (far > 0) & (height[b] < height[a] - 1e-9)
    a, b, far = a[rolls], b[rolls], far[rolls]
    order = np.lexsort((b, -np.round(far, 12), a))
    sources, places = np.unique(a[order], return_index=True)
    following = np.arange(count)
    following[sources] = b[order][places]
    while True:
        jumped = following[following]
        if (jumped == following).all():
            break
        following = jumped
    probability = np.bincount(following, weight, count)
    stable = np.flatnonzero(following == np.arange(count))
    return down[stable], probability[stable] / probability.sum()


def _merge_near(down: Array, probability: Array) -> tuple[Array, Array]:
    """Joins orientations within MERGE_DEGREES to the most probable of them, most probable first."""
    order = np.lexsort((down[:, 2], down[:, 1], down[:, 0], -np.round(probability, 9)))
    down, probability = down[order], probability[order]
    owner = np.full(len(down), -1)
    limit = np.cos(np.radians(MERGE_DEGREES))
    for i in range(len(down)):
        if owner[i] < 0:
            owner[(owner < 0) & (down @ down[i] > limit)] = i
    kept = np.unique(owner)
    return down[kept], np.bincount(owner, probability, len(down))[kept].astype(np.float64)


def _spread(down: Array, probability: Array, k: int) -> tuple[Array, Array]:
    """k orientations as far apart as possible, each with the probability of those nearest to it."""
    if len(down) <= k:
        return down, probability
    chosen = [0]
    nearest = down @ down[0]
    while len(chosen) < k:
        chosen.append(int(np.argmin(np.round(nearest, 9))))
        nearest = np.maximum(nearest, down @ down[chosen[-1]])
    owner = np.argmax(down @ down[chosen].T, axis=1)
    return down[chosen], np.bincount(owner, probability, k).astype(np.float64)


def compute_rest_poses(vertices: Array, com: Array, upright: bool = False) -> tuple[RestPose, ...]:
    """The stable orientations of a rigid object on a horizontal table.

    Orientations between which the object rolls freely (the side of a cylinder, a ball) form one family, which is
    represented by up to six of its members; families rarer than 5 % are left out unless all are. The result
    depends on the arguments alone, most probable first.

    Args:
        vertices: (n, 3) points whose hull is the object's [m].
        com: (3,) centre of mass [m].
        upright: whether the object's z axis points up where people put it down: then its upright pose, if stable, is
            kept with a probability of at least 5 % (a bottle dropped at random hardly ever ends on its foot).

    Raises:
        MeshError: the points do not span a volume.
    """
    try:
        hull = ConvexHull(vertices)
    except (QhullError, ValueError) as error:
        raise MeshError("the object is flat or empty: its points do not span a volume") from error
    down, probability = _merge_near(*_stable_directions(hull, com))
    corners = hull.points[hull.vertices]
    heights = (corners @ down.T).max(axis=0) - down @ com  # of the centre of mass above the table
    level = np.abs(heights[:, None] - heights[None, :]) < ROLL_HEIGHT
    first, second = np.nonzero((down @ down.T > np.cos(np.radians(ROLL_DEGREES))) & level)
    family = _groups(first, second, len(down))
    weight = np.bincount(family, probability)
    ranked = np.lexsort((np.arange(len(weight)), -np.round(weight, 9)))
    if upright and down[:, 2].min() < -np.cos(np.radians(UPRIGHT_DEGREES)):
        standing = int(np.argmin(down[:, 2]))
        probability[standing] = max(probability[standing], MIN_PROBABILITY)
        weight[family[standing]] = max(weight[family[standing]], MIN_PROBABILITY)
    kept = [f for f in ranked if weight[f] >= MIN_PROBABILITY] or list(ranked[:MAX_FAMILIES])
    found = [_spread(down[family == f], probability[family == f], ROLL_POSES) for f in kept]
    total = sum(float(p.sum()) for _, p in found)
    poses = []
    for directions, shares in found:
        for direction, share in zip(directions, shares, strict=True):
            quat = quat_between(direction, np.array([0.0, 0.0, -1.0]))
            turned = corners @ quat_to_matrix(quat).T
            poses.append(RestPose(quat, float(-turned[:, 2].min()), float(share / total), min_width(turned[:, :2])))
    return tuple(sorted(poses, key=lambda pose: -round(pose.probability, 9)))
