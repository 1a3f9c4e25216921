"""Toys and object sets: what a robot grasps, as frozen values addressed by a string."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toyshift.toys.distance import set_distance
    from toyshift.toys.distribution import ToyDistribution
    from toyshift.toys.model import Geom, GraspObject, RestPose, VisualMesh
    from toyshift.toys.objectset import ObjectSet
    from toyshift.toys.primitives import Primitive
    from toyshift.toys.rest import compute_rest_poses
    from toyshift.toys.sampling import sample_toy
    from toyshift.toys.sources import SOURCES, load_objects
    from toyshift.toys.toy import Toy, toy_object

# Where each public name lives; imported on first use so that importing the room stays cheap.
_PLACES = {
    "Geom": "model",
    "GraspObject": "model",
    "ObjectSet": "objectset",
    "Primitive": "primitives",
    "RestPose": "model",
    "SOURCES": "sources",
    "Toy": "toy",
    "ToyDistribution": "distribution",
    "VisualMesh": "model",
    "compute_rest_poses": "rest",
    "load_objects": "sources",
    "sample_toy": "sampling",
    "set_distance": "distance",
    "toy_object": "toy",
}

__all__ = [
    "SOURCES",
    "Geom",
    "GraspObject",
    "ObjectSet",
    "Primitive",
    "RestPose",
    "Toy",
    "ToyDistribution",
    "VisualMesh",
    "compute_rest_poses",
    "load_objects",
    "sample_toy",
    "set_distance",
    "toy_object",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; available: {', '.join(sorted(_PLACES))}")
    return getattr(importlib.import_module(f"toyshift.toys.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_PLACES)
