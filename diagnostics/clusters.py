"""How much episodes that share an object count as: the design effect, for intervals that speak about new objects.

Episodes of one object resemble each other, so n of them say less about new objects than n episodes of n objects. The
*design effect* is the variance of an estimate over that under independence; n is divided by it before a score interval
is taken (`score_intervals.py`), which keeps its behaviour at the ends. Three corrections, found and checked by
simulation (`benchmarks/interval_coverage.py`, `docs/statistics.md`):

* the variance of few objects is uncertain: Student's t instead of the normal quantile;
* where only a few objects hold all the successes (or failures), only these tell how much objects differ: they are the
  degrees of freedom, not all objects. Without it, 95 % intervals cover 84 % where 1 object in 20 is liftable;
* an object's episodes cannot be more alike than equal: n never counts for less than the number of objects.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from toyshift.core.arrays import Array

FEW = 8  # objects; with fewer, intervals for new objects err on the wide side (docs/statistics.md)


@dataclasses.dataclass(frozen=True)
class Independence:
    """What is known about how independent episodes are; arrays of any shape, one entry per estimate.

    Attributes:
        effect: design effect, as estimated.
        most: design effect if all episodes of an object were equal.
        freedom: degrees of freedom of the estimate.
    """

    effect: Array
    most: Array
    freedom: Array

    def share(self, confidence: float) -> Array:
        """Returns which share of the episodes counts, for an interval of this confidence with a normal quantile."""
        from scipy.stats import norm, t

        quantile = 0.5 + confidence / 2
        student = (norm.ppf(quantile) / t.ppf(quantile, self.freedom)) ** 2 / self.effect
        return np.asarray(np.maximum(student, 1.0 / self.most))

    def p_value(self, score: ArrayLike) -> Array:
        """Returns the two-sided p of a score that independent episodes would have; it agrees with `share`."""
        from scipy.stats import norm, t

        size = np.abs(score)
        student = 2 * t.sf(size / np.sqrt(self.effect), self.freedom)
        return np.asarray(np.minimum(student, 2 * norm.sf(size / np.sqrt(self.most))))


def independence(
    deviations: Array, independent: ArrayLike, most: ArrayLike, telling: ArrayLike, least: float = 1.0
) -> Independence:
    """Estimates a design effect.

    Args:
        deviations: (..., m) of m > 1 objects' sums from what the estimate expects of them, as parts of the estimate:
            they add up to 0, and the sum of their squares is its variance.
        independent: (...,) variance of the estimate if all episodes were independent; 0 where it cannot be known, and
            an object then counts once.
        most: (...,) design effect if all episodes of an object were equal.
        telling: (...,) objects that tell how much objects differ.
        least: smallest design effect that is believed. 1 where differing objects can only add variance; less where
            they also take some away (two policies that fail on the same objects).
    """
    m, most = deviations.shape[-1], np.maximum(1.0, most)
    variance = m / (m - 1) * np.sum(deviations**2, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        effect = np.where(np.asarray(independent) > 1e-15, np.maximum(least, variance / independent), most)
    return Independence(effect, most, np.clip(np.asarray(telling, dtype=np.float64), 1, m - 1))


def of_rate(k: Array, size: Array) -> Independence:
    """Returns how independent episodes are in a success rate: k successes of size episodes, (..., m) of m objects."""
    n = size.sum(-1)
    rate = k.sum(-1) / n
    telling = np.minimum((k > 0).sum(-1), (k < size).sum(-1))
    deviations = (k - rate[..., None] * size) / n[..., None]
    return independence(deviations, rate * (1 - rate) / n, (size**2).sum(-1) / n, telling)


def of_pairs(only_a: Array, only_b: Array, size: Array) -> Independence:
    """Returns how independent starts are in a paired difference; arguments as of `of_rate`, by object."""
    n = size.sum(-1)
    a, b = only_a.sum(-1), only_b.sum(-1)
    difference = (a - b) / n
    deviations = (only_a - only_b - difference[..., None] * size) / n[..., None]
    telling = 2 * (only_a + only_b > 0).sum(-1)  # each can lean either way
    return independence(deviations, (a + b - (a - b) ** 2 / n) / n**2, (size**2).sum(-1) / n, telling)


def of_sides(k1: Array, size1: Array, k2: Array, size2: Array) -> Independence:
    """Returns how independent episodes are in the difference of two unpaired rates.

    Objects may be shared or not: where one side has none of an object's episodes, its size is 0.
    """
    n1, n2 = size1.sum(-1), size2.sum(-1)
    p1, p2 = k1.sum(-1) / n1, k2.sum(-1) / n2
    first = (k1 - p1[..., None] * size1) / n1[..., None]
    second = (k2 - p2[..., None] * size2) / n2[..., None]
    most = ((size1 / n1[..., None]) ** 2 + (size2 / n2[..., None]) ** 2).sum(-1) / (1 / n1 + 1 / n2)
    telling = 2 * np.minimum((k1 + k2 > 0).sum(-1), (k1 + k2 < size1 + size2).sum(-1))
    return independence(first - second, p1 * (1 - p1) / n1 + p2 * (1 - p2) / n2, most, telling, least=0.5)
