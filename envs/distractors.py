"""Other toys on the table: which, and where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

from toyshift.envs.bodies import DISTRACTOR_SLOTS, fill_slots
from toyshift.envs.rotations import matrix_to_quat, quat_to_matrix, yaw_to_matrix
from toyshift.envs.scene import Scene, uses_slots
from toyshift.toys.model import GraspObject

Array = NDArray[np.float64]

POOL = "toys:train?n=10"  # where the set that is played with has no toys
TRIES = 50
GAP = 0.01  # between the circles around two objects [m]
SPREAD = 0.16  # half side of the square in which distractors lie at first [m]


class Pool(Protocol):
    """What distractors are drawn from: a set of objects, each loaded when it is asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> GraspObject: ...


def choose_distractors(pool: Pool, target: GraspObject, count: int, rng: np.random.Generator) -> list[GraspObject]:
    """Returns `count` toys of the pool that fit the slots: different ones and not the target, as far as the pool has them."""
    chosen: list[GraspObject] = []
    for attempt in range(count * TRIES):
        obj = pool[int(rng.integers(len(pool)))]
        taken = obj.id == target.id or any(obj.id == other.id for other in chosen)
        if uses_slots(obj) and len(obj.geoms) <= DISTRACTOR_SLOTS and (not taken or attempt >= count * TRIES // 2):
            chosen.append(obj)
            if len(chosen) == count:
                return chosen
    return chosen


def write_distractors(scene: Scene, objects: Sequence[GraspObject]) -> None:
    """Writes toys into the scene's distractor bodies."""
    for slots, obj in zip(scene.distractors, objects, strict=True):
        fill_slots(scene.model, slots.geoms, slots.body, obj)
    mujoco.mj_setConst(scene.model, scene.data)
    scene.others = tuple(obj.id for obj in objects)


def place_distractors(scene: Scene, objects: Sequence[GraspObject], target: GraspObject, rng: np.random.Generator) -> None:
    """Puts the distractors around the target, apart from it and from each other, in their likeliest rest poses."""
    centre = scene.data.qpos[scene.object_qpos][:2].copy()
    circles = [(centre, radius_of(target))]
    for slots, obj in zip(scene.distractors, objects, strict=True):
        pose = max(obj.rest_poses, key=lambda rest: rest.probability)
        rotation = yaw_to_matrix(2 * np.pi * rng.random()) @ quat_to_matrix(np.asarray(pose.quat))
        radius, spread = radius_of(obj), SPREAD
        while True:
            place = centre + spread * (2 * rng.random(2) - 1)
            if all(np.linalg.norm(place - other) > radius + reach + GAP for other, reach in circles):
                break
            spread *= 1.02  # the table has room further out
        circles.append((place, radius))
        scene.data.qpos[slots.qpos] = [*place, pose.height, *matrix_to_quat(rotation)]


def radius_of(obj: GraspObject) -> float:
    """Radius of the sphere around the object's origin that holds all of it [m]."""
    return float(np.linalg.norm(obj.mesh.vertices, axis=1).max())
