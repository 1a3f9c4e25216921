"""What a grasp is, and what it is chosen from: an object as it lies, the hand that is to take it, its obstacles."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import trimesh

from toyshift.core.arrays import Array
from toyshift.core.errors import GraspError
from toyshift.core.seeds import episode_rng
from toyshift.envs.robots import Gripper
from toyshift.toys.model import GraspObject

GRAVITY = 9.81  # [m/s^2]
INSIDE = 0.0005  # deeper in another part than this, a part's surface is not the object's [m]
KEPT = 256  # surfaces that are kept, so that an object's is sampled once
ALIKE = 0.02, 0.5  # distance [m] and angle between closing axes [rad] within which a grasp is one that was blocked


@dataclasses.dataclass(frozen=True)
class Grasp:
    """A hand pose for closing.

    Attributes:
        position: (3,) of the gripper's site, base frame [m].
        rotation: (3, 3), gripper to base frame; x closes, z approaches.
        width: distance between the fingers at contact [m].
        score: larger is better.
        alignment: mean cosine between the contacts' normals and the closing axis, at the finger where it is less.
        precise: whether the open fingers barely clear the object, so that the hand must be where it is planned before
            it comes down.
    """

    position: Array
    rotation: Array
    width: float
    score: float
    alignment: float = 1.0
    precise: bool = False


def best_first(grasps: Iterable[Grasp], nothing: str) -> list[Grasp]:
    """Returns grasps by their score, or raises GraspError with the message `nothing` where there is none."""
    found = sorted(grasps, key=lambda grasp: -grasp.score)
    if not found:
        raise GraspError(nothing)
    return found


class Surface(NamedTuple):
    """Points (n, 3) [m] and outward unit normals (n, 3) of a surface."""

    points: Array
    normals: Array

    def every(self, step: int) -> Surface:
        """Returns one of `step` points."""
        return Surface(self.points[::step], self.normals[::step])


@functools.lru_cache(KEPT)
def outer_surface(obj: GraspObject, count: int) -> Surface:
    """Samples `count` points of an object's surface, object frame; the same for the same object."""
    points, faces = trimesh.sample.sample_surface(obj.mesh, count, seed=np.random.default_rng(0))
    return Surface(np.asarray(points, np.float64), np.asarray(obj.mesh.face_normals[faces], np.float64))


@functools.lru_cache(KEPT)
def collision_surface(obj: GraspObject, count: int) -> Surface:
    """Samples what collides: the surface of an object's convex parts, where it is in no other one; or else of its mesh.

    Returns:
        At most `count` points, object frame; the same for the same object.
    """
    if not obj.parts:
        return outer_surface(obj, count)
    rng = np.random.default_rng(0)
    hulls = [trimesh.convex.convex_hull(part) for part in obj.parts]
    points, faces = trimesh.sample.sample_surface(trimesh.util.concatenate(hulls), 2 * count, seed=rng)
    points, normals = np.asarray(points, np.float64), np.concatenate([hull.face_normals for hull in hulls])[faces]
    owner = np.repeat(np.arange(len(hulls)), [len(hull.faces) for hull in hulls])[faces]
    free = np.ones(len(points), bool)
    for i, hull in enumerate(hulls):
        inside = (points > hull.bounds[0]).all(axis=1) & (points < hull.bounds[1]).all(axis=1)
        near = np.flatnonzero((owner != i) & inside)
        offsets = (hull.face_normals * hull.triangles[:, 0]).sum(axis=1)
        free[near] &= (points[near] @ hull.face_normals.T - offsets).max(axis=1) > -INSIDE
    kept = np.flatnonzero(free)[:count]
    return Surface(points[kept], np.asarray(normals[kept], np.float64))


@dataclasses.dataclass(frozen=True, eq=False)
class Situation:
    """An object as it lies on the table, and the hand that is to take it, in the base frame (table at z = 0).

    The last five say how it came to be: a second attempt takes another grasp, and none that was blocked.

    Attributes:
        object: the object.
        position, rotation: (3,) [m] and (3, 3), pose of its frame.
        com: (3,) its centre of mass [m].
        gripper: finger, pad and palm geometry.
        home: (3, 3) rotation of the hand at home; of a grasp and its half-turn, the nearer is preferred.
        yaw: angle of the closing axis about the vertical, of the hand at home [rad]: the same for grasps from above.
        rng: draws the places that are tried.
        obstacles: (m, 3) points that neither fingers nor palm may meet, there or on the way along the approach [m].
        reach: whether the arm gets to a grasp.
        attempt: of the episode, the first is 1.
        episode: root seed and index of the episode.
        blocked: places (3,) [m] and closing axes (3,) of grasps that the hand did not get to, object frame.
        before: the grasp that the hand is on its way to, moved along with the object, if it is to be kept where it can.
        maybe_wide: whether the object was wider than the hand as it lay at first.
    """

    object: GraspObject
    position: Array
    rotation: Array
    com: Array
    gripper: Gripper
    home: Array
    yaw: float
    rng: np.random.Generator
    obstacles: Array = dataclasses.field(default_factory=lambda: np.zeros((0, 3)))
    reach: Callable[[Grasp], bool] = lambda grasp: True
    attempt: int = 1
    episode: tuple[int, int] = (0, 0)
    blocked: tuple[tuple[Array, Array], ...] = ()
    before: Grasp | None = None
    maybe_wide: bool = True

    def there(self, surface: Surface) -> Surface:
        """Returns a surface of the object, given in its frame, where it is now."""
        return Surface(surface.points @ self.rotation.T + self.position, surface.normals @ self.rotation.T)

    def drawn_anew(self, name: str) -> Situation:
        """Returns the same with a stream of this attempt: what is drawn from it changes nothing drawn elsewhere."""
        return dataclasses.replace(self, rng=episode_rng(*self.episode, f"{name}:{self.attempt}"))

    def wrench(self, grasp: Grasp) -> float:
        """Torque of the object's weight about a grasp [N m]."""
        return float(GRAVITY * self.object.mass * np.linalg.norm((self.com - grasp.position)[:2]))

    def unblocked(self, grasps: list[Grasp]) -> list[Grasp]:
        """Returns those that are not like one that the hand did not get to."""
        if not self.blocked:
            return grasps
        places, axes = (np.array(values) for values in zip(*self.blocked, strict=True))
        places, axes = places @ self.rotation.T + self.position, axes @ self.rotation.T  # (b, 3)

        def like(grasp: Grasp) -> bool:
            near = np.linalg.norm(places - grasp.position, axis=1) < ALIKE[0]
            return bool((near & (np.abs(axes @ grasp.rotation[:, 0]) > np.cos(ALIKE[1]))).any())

        return [grasp for grasp in grasps if not like(grasp)]
