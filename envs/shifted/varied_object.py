"""Objects as shifts make them: another size, mass or friction; everything else of the object stays."""

from __future__ import annotations

import dataclasses

import numpy as np

from toyshift.envs.shifts import Variation
from toyshift.toys.model import GraspObject

FACTORS = ("object-size", "object-mass", "object-friction")


def varied_object(obj: GraspObject, variation: Variation) -> GraspObject:
    """Returns the object with a variation's size, mass and friction; the object itself where none of them is shifted.

    The three are apart from each other: a larger object keeps its mass, a heavier one its size. Inertia follows both.
    """
    if not any(factor in variation for factor in FACTORS):
        return obj
    size, mass, friction = (variation[factor] for factor in FACTORS)
    if size != 1.0:
        obj = _resized(obj, size)
    a, b, c = obj.friction
    return dataclasses.replace(obj, mass=obj.mass * mass, inertia=obj.inertia * mass, friction=(a * friction, b * friction, c * friction))


def varied_key(obj: GraspObject, variation: Variation) -> str:
    """Returns a name that tells an object's variants apart; the object's id where nothing is shifted."""
    return "*".join([obj.id, *(f"{factor}:{variation[factor]!r}" for factor in FACTORS if factor in variation)])


def _resized(obj: GraspObject, factor: float) -> GraspObject:
    def scaled(values: tuple[float, ...]) -> tuple[float, float, float]:
        x, y, z = (factor * value for value in values)
        return x, y, z

    visual = obj.visual
    return dataclasses.replace(
        obj,
        mesh=obj.mesh.copy().apply_scale(factor),
        geoms=tuple(dataclasses.replace(geom, size=scaled(geom.size), pos=scaled(geom.pos)) for geom in obj.geoms),
        parts=tuple(factor * part for part in obj.parts),
        visual=visual and dataclasses.replace(visual, vertices=(factor * visual.vertices).astype(np.float32)),
        com=factor * obj.com,
        inertia=factor**2 * obj.inertia,
        rest_poses=tuple(dataclasses.replace(pose, height=factor * pose.height, width=factor * pose.width) for pose in obj.rest_poses),
    )
