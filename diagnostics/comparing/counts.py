"""What the episodes of two sides come to, by object: enough for every interval and test of their difference."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from toyshift.core.arrays import Array
from toyshift.diagnostics import unpaired
from toyshift.diagnostics.clusters import of_pairs
from toyshift.diagnostics.comparing.pairs import Matched
from toyshift.diagnostics.comparing.trials import Trial
from toyshift.diagnostics.score_intervals import normal_quantile, tango_interval, tango_score
from toyshift.diagnostics.statistics import mcnemar, paired_interval


@dataclasses.dataclass(frozen=True, eq=False)
class Counts:
    """Counts by object, (m,) each.

    Attributes:
        paired: whether both sides have the same starts.
        k1, n1: outcomes and episodes of the first side.
        k2, n2: of the second.
        only_1, only_2: starts in which only the first side has the outcome, and only the second; 0 where unpaired.
    """

    paired: bool
    k1: Array
    n1: Array
    k2: Array
    n2: Array
    only_1: Array
    only_2: Array

    @classmethod
    def of(cls, matched: Matched, outcome: Callable[[Trial], bool] = lambda trial: trial.success) -> Counts:
        """Counts an outcome, by default success."""
        items = sorted({e.cluster for e in (*matched.first, *matched.second)})
        number = {item: i for i, item in enumerate(items)}

        def by_object(episodes: Sequence[Trial], marks: Sequence[bool]) -> Array:
            sums = np.zeros(len(items))
            np.add.at(sums, [number[e.cluster] for e in episodes], marks)
            return sums

        first, second = ([outcome(e) for e in side] for side in (matched.first, matched.second))
        n1, n2 = (by_object(side, [True] * len(side)) for side in (matched.first, matched.second))
        only_1 = only_2 = np.zeros(len(items))
        if matched.paired:
            only_1, only_2 = (
                by_object(matched.first, [a > b for a, b in zip(x, y, strict=True)])
                for x, y in ((first, second), (second, first))
            )
        k1, k2 = by_object(matched.first, first), by_object(matched.second, second)
        return cls(matched.paired, k1, n1, k2, n2, only_1, only_2)

    @property
    def rates(self) -> tuple[float, float]:
        """Shares of both sides' episodes that have the outcome."""
        return float(self.k1.sum() / self.n1.sum()), float(self.k2.sum() / self.n2.sum())

    @property
    def objects(self) -> int:
        """Objects of either side."""
        return len(self.k1)

    @property
    def same_objects(self) -> bool:
        """Whether both sides met these objects (all of them, or none: `pairs.match` leaves the others out)."""
        return bool(np.all((self.n1 > 0) & (self.n2 > 0)))

    @property
    def value(self) -> float:
        """The first rate minus the second."""
        return self.rates[0] - self.rates[1]

    def for_episodes(self, confidence: float) -> tuple[float, float]:
        """Returns the interval of the difference for new episodes of these objects."""
        if self.paired:
            counts = self.only_1.sum(), self.only_2.sum(), self.n1.sum()
            low, high = tango_interval(*counts, normal_quantile(confidence))
        else:
            low, high = unpaired.unpaired_episodes(self.k1, self.n1, self.k2, self.n2, confidence)
        return float(low), float(high)

    def for_objects(self, confidence: float) -> tuple[float, float]:
        """Returns the interval of the difference for new objects; one object says nothing: (-1, 1)."""
        if self.objects < 2:
            return -1.0, 1.0
        if self.paired:
            low, high = paired_interval(self.only_1, self.only_2, self.n1, confidence)
        else:
            low, high = unpaired.unpaired_objects(self.k1, self.n1, self.k2, self.n2, confidence)
        return float(low), float(high)

    def p_episodes(self) -> float:
        """Returns p for "no difference on these objects": McNemar's exact test, or Newcombe's interval turned round."""
        if self.paired:
            return mcnemar(int(self.only_1.sum()), int(self.only_2.sum()))
        return unpaired.p_value(self.for_episodes)

    def p_objects(self) -> float:
        """Returns p for "no difference on new objects"."""
        if self.objects < 2:
            return 1.0
        if self.paired:
            score = tango_score(self.only_1.sum(), self.only_2.sum(), self.n1.sum(), np.zeros(()))
            return float(of_pairs(self.only_1, self.only_2, self.n1).p_value(score))
        return unpaired.p_value(self.for_objects)
