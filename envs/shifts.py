"""Looks: what an episode looks like, as a value; the default is the look that policies are trained on."""

from __future__ import annotations

import dataclasses
from typing import Any

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.envs.textures import BACKGROUNDS, TABLES

OBJECT_COLOURS: tuple[tuple[float, float, float], ...] = (
    (0.0, 0.0, 0.0),  # number 0 stands for the object's own colour
    (0.85, 0.35, 0.75),
    (0.95, 0.55, 0.15),
    (0.25, 0.75, 0.75),
    (0.55, 0.35, 0.2),
    (0.92, 0.92, 0.92),
)
FACTORS = ("table", "background", "azimuth", "light", "object_colour")


@dataclasses.dataclass(frozen=True)
class Look:
    """Appearance factors; each changes what is seen and nothing of what happens.

    Attributes:
        table: texture of the table, an index of `textures.TABLES`.
        background: texture of floor and wall, an index of `textures.BACKGROUNDS`.
        azimuth: turn of the front camera about the vertical through the table's centre [deg].
        light: factor on the lights' intensity.
        object_colour: 0 for the object's own colours, else an index of OBJECT_COLOURS.
    """

    table: int = 0
    background: int = 0
    azimuth: float = 0.0
    light: float = 1.0
    object_colour: int = 0

    def __post_init__(self) -> None:
        for name, choices in (("table", TABLES), ("background", BACKGROUNDS), ("object_colour", OBJECT_COLOURS)):
            value = getattr(self, name)
            if not 0 <= value < len(choices):
                raise ConfigError(f"look: {name}={value}; it must be between 0 and {len(choices) - 1}")
        if not 0.0 < self.light <= 3.0:
            raise ConfigError(f"look: light={self.light}; it must be above 0 and at most 3")
        if not -360.0 <= self.azimuth <= 360.0:  # refuses NaN as well
            raise ConfigError(f"look: azimuth={self.azimuth}; it must be between -360 and 360 degrees")

    def changed(self, factor: str, value: Any) -> Look:
        """Returns the look with one factor changed, or raises UnknownNameError."""
        if factor not in FACTORS:
            raise UnknownNameError("factor", factor, FACTORS)
        return dataclasses.replace(self, **{factor: value})
