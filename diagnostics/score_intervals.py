"""Score intervals of rates and of differences of rates, from counts: pure functions of numbers or whole arrays.

A score interval holds the values that a test with the variance *under that value* does not reject. So it stays where
rates can be, and keeps its width where all episodes agree, which Wald's (estimate +- 2 standard errors) does not.
Counts may be fractional: effective numbers of episodes, where some share an object (`clusters.py`).

* `wilson_interval`: one rate (Wilson, 1927).
* `newcombe_interval`: difference of two rates of independent episodes, put together from Wilson's intervals of both
  (Newcombe, 1998, method 10).
* `tango_interval`: difference of two rates on the same starts (Tango, 1998).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from toyshift.core.arrays import Array

_HALVINGS = 48  # of the search for a bound: to 1e-14


def normal_quantile(confidence: float) -> float:
    """Returns how many standard errors reach so far: 1.96 for 0.95."""
    from scipy.stats import norm  # half a second of import, only when an interval is asked for

    return float(norm.ppf(0.5 + confidence / 2))


def wilson_interval(k: ArrayLike, n: ArrayLike, z: ArrayLike) -> tuple[Array, Array]:
    """Returns the bounds of k successes in n > 0 trials; z is the normal quantile, 1.96 for 95 %."""
    k, n, z2 = np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64), np.square(z)
    middle = (k + z2 / 2) / (n + z2)
    half = np.sqrt(z2 * (np.maximum(0.0, k * (n - k)) / n + z2 / 4)) / (n + z2)
    # At 0 and n successes the bound is the rate itself; rounding must not move it inwards.
    low = np.where(k <= 0.0, 0.0, np.maximum(0.0, middle - half))
    return low, np.where(k >= n, 1.0, np.minimum(1.0, middle + half))


def newcombe_interval(
    k1: ArrayLike, n1: ArrayLike, k2: ArrayLike, n2: ArrayLike, z: ArrayLike
) -> tuple[Array, Array]:
    """Returns the bounds of k1 / n1 - k2 / n2, of which no episode of one side says anything about one of the other."""
    p1, p2 = np.divide(k1, n1), np.divide(k2, n2)
    (low1, high1), (low2, high2) = wilson_interval(k1, n1, z), wilson_interval(k2, n2, z)
    down, up = np.hypot(p1 - low1, high2 - p2), np.hypot(high1 - p1, p2 - low2)
    return np.maximum(-1.0, p1 - p2 - down), np.minimum(1.0, p1 - p2 + up)


def tango_score(only_a: Array, only_b: Array, n: Array, difference: Array) -> Array:
    """Returns how many standard errors (under that difference) the counts lie above a difference of the rates."""
    # The share of episodes that only b solves, most likely under that difference: root of a quadratic equation.
    linear = -only_a - only_b + (2 * n - only_a + only_b) * difference
    root = np.sqrt(np.maximum(0.0, linear**2 + 8 * n * only_b * difference * (1 - difference)))
    share = (root - linear) / (4 * n)
    variance = n * (2 * share + difference * (1 - difference))
    above = only_a - only_b - n * difference
    with np.errstate(divide="ignore", invalid="ignore"):
        certain = np.where(above == 0.0, 0.0, np.sign(above) * np.inf)
        return np.asarray(np.where(variance > 1e-12, above / np.sqrt(variance), certain))


def tango_interval(only_a: ArrayLike, only_b: ArrayLike, n: ArrayLike, z: ArrayLike) -> tuple[Array, Array]:
    """Returns the bounds of the difference of two rates on n > 0 shared starts.

    Args:
        only_a, only_b: starts that only the first side solved, and only the second.
        n: all starts.
        z: normal quantile.
    """
    a, b, n, z = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (only_a, only_b, n, z)))
    middle = (a - b) / n
    sign = np.array([-1.0, 1.0]).reshape(2, *[1] * middle.ndim)  # of the lower and the upper bound, found side by side
    inside, outside = np.stack([middle, middle]), sign * np.ones_like(middle)
    for _ in range(_HALVINGS):  # the score falls with the difference, so halving finds where it reaches -+z
        half = (inside + outside) / 2
        within = -sign * tango_score(a, b, n, half) <= z
        inside, outside = np.where(within, half, inside), np.where(within, outside, half)
    return np.asarray(outside[0]), np.asarray(outside[1])
