"""What an augmentation is: a frozen value that says how copies of episodes are seen, and which episodes there are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.fields import check_fields, check_ranges
from toyshift.data.episode import Episode, Frames
from toyshift.envs.shifts import Look

if TYPE_CHECKING:
    from toyshift.augment.sources import Sources
    from toyshift.data.collecting.factors import DatasetFactor
    from toyshift.data.store.dataset import Dataset

MOST_COPIES = 100


@dataclasses.dataclass(frozen=True)
class SeenAs:
    """How an episode is seen.

    Attributes:
        look: its look.
        values: of shift factors that change what is seen, by name, in their units.
        draws: three numbers in [0, 1) of each of those: colour, direction or pattern, see `shifts.Variation`.
        colours: of toys' parts, by name -> the colour that they are painted in instead.
    """

    look: Look
    values: Mapping[str, float] = dataclasses.field(default_factory=dict)
    draws: Mapping[str, tuple[float, float, float]] = dataclasses.field(default_factory=dict)
    colours: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def changed(self, name: str, value: float, draws: tuple[float, float, float]) -> SeenAs:
        """Returns it with one shift factor changed."""
        return dataclasses.replace(self, values={**self.values, name: value}, draws={**self.draws, name: draws})


@dataclasses.dataclass(frozen=True)
class Around:
    """The sub-dataset that an episode is of, and the others.

    Attributes:
        own: number of its sub-dataset.
        names: of all.
        looks: of the episodes of each.
        factor: what the sub-datasets differ in, as their plan says; "" where they have none.
    """

    own: int
    names: tuple[str, ...]
    looks: tuple[tuple[Look, ...], ...]
    factor: str

    @property
    def others(self) -> tuple[int, ...]:
        """Numbers of the other sub-datasets."""
        return tuple(i for i in range(len(self.looks)) if i != self.own)

    def span(self, factor: str) -> DatasetFactor:
        """Returns what a factor may be; "" is the plan's.

        Raises:
            ConfigError: there is no plan, or it is of a factor that no rendering changes.
            UnknownNameError: no factor of the look has this name.
        """
        from toyshift.data.collecting.factors import FACTORS
        from toyshift.envs.shifts import FACTORS as SEEN

        if not (factor or self.factor):
            choices = ", ".join(SEEN)
            raise ConfigError(f"no plan says in what {', '.join(self.names)} differ: write factor=, one of {choices}")
        if (factor or self.factor) not in SEEN:
            raise UnknownNameError("factor", factor or self.factor, SEEN)
        return FACTORS[factor or self.factor]

    def values(self, factor: str, part: int) -> list[float]:
        """Returns the values of a factor that a sub-dataset's episodes show."""
        return [float(getattr(look, factor)) for look in self.looks[part]]


class Words(NamedTuple):
    """What an episode is told, and what it notes besides, JSON-able."""

    task: str
    notes: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """One term of a spec; sub-classes say what it does. To add one: a file like `duplicate.py`, a row in `registry`.

    Attributes:
        copies: how many new episodes are made of each; of several terms the largest number counts.
        keep: whether the episodes that there were stay beside them; one `keep=no` of several terms is enough.
    """

    copies: int = 1
    keep: bool = True

    states: ClassVar[bool] = True  # it needs the simulator's state
    several: ClassVar[bool] = False  # it needs more than one sub-dataset
    replays: ClassVar[bool] = False  # it acts out other episodes: all cameras are rendered
    tells: ClassVar[bool] = False  # it says what lies on the recorded table
    apart: ClassVar[bool] = False  # its copies are a sub-dataset of their own

    def __post_init__(self) -> None:
        check_fields(self)
        check_ranges(self, {"copies": (1, MOST_COPIES)})

    def check(self, around: Around) -> None:
        """Raises ConfigError where a sub-dataset leaves nothing to do."""

    def check_sources(self, sources: Sources, part: int) -> None:
        """Raises ConfigError where the episodes of a sub-dataset leave nothing to do."""

    def cameras(self, there: Sequence[str]) -> Sequence[str]:
        """Returns which of a dataset's cameras see something else; raises ConfigError where it lacks one."""
        return there if self.states else ()

    def see(self, seen: SeenAs, around: Around, rng: np.random.Generator) -> SeenAs:
        """Returns how a copy of an episode is seen."""
        return seen

    def episode(self, sources: Sources, part: int, number: int, rng: np.random.Generator) -> Episode | None:
        """Returns the episode of a sub-dataset that a copy is made of; None where none comes of it."""
        return sources.datasets[part].episode(number)

    def words(self, sources: Sources, part: int, number: int, rng: np.random.Generator) -> Words | None:
        """Returns what a copy of an episode is told; None where it is told the same."""
        return None

    def beside(self, dataset: Dataset) -> None:
        """Writes what belongs beside a new sub-dataset that is finished."""

    def frames(self, frames: Frames, cameras: Sequence[str], rng: np.random.Generator) -> Frames:
        """Returns a copy's frames with its images changed."""
        return frames
