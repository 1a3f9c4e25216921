"""New looks toward a sub-dataset's own side of a factor, or toward the others': the paper's theory says the second.

Both give as many new looks, drawn from sides of the same kind. Toward its own side a sub-dataset becomes more diverse,
and still shows nothing of what the others show; toward the others' it overlaps with them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from toyshift.augment.augmentation import Around, Augmentation, SeenAs
from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError

STEPS = 101  # values of a continuum among which the sides are looked for


@dataclasses.dataclass(frozen=True)
class Toward(Augmentation):
    """Copies whose factor is drawn from a side.

    Attributes:
        factor: of the look: azimuth, light, table, background or object_colour; by default the plan's.
        side: of a sub-dataset: "nearer" is all of the factor's span that lies nearer to its mean than to another's,
            "recorded" only what its episodes show (which, where that is one value, is no new look).
    """

    factor: str = ""
    side: Literal["nearer", "recorded"] = "nearer"

    several = True
    own: ClassVar[bool] = True

    def check(self, around: Around) -> None:
        sides = [self.values(around, part) for part in range(len(around.looks))]
        for name, side in zip(around.names, sides, strict=True):
            if not len(side):
                told = f"nothing of {around.span(self.factor).name} lies nearer to {name} than to the others"
                raise ConfigError(f"{told}, so it has no side of its own: write side=recorded, or another factor=")
        shown = around.values(around.span(self.factor).name, around.own)
        if self.own and len(set(shown)) == 1 and set(shown) == set(sides[around.own]):
            name = f"{around.names[around.own]} shows {around.span(self.factor).name} {shown[0]:g} alone"
            remedy = "write side=nearer" if self.side == "recorded" else "choose another factor"
            raise ConfigError(f"{name}: its own side holds no new look; {remedy}")

    def values(self, around: Around, part: int) -> Array:
        """Returns the values of a sub-dataset's side, evenly over a continuum; those recorded as often as they are."""
        factor = around.span(self.factor)
        if self.side == "recorded":
            return np.asarray(around.values(factor.name, part))
        every = np.arange(factor.count) if factor.count else np.linspace(factor.low, factor.high, STEPS)
        centres = [float(np.mean(around.values(factor.name, i))) for i in range(len(around.looks))]
        far = np.abs(every[:, None] - np.asarray(centres))  # (values, sub-datasets)
        rest = np.delete(far, part, axis=1)
        return np.asarray(every[far[:, part] < rest.min(axis=1) - 1e-9], dtype=np.float64)

    def cameras(self, there: Sequence[str]) -> Sequence[str]:
        return there

    def see(self, seen: SeenAs, around: Around, rng: np.random.Generator) -> SeenAs:
        which, where = rng.random(2)
        part = around.own if self.own else around.others[int(which * len(around.others))]
        side, factor = self.values(around, part), around.span(self.factor)
        value = float(side[int(where * len(side))])
        return dataclasses.replace(seen, look=seen.look.changed(factor.name, int(value) if factor.count else value))


@dataclasses.dataclass(frozen=True)
class TowardOwn(Toward):
    """Control: new looks on the sub-dataset's own side, which no other sub-dataset shows."""


@dataclasses.dataclass(frozen=True)
class TowardOther(Toward):
    """New looks on another sub-dataset's side, one drawn for each copy."""

    own = False
