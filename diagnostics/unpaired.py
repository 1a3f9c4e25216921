"""Differences of two success rates whose episodes do not share starts: none is a match of one of the other side.

* `unpaired_episodes`: for new episodes of these objects: Newcombe's hybrid score interval.
* `unpaired_objects`: for new objects: the same of effective numbers of episodes. Two policies that meet the same
  objects fail on the same ones more often than not, which makes their difference more certain than independent
  episodes would: `clusters.of_sides` knows which object each episode is of, on both sides.
"""

from __future__ import annotations

from collections.abc import Callable

from toyshift.core.arrays import Array
from toyshift.diagnostics.clusters import of_sides
from toyshift.diagnostics.score_intervals import newcombe_interval, normal_quantile

Bounds = tuple[Array, Array]


def unpaired_episodes(k1: Array, size1: Array, k2: Array, size2: Array, confidence: float = 0.95) -> Bounds:
    """Returns the bounds of the first rate minus the second, from k successes of size episodes by object, (..., m)."""
    return newcombe_interval(k1.sum(-1), size1.sum(-1), k2.sum(-1), size2.sum(-1), normal_quantile(confidence))


def unpaired_objects(k1: Array, size1: Array, k2: Array, size2: Array, confidence: float = 0.95) -> Bounds:
    """Returns the same for new objects, of m > 1."""
    share = of_sides(k1, size1, k2, size2).share(confidence)
    first, second = (k1.sum(-1) * share, size1.sum(-1) * share), (k2.sum(-1) * share, size2.sum(-1) * share)
    return newcombe_interval(*first, *second, normal_quantile(confidence))


def p_value(bounds: Callable[[float], tuple[float, float]]) -> float:
    """Returns the p value that an interval has for "no difference": 1 minus the confidence at which it ends at 0.

    Args:
        bounds: confidence -> interval; it grows with the confidence.
    """
    low, high = 0.0, 1.0  # of p: rejected at low, not at high
    for _ in range(50):
        p = (low + high) / 2
        left, right = bounds(1 - p)
        if left > 0 or right < 0:
            high = p
        else:
            low = p
    return high
