"""What makes a Pick episode: objects that an instruction can tell apart, spread so that any could be the target."""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError
from toyshift.envs.rotations import matrix_to_quat, quat_to_matrix, yaw_to_matrix
from toyshift.envs.shifted.distractors import Circle, free_place
from toyshift.toys.model import GraspObject
from toyshift.toys.objectset import ObjectSet
from toyshift.toys.random_toys.primitives import KINDS
from toyshift.toys.random_toys.toy import COLOURS

NUMBERS = ("no", "a", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
REGION = (1.4, 2.0)  # half sides, x and y, of what objects are spread over, as factors on `EnvConfig.spread`
REGION_GROWTH = np.array([1.003, 1.02])  # to the sides, where the arm reaches further than to the front and back
CLEARANCE = 0.001  # above the table before everything settles [m]


class Placed(NamedTuple):
    """An object with a resting orientation: hull vertices (n, 3) in its frame [m], wxyz quaternion, height of its
    origin [m].
    """

    object: GraspObject
    hull: Array
    quat: Array
    height: float

    @property
    def com(self) -> Array:
        """Centre of mass relative to the object's origin in the plane (2,), base frame's axes [m]."""
        return np.asarray((quat_to_matrix(self.quat) @ self.object.com)[:2])

    @property
    def radius(self) -> float:
        """Of the upright cylinder around the centre of mass that holds all of the object [m]."""
        corners = (self.hull @ quat_to_matrix(self.quat).T)[:, :2] - self.com
        return float(np.linalg.norm(corners, axis=1).max())


def phrase(obj: GraspObject) -> str:
    """Returns what an instruction calls an object where others lie beside it: a toy by its colours and parts, else its
    name.

    "red toy made of a sphere and two cuboids", "toy made of a red sphere and a blue ring", "mustard bottle".
    """
    toy = obj.info.get("toy")
    if toy is None:
        return obj.name
    kinds = [part["kind"] for part in toy["primitives"]]
    one = isinstance(toy["colour"], str)
    colours = [""] * len(kinds) if one else [c if c in COLOURS else "" for c in toy["colour"]]
    counts = collections.Counter(zip(colours, kinds, strict=True))
    parts = []
    for (colour, kind), count in sorted(counts.items(), key=lambda item: (list(KINDS).index(item[0][1]), item[0][0])):
        number = NUMBERS[count] if count < len(NUMBERS) else str(count)
        words = "an" if count == 1 and colour == "orange" else number, colour, kind + "s" * (count > 1)
        parts.append(" ".join(filter(None, words)))
    whole = " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
    return f"{obj.name if one else 'toy'} made of {whole}"


def choose_others(
    pool: ObjectSet, target: GraspObject, count: int, rng: np.random.Generator, name: Callable[[GraspObject], str]
) -> list[GraspObject]:
    """Returns `count` objects of the pool, no two of which, and none of which and the target, have the same name.

    Raises:
        ConfigError: the pool does not hold so many.
    """
    chosen: list[GraspObject] = []
    names = {name(target)}
    for index in rng.permutation(len(pool)):
        if len(chosen) == count:
            break
        obj = pool[int(index)]
        if name(obj) not in names:
            names.add(name(obj))
            chosen.append(obj)
    if len(chosen) < count:
        raise ConfigError(
            f"{pool.spec} has {len(chosen)} objects that can be told from {target.id} and each other, {count} are to "
            "lie beside it: choose a larger set, or less clutter"
        )
    return chosen


def resting(obj: GraspObject, hull: Array, rng: np.random.Generator) -> Placed:
    """Returns an object in one of its rest poses, drawn by their probability, with any yaw."""
    poses = obj.rest_poses
    shares = np.cumsum([pose.probability for pose in poses])
    pose = poses[min(int(np.searchsorted(shares, rng.random() * shares[-1])), len(poses) - 1)]
    rotation = yaw_to_matrix(rng.random() * 2 * np.pi) @ quat_to_matrix(np.asarray(pose.quat))
    return Placed(obj, hull, np.asarray(matrix_to_quat(rotation)), pose.height)


def spread_out(
    things: Sequence[Placed], centre: tuple[
        float, float
    ], half: float, rng: np.random.Generator, target_place: Array | None
) -> list[Array]:
    """Returns a free joint's position and quaternion (7,) for each thing; no two of the upright cylinders around them
    meet.

    Args:
        things: the target first.
        centre: middle of the region [m].
        half: half side of the square in which a lone target would start [m]; the region is REGION times it, or larger
            where they do not fit.
        rng: draws the places, in an order that it draws as well: the places are exchangeable, and none is the target's
            own.
        target_place: (2,) where the target's centre of mass has to be, None to let it be spread out as the others are
            [m].
    """
    places: dict[int, Array] = {}
    taken: list[Circle] = []
    order = [int(i) for i in rng.permutation(len(things))]
    if target_place is not None:
        places[0] = np.asarray(target_place)
        taken.append((places[0], things[0].radius))
        order.remove(0)
    for i in order:
        region = half * np.asarray(REGION)
        places[i] = free_place(np.asarray(centre), region, things[i].radius, taken, rng, REGION_GROWTH)
        taken.append((places[i], things[i].radius))
    corners = [(*(places[i] - thing.com), thing.height + CLEARANCE) for i, thing in enumerate(things)]
    return [np.array([*corner, *thing.quat]) for corner, thing in zip(corners, things, strict=True)]
