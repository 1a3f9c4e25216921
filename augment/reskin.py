"""Toys in permuted colours, and the words of the instruction permuted alike: what is told stays true of what is seen.

The idea is AugZero's, of "Data Factors for Better Compositional Generalization": copies in a new vocabulary.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping

import numpy as np

from toyshift.augment.augmentation import Around, Augmentation, SeenAs
from toyshift.core.arrays import Array, Indices
from toyshift.core.errors import ConfigError
from toyshift.envs.scene.scene import Scene
from toyshift.toys.random_toys.toy import COLOURS

_WORD = re.compile(rf"\b(?:(an?) )?({'|'.join(COLOURS)})\b")


@dataclasses.dataclass(frozen=True)
class Reskin(Augmentation):
    """One permutation of the named colours for each copy: each becomes another, and no two the same."""

    def check(self, around: Around) -> None:
        if any(look.object_colour for look in around.looks[around.own]):
            name = around.names[around.own]
            raise ConfigError(f"{name} has episodes whose object_colour hides the toys' own colours, which it permutes")

    def see(self, seen: SeenAs, around: Around, rng: np.random.Generator) -> SeenAs:
        circle = [list(COLOURS)[i] for i in rng.permutation(len(COLOURS))]  # each becomes the next: none stays
        following = dict(zip(circle, [*circle[1:], circle[0]], strict=True))
        return dataclasses.replace(seen, colours={name: following[seen.colours.get(name, name)] for name in COLOURS})


def told_anew(task: str, before: SeenAs, seen: SeenAs) -> str:
    """Returns the instruction of an episode that was seen otherwise before."""
    if seen.colours == before.colours:
        return task
    return renamed(task, {before.colours.get(name, name): to for name, to in seen.colours.items()})


def renamed(task: str, colours: Mapping[str, str]) -> str:
    """Returns an instruction with its colours renamed, and the article before them.

    >>> renamed("pick up the toy made of an orange ring and two red cuboids", {"orange": "red", "red": "orange"})
    'pick up the toy made of a red ring and two orange cuboids'
    """

    def other(found: re.Match[str]) -> str:
        article, colour = found.groups()
        new = colours[colour]
        return new if article is None else f"{'an' if new[0] in 'aeiou' else 'a'} {new}"

    return _WORD.sub(other, task)


def repainted(scene: Scene, colours: Mapping[str, str]) -> tuple[Indices, Array]:
    """Returns the geoms of a scene's toys that wear a named colour (n,), and the colours (n, 4) that they get instead.

    Raises:
        ConfigError: there are none.
    """
    found = list(_painted(scene, colours))
    if not found:
        told = f"is painted in one of {', '.join(COLOURS)}"
        raise ConfigError(f"nothing on the table {told}: reskin permutes toys' colours, and leaves scans")
    geoms, paint = zip(*found, strict=True)
    return np.asarray(geoms), np.asarray(paint)


def _painted(scene: Scene, colours: Mapping[str, str]) -> Iterator[tuple[int, tuple[float, ...]]]:
    for body in (scene.target, *scene.beside):
        for geom in body.geoms:
            rgba = scene.model.geom_rgba[geom]
            name = next((name for name, paint in COLOURS.items() if np.allclose(rgba, paint, atol=1e-4)), "")
            if name:
                yield int(geom), COLOURS[colours[name]]
