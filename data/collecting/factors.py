"""The factors that sub-datasets may differ in: the span of each, and how it is cut into bins."""

from __future__ import annotations

import dataclasses

import numpy as np

from toyshift.core.arrays import Array, Indices
from toyshift.core.errors import UnknownNameError
from toyshift.envs.robots import ROBOTS
from toyshift.envs.shifts import OBJECT_COLOURS
from toyshift.envs.textures import BACKGROUNDS, TABLES

BINS = 9  # of a factor, unless said otherwise
# bin widths within which a value below an edge counts as on it: positions come back from the simulation
ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True)
class DatasetFactor:
    """One row of the table.

    Attributes:
        name: how it is called in a SubDataset, and in the `sub_dataset` factors of an episode.
        relevant: whether the task depends on it (u); otherwise it only changes what is seen, or who acts (v).
        low: lower end of the span that dials may use.
        high: upper end.
        normal: range of an ordinary collection.
        unit: unit of the value.
        count: number of choices, numbered from 0, where there is no continuum: choice k is [k, k + 1); 0 for a
            continuum.
        what: in words.
    """

    name: str
    relevant: bool
    low: float
    high: float
    normal: tuple[float, float]
    unit: str
    count: int
    what: str

    @property
    def half(self) -> float:
        """Half the span: the unit of disparity, and twice that of diversity."""
        return (self.high - self.low) / 2

    def edges(self, bins: int = BINS, objects: int = 0) -> Array:
        """Returns the edges of the bins; bins of choices hold whole choices, one or more.

        Args:
            bins: how many, at most one per choice.
            objects: number of objects of the set, for the factor "object".
        """
        count = objects if self.name == "object" else self.count
        if not count:
            return np.linspace(self.low, self.high, bins + 1)
        bins = min(bins, count)
        return np.asarray(self.low + np.ceil(np.arange(bins + 1) * count / bins) * (self.high - self.low) / count)


def _choices(name: str, count: int, unit: str, what: str) -> DatasetFactor:
    return DatasetFactor(name, False, 0.0, float(count), (0.0, 0.0), unit, count, what)


# To add one: a row here, a field of SubDataset, and, where it is no field of Look, a line in `dials.begin`.
FACTORS: dict[str, DatasetFactor] = {
    row.name: row
    for row in (
        DatasetFactor(
            "position", True, -0.1, 0.1, (-0.1, 0.1), "m", 0,
            "target's place across the table, from its middle (base frame's y)",
        ),
        DatasetFactor(
            "object", True, 0.0, 1.0, (0.0, 1.0), "1", 0,
            "place of the target in the object set's order, as a share of it",
        ),
        DatasetFactor(
            "azimuth", False, -60.0, 60.0, (0.0, 0.0), "deg", 0, "front camera turned about the table's vertical"
        ),
        DatasetFactor("light", False, 0.4, 1.6, (1.0, 1.0), "1", 0, "lights' intensity, as a factor"),
        _choices("table", len(TABLES), "texture", "table's texture"),
        _choices("background", len(BACKGROUNDS), "texture", "texture of floor and wall"),
        _choices("object_colour", len(OBJECT_COLOURS), "colour", "colour of the target; 0 is its own"),
        _choices("robot", len(ROBOTS), "robot", "robot, in the registry's order"),
    )
}


def factor_of(name: str, relevant: bool) -> DatasetFactor:
    """Returns a factor by name and kind, or raises UnknownNameError with the choices of that kind."""
    choices = [row.name for row in FACTORS.values() if row.relevant == relevant]
    if name not in choices:
        raise UnknownNameError(f"{'task-relevant' if relevant else 'task-irrelevant'} factor", name, choices)
    return FACTORS[name]


def bin_of(values: Array, edges: Array) -> Indices:
    """Returns the bin of each value; values beyond the ends count to the first and the last."""
    slack = ROUNDING * np.diff(edges).min()
    return np.asarray(np.clip(np.searchsorted(edges, np.asarray(values) + slack, side="right") - 1, 0, len(edges) - 2))


def range_in_bins(low: float, high: float, edges: Array) -> Array:
    """Returns the probability of each bin under the uniform distribution on [low, high], which may be a point."""
    if high - low <= ROUNDING * np.diff(edges).min():
        masses = np.zeros(len(edges) - 1)
        masses[bin_of(np.array([low]), edges)] = 1.0
        return masses
    overlap = np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)
    return np.asarray(np.maximum(overlap, 0.0) / (high - low))
