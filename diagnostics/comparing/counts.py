"""What the episodes of two sides come to, by object: enough for every interval and test of their difference."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from toyshift.core.arrays import Array
from toyshift.diagnostics import unpaired
from toyshift.diagnostics.clusters import of_pairs
from toyshift.diagnostics.comparing.pairs import Matched
from toyshift.diagnostics.comparing.played import Played
from toyshift.diagnostics.score_intervals import tango_score
from toyshift.diagnostics.statistics import Estimate, PairedDifference, mcnemar, paired_interval


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
    def of(cls, matched: Matched, outcome: Callable[[Played], bool] = lambda played: played.success) -> Counts:
        """Counts an outcome, by default success."""
        items = sorted({e.cluster for e in (*matched.first, *matched.second)})
        number = {item: i for i, item in enumerate(items)}

        def by_object(episodes: Sequence[Played], marks: Sequence[bool]) -> Array:
            which = [number[e.cluster] for e in episodes]
            return np.bincount(which, weights=np.asarray(marks, dtype=np.float64), minlength=len(items))

        first, second = ([outcome(e) for e in side] for side in (matched.first, matched.second))
        none = np.zeros(len(items))
        only_1 = only_2 = none
        if matched.paired:
            only_1, only_2 = (
                by_object(matched.first, [a > b for a, b in zip(x, y, strict=True)])
                for x, y in ((first, second), (second, first))
            )
        sizes = (by_object(side, [True] * len(side)) for side in (matched.first, matched.second))
        n1, n2 = sizes
        return cls(
            matched.paired, by_object(matched.first, first), n1, by_object(matched.second, second), n2, only_1, only_2
        )

    @property
    def rates(self) -> tuple[float, float]:
        """Shares of both sides' episodes that have the outcome."""
        return float(self.k1.sum() / self.n1.sum()), float(self.k2.sum() / self.n2.sum())

    @property
    def objects(self) -> int:
        """Objects of either side."""
        return len(self.k1)

    @property
    def value(self) -> float:
        """The first rate minus the second."""
        return self.rates[0] - self.rates[1]

    def for_episodes(self, confidence: float) -> tuple[float, float]:
        """Returns the interval of the difference for new episodes of these objects."""
        if self.paired:
            found = PairedDifference(
                Estimate(self.value, -1.0, 1.0, self.objects), int(self.only_1.sum()), int(self.only_2.sum()),
                0, int(self.n1.sum() - self.only_1.sum() - self.only_2.sum()), 1.0,
            ).episodes(confidence)
            return found.low, found.high
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
