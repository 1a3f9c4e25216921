"""Splits of all toys into a training and a test side by what a toy is: no choice of n, seed or distribution leaks."""

from __future__ import annotations

from collections.abc import Callable

from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from toyshift.toys.random_toys.toy import Toy

TEST_DIGITS = "cdef"
# Each kind stands in exactly one pair, so training still shows every kind, and every kind beside two others.
HELD_OUT_PAIRS = (frozenset({"sphere", "ring"}), frozenset({"cuboid", "cylinder"}))
MOST_PARTS = 3
LONGEST_SPAN = 0.12  # [m]


def split_of(toy_id: str) -> str:
    """The only one of "train" and "test" that may hold a toy of the random split; 3 of 4 toys are training toys."""
    return "test" if toy_id[0] in TEST_DIGITS else "train"


def span(toy: Toy) -> float:
    """Greatest distance between two points of a toy [m]; does not depend on how the toy is turned."""
    vertices = toy.mesh().vertices
    return float(pdist(vertices[ConvexHull(vertices).vertices]).max())


def _by_id(toy: Toy) -> str:
    return split_of(toy.id)


def _by_composition(toy: Toy) -> str:
    kinds = {p.kind for p in toy.primitives}
    return "test" if any(pair <= kinds for pair in HELD_OUT_PAIRS) else "train"


def _by_count(toy: Toy) -> str:
    return "test" if len(toy.primitives) > MOST_PARTS else "train"


def _by_size(toy: Toy) -> str:
    return "test" if span(toy) > LONGEST_SPAN else "train"


# Name -> the side of a toy: "train" or "test".
SPLITS: dict[str, Callable[[Toy], str]] = {
    "random": _by_id,  # in distribution: by the first digit of the id
    "composition": _by_composition,  # test toys hold two kinds of primitives that no training toy holds together
    "count": _by_count,  # test toys have more primitives than any training toy
    "size": _by_size,  # test toys are longer than any training toy
}
