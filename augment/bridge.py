"""One more sub-dataset that bridges the others: episodes of all of them, each seen as those of any."""

from __future__ import annotations

import dataclasses

import numpy as np

from toyshift.augment.augmentation import Around, Augmentation, SeenAs
from toyshift.core.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Bridge(Augmentation):
    """A sub-dataset `bridge` that holds every sub-dataset's tasks under every sub-dataset's looks.

    Attributes:
        factor: of the look: azimuth, light, table, background or object_colour; by default the plan's.
        episodes: how many; 0 takes as many as a sub-dataset has on average, shared evenly.
    """

    factor: str = ""
    episodes: int = 0

    several = True
    apart = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.episodes < 0 or self.copies > 1 or not self.keep:
            raise ConfigError("episodes is at least 0, and stands in place of copies= and keep=")

    def check(self, around: Around) -> None:
        name = around.span(self.factor).name
        if len({tuple(sorted(around.values(name, part))) for part in range(len(around.looks))}) == 1:
            raise ConfigError(f"{', '.join(around.names)} show the same {name}: there is nothing to bridge")

    def see(self, seen: SeenAs, around: Around, rng: np.random.Generator) -> SeenAs:
        which, where = rng.random(2)
        name = around.span(self.factor).name
        looks = around.looks[int(which * len(around.looks))]
        value = getattr(looks[int(where * len(looks))], name)
        return dataclasses.replace(seen, look=seen.look.changed(name, value))
