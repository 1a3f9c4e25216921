"""Objects as shifts make them: another size, mass or friction; everything else of the object stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from toyshift.envs.shifts import Variation
from toyshift.toys.model import GraspObject


def varied_object(obj: GraspObject, variation: Variation) -> GraspObject:
    """Returns the object as a variation makes it; the object itself where nothing of it is shifted.

    Size, mass and friction are apart from each other: a larger object keeps its mass, a heavier one its size. Inertia
        follows both.
    """
    for apply, drawn in variation.at("object"):
        obj = apply(obj, drawn.value)
    return obj


def varied_key(obj: GraspObject, variation: Variation) -> str:
    """Returns a name that tells an object's variants apart; the object's id where nothing is shifted."""
    return "*".join([obj.id, *(f"{drawn.factor}:{drawn.value!r}" for _, drawn in variation.at("object"))])


def resized(obj: GraspObject, factor: float) -> GraspObject:
    def scaled(values: tuple[float, ...]) -> tuple[float, float, float]:
        x, y, z = (factor * value for value in values)
        return x, y, z

    visual = obj.visual
    return replace(
        obj,
        mesh=obj.mesh.copy().apply_scale(factor),
        geoms=tuple(replace(g, size=scaled(g.size), pos=scaled(g.pos)) for g in obj.geoms),
        parts=tuple(factor * part for part in obj.parts),
        visual=visual and replace(visual, vertices=(factor * visual.vertices).astype(np.float32)),
        com=factor * obj.com,
        inertia=factor**2 * obj.inertia,
        rest_poses=tuple(replace(p, height=factor * p.height, width=factor * p.width) for p in obj.rest_poses),
    )


def with_mass(obj: GraspObject, factor: float) -> GraspObject:
    return replace(obj, mass=obj.mass * factor, inertia=obj.inertia * factor)


def with_friction(obj: GraspObject, factor: float) -> GraspObject:
    a, b, c = obj.friction
    return replace(obj, friction=(a * factor, b * factor, c * factor))
