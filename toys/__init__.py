"""Toys and object sets: what a robot grasps, as frozen values addressed by a string."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toyshift.core.lazy import lazy_names

if TYPE_CHECKING:
    from toyshift.toys.compare.distance import set_distance as set_distance
    from toyshift.toys.geometry.rest import compute_rest_poses as compute_rest_poses
    from toyshift.toys.model import Geom as Geom
    from toyshift.toys.model import GraspObject as GraspObject
    from toyshift.toys.model import RestPose as RestPose
    from toyshift.toys.model import VisualMesh as VisualMesh
    from toyshift.toys.objectset import ObjectSet as ObjectSet
    from toyshift.toys.random_toys.distribution import ToyDistribution as ToyDistribution
    from toyshift.toys.random_toys.primitives import Primitive as Primitive
    from toyshift.toys.random_toys.sampling import sample_toy as sample_toy
    from toyshift.toys.random_toys.toy import Toy as Toy
    from toyshift.toys.random_toys.toy import toy_object as toy_object
    from toyshift.toys.sources import SOURCES as SOURCES
    from toyshift.toys.sources import load_objects as load_objects

_PLACES = {
    "Geom": "model", "GraspObject": "model", "RestPose": "model", "VisualMesh": "model", "ObjectSet": "objectset",
    "Primitive": "random_toys.primitives", "Toy": "random_toys.toy", "ToyDistribution": "random_toys.distribution",
    "sample_toy": "random_toys.sampling", "toy_object": "random_toys.toy", "SOURCES": "sources",
    "load_objects": "sources", "compute_rest_poses": "geometry.rest", "set_distance": "compare.distance",
}
__getattr__, __dir__ = lazy_names(__name__, _PLACES)
