"""Looks and shifts as values: what an episode looks like, and how far it is from the training distribution."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError, UnknownNameError, shown
from toyshift.envs.shift_table import LEVELS, SHIFT_FACTORS, When
from toyshift.envs.textures import BACKGROUNDS, TABLES

OBJECT_COLOURS: tuple[tuple[float, float, float], ...] = (
    (0.0, 0.0, 0.0),  # number 0 stands for the object's own colour
    (0.85, 0.35, 0.75),
    (0.95, 0.55, 0.15),
    (0.25, 0.75, 0.75),
    (0.55, 0.35, 0.2),
    (0.92, 0.92, 0.92),
)


class LookFactor(NamedTuple):
    """A field of `Look` with its range; `above`: the lower bound itself is refused."""

    name: str
    low: float
    high: float
    above: bool = False


_LOOK_FACTORS = (
    LookFactor("table", 0, len(TABLES) - 1),
    LookFactor("background", 0, len(BACKGROUNDS) - 1),
    LookFactor("azimuth", -360.0, 360.0),
    LookFactor("light", 0.0, 3.0, above=True),
    LookFactor("object_colour", 0, len(OBJECT_COLOURS) - 1),
)
FACTORS = {factor.name: factor for factor in _LOOK_FACTORS}


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
        for name, low, high, above in _LOOK_FACTORS:
            value = getattr(self, name)
            if not low <= value <= high or (above and value == low):  # refuses NaN as well
                least = f"{'above' if above else 'at least'} {low:g}"
                raise ConfigError(f"look: {name}={value}; it must be {least} and at most {high:g}")

    def changed(self, factor: str, value: Any) -> Look:
        """Returns the look with one factor changed, or raises UnknownNameError."""
        if factor not in FACTORS:
            raise UnknownNameError("factor", factor, FACTORS)
        return dataclasses.replace(self, **{factor: value})


@dataclasses.dataclass(frozen=True)
class Shift:
    """One factor at one level.

    Attributes:
        factor: a name of `shift_table.SHIFT_FACTORS`.
        level: 0 (training) to 5 (the end of the factor's range).
    """

    factor: str
    level: int

    def __post_init__(self) -> None:
        if self.factor not in SHIFT_FACTORS:
            raise UnknownNameError("shift", self.factor, SHIFT_FACTORS)
        whole = isinstance(self.level, int | np.integer) and not isinstance(self.level, bool)
        if not whole or not 0 <= self.level <= LEVELS:
            raise ConfigError(f"shift {self}: the level must be a whole number from 0 (training) to {LEVELS}")

    def __str__(self) -> str:
        return f"{self.factor}={self.level}"


@dataclasses.dataclass(frozen=True)
class Shifts:
    """Several shifts at once, in the table's order; nothing for the training distribution.

    >>> str(Shifts.parse("light-intensity=2, camera-azimuth=3") + Shift("table-texture", 5))
    'camera-azimuth=3,light-intensity=2,table-texture=5'
    """

    items: tuple[Shift, ...] = ()

    def __post_init__(self) -> None:
        names = [shift.factor for shift in self.items]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(f"shift {twice[0]} is given twice; give every factor one level")
        order = list(SHIFT_FACTORS)
        object.__setattr__(self, "items", tuple(sorted(self.items, key=lambda shift: order.index(shift.factor))))

    @classmethod
    def parse(cls, text: str | Shift | Shifts) -> Shifts:
        """Reads "camera-azimuth=3,light-intensity=2"; "" is no shift.

        Raises:
            UnknownNameError: a factor that is not in the table; names the nearest.
            ConfigError: no level, a level out of range, or a factor given twice.
        """
        if isinstance(text, Shifts):
            return text
        if isinstance(text, Shift):
            return cls((text,))
        if not isinstance(text, str):
            raise ConfigError(f"a shift is text such as 'camera-azimuth=3', got {shown(text)}")
        items = []
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, equals, level = (piece.strip() for piece in part.partition("="))
            if name not in SHIFT_FACTORS:
                raise UnknownNameError("shift", name, SHIFT_FACTORS)
            if not equals or not re.fullmatch(r"[0-9]{1,3}", level):
                wanted = f"write {name}=LEVEL, a whole number from 0 (training) to {LEVELS}"
                raise ConfigError(f"shift {shown(part)}: {wanted}")
            items.append(Shift(name, int(level)))
        return cls(tuple(items))

    def __add__(self, other: Shifts | Shift) -> Shifts:
        return Shifts(self.items + Shifts.parse(other).items)

    def __str__(self) -> str:
        return ",".join(map(str, self.items))

    def draw(self, stream: Callable[[str], np.random.Generator]) -> Variation:
        """Returns what the shifts come to in one episode.

        Every factor draws from a stream of its own and whatever its level: shifts that are combined do to an episode
        what each of them does alone, and a higher level goes further in the same direction.

        Args:
            stream: gives the generator of a factor's name.
        """
        values, draws = {}, {}
        for shift in self.items:
            if shift.level:
                a, b, c, share = (float(x) for x in stream(shift.factor).random(4))
                values[shift.factor] = SHIFT_FACTORS[shift.factor].at(shift.level, share)
                draws[shift.factor] = a, b, c
        return Variation(values, draws)


class Drawn(NamedTuple):
    """What one factor comes to in one episode: its value in its unit, and three numbers in [0, 1) for whatever else it
    draws.
    """

    factor: str
    value: float
    draws: tuple[float, float, float]

    @property
    def colour(self) -> Array:
        """A colour (3,), each channel from 0.25 to 1 (COLOSSEUM's color_range)."""
        return 0.25 + 0.75 * np.asarray(self.draws)

    @property
    def seed(self) -> int:
        """The seed of a pattern."""
        return int(self.draws[0] * 2**31)


@dataclasses.dataclass(frozen=True)
class Variation:
    """What shifts come to in one episode.

    `variation["object-mass"]` is the factor's value, the training value where it is not shifted.

    Attributes:
        values: value of every shifted factor, in its unit.
        draws: three numbers in [0, 1) of every shifted factor: its colour, direction or pattern.
    """

    values: Mapping[str, float] = dataclasses.field(default_factory=dict)
    draws: Mapping[str, tuple[float, float, float]] = dataclasses.field(default_factory=dict)

    def __getitem__(self, factor: str) -> float:
        return self.values[factor] if factor in self.values else SHIFT_FACTORS[factor].start

    def __contains__(self, factor: str) -> bool:
        return factor in self.values

    def at(self, when: When) -> Sequence[tuple[Callable[..., Any], Drawn]]:
        """Returns what is applied at a time, in order: functions as `shift_table` describes them, and what they are
        given.
        """
        return self._steps.get(when, ())

    @functools.cached_property
    def _steps(self) -> dict[When, list[tuple[Callable[..., Any], Drawn]]]:
        steps: dict[When, list[tuple[Callable[..., Any], Drawn]]] = {}
        for row in sorted(SHIFT_FACTORS.values(), key=lambda row: row.late):
            for when in row.apply if row.name in self.values else ():
                drawn = Drawn(row.name, self.values[row.name], self.draws.get(row.name, (0.0, 0.0, 0.0)))
                steps.setdefault(when, []).append((row.function(when), drawn))
        return steps


TRAINING = Variation()
