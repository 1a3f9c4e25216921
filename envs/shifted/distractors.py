"""Other toys on the table: which, and where."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from toyshift.core.arrays import Array
from toyshift.envs.rotations import matrix_to_quat, quat_to_matrix, yaw_to_matrix
from toyshift.envs.scene.bodies import DISTRACTOR_SLOTS, uses_slots
from toyshift.envs.scene.build import Extras
from toyshift.envs.scene.scene import Scene
from toyshift.toys.model import GraspObject

Circle = tuple[Array, float]  # centre (2,) and radius of what an object covers of the table [m]

POOL = "toys:train?n=10"  # where the set that is played with has no toys
TRIES = 50
GAP = 0.01  # between the circles around two objects [m]
GROWTH = 1.02  # of the region per place that was not free: the table has room further out
SPREAD = 0.16  # half side of the square in which distractors lie at first [m]


def bodies(extras: Extras, count: float) -> Extras:
    return dataclasses.replace(extras, distractors=round(count))


class ToyPool(Protocol):
    """What distractors are drawn from: a set of objects, each loaded when it is asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> GraspObject: ...


def choose_distractors(
    pool: ToyPool, present: Sequence[GraspObject], count: int, rng: np.random.Generator, name: Callable[
        [GraspObject], str
    ] | None = None
) -> list[GraspObject]:
    """Returns `count` toys of the pool that fit the slots: different ones and none that is present, as far as the pool
    has them.

    Args:
        pool: what they are drawn from.
        present: what else is on the table.
        count: how many.
        rng: draws them.
        name: where given, none is chosen that it calls as it calls one that is present.
    """
    ids = {obj.id for obj in present}
    names = {name(obj) for obj in present} if name else set()
    chosen: list[GraspObject] = []
    for attempt in range(count * TRIES):
        obj = pool[int(rng.integers(len(pool)))]
        taken = obj.id in ids or any(obj.id == other.id for other in chosen)
        fits = uses_slots(obj) and len(obj.geoms) <= DISTRACTOR_SLOTS and not (name and name(obj) in names)
        if fits and (not taken or attempt >= count * TRIES // 2):
            chosen.append(obj)
            if len(chosen) == count:
                return chosen
    return chosen


def free_place(
    centre: Array, half: Array | float, radius: float, taken: Sequence[
        Circle
    ], rng: np.random.Generator, growth: Array | float = GROWTH
) -> Array:
    """Returns a place (2,) uniform in centre +- half whose circle meets none that is taken; the region grows until
    there is one [m].
    """
    while True:
        place = np.asarray(centre + half * (2 * rng.random(2) - 1))
        if all(np.linalg.norm(place - other) > radius + reach + GAP for other, reach in taken):
            return place
        half = half * growth


def place_distractors(
    scene: Scene, objects: Sequence[GraspObject], taken: Sequence[Circle], rng: np.random.Generator
) -> None:
    """Puts distractors around the first of the circles that are taken, in their likeliest rest poses.

    Their own circles meet none of those, nor each other.
    """
    circles = list(taken)
    for body, obj in zip(scene.distractors, objects, strict=True):
        pose = max(obj.rest_poses, key=lambda rest: rest.probability)
        rotation = yaw_to_matrix(2 * np.pi * rng.random()) @ quat_to_matrix(np.asarray(pose.quat))
        place = free_place(taken[0][0], SPREAD, radius_of(obj), circles, rng)
        circles.append((place, radius_of(obj)))
        scene.data.qpos[body.qpos] = [*place, pose.height, *matrix_to_quat(rotation)]


def radius_of(obj: GraspObject) -> float:
    """Radius of the sphere around the object's origin that holds all of it [m]."""
    return float(np.linalg.norm(obj.mesh.vertices, axis=1).max())
