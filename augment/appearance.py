"""New looks of table, background, light and object, by distributions that are stated; actions and masks stay."""

from __future__ import annotations

import dataclasses

import numpy as np

from toyshift.augment.augmentation import Around, Augmentation, SeenAs
from toyshift.augment.draws import Draw, FactorSpan
from toyshift.envs.shift_table import SHIFT_FACTORS
from toyshift.envs.shifts import FACTORS

USUAL = {name: Draw() for name in ("table", "background", "object_colour")} | {"light": Draw(0.5, 1.5)}
# key -> shift factor: textures that are made for the episode, and lights from elsewhere or in a colour
SHIFTS = {
    "table_texture": "table-texture", "background_texture": "background", "light_direction": "light-direction",
    "light_colour": "light-colour",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class NewAppearance(Augmentation):
    """One look per copy. Only what is named changes; of nothing named table, background, light and object colour do.

    Attributes:
        table: texture of the table, by number.
        background: texture of floor and wall, by number.
        light: factor on the lights' intensity.
        object_colour: of the target, by number; 0 is its own.
        table_texture: share of a texture made for the episode, 0 to 1; this and those below as in `envs shifts`.
        background_texture: likewise, of floor and wall.
        light_direction: tilt of the lights [deg].
        light_colour: share of a drawn colour, 0 to 1.
    """

    table: Draw | None = None
    background: Draw | None = None
    light: Draw | None = None
    object_colour: Draw | None = None
    table_texture: Draw | None = None
    background_texture: Draw | None = None
    light_direction: Draw | None = None
    light_colour: Draw | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, draw in self.drawn().items():
            draw.check(span_of(name))

    def drawn(self) -> dict[str, Draw]:
        """Returns what changes, by key."""
        named = {name: getattr(self, name) for name in (*USUAL, *SHIFTS) if getattr(self, name) is not None}
        return named or dict(USUAL)

    def see(self, seen: SeenAs, around: Around, rng: np.random.Generator) -> SeenAs:
        for name, draw in self.drawn().items():
            value = draw.draw(span_of(name), rng)
            if name in SHIFTS:
                seen = seen.changed(SHIFTS[name], value, (rng.random(), rng.random(), rng.random()))
            else:
                seen = dataclasses.replace(seen, look=seen.look.changed(name, value))
        return seen


def span_of(name: str) -> FactorSpan:
    """Returns what a key of `NewAppearance` may be."""
    if name in SHIFTS:
        shift = SHIFT_FACTORS[SHIFTS[name]]
        return FactorSpan(name, shift.start, shift.ends[0])
    factor = FACTORS[name]
    return FactorSpan(name, max(factor.low, 0.01), factor.high) if name == "light" else FactorSpan(
        name, factor.low, factor.high, whole=True
    )
