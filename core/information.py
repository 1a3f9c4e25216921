"""Entropy and normalised mutual information of discrete distributions, exact and estimated from counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array


def entropy(p: NDArray[Any], axis: int | tuple[int, ...] | None = None) -> Array:
    """Returns the entropy of probabilities over `axis` (all by default) [nats]."""
    values = np.asarray(p, dtype=np.float64)
    return np.asarray(-np.sum(values * np.log(np.where(values > 0, values, 1.0)), axis=axis))


def normalised_mutual_information(joint: NDArray[Any]) -> Array:
    """Returns NMI = 2 I(u; v) / (H(u) + H(v)): 0 for independent u and v, 1 where each determines the other.

    Args:
        joint: (..., A, B) joint probabilities.

    Returns:
        (...) values; NaN where neither u nor v varies, for which NMI is not defined.
    """
    p = np.asarray(joint, dtype=np.float64)
    return _ratio(entropy(p.sum(-1), -1), entropy(p.sum(-2), -1), entropy(p, (-2, -1)))


def estimated_mutual_information(counts: NDArray[Any]) -> Array:
    """Returns the NMI estimated from counts, with Miller and Madow's correction of the three entropies.

    Counting overestimates the dependence: n draws underestimate an entropy over K occupied cells by about
    (K - 1) / (2 n) nats, and the joint distribution has the most cells.

    Args:
        counts: (..., A, B) numbers of draws, at least one each.

    Returns:
        (...) estimates, which may lie slightly outside 0..1; NaN where neither u nor v varies.
    """
    n = np.asarray(counts, dtype=np.float64)
    total = n.sum((-2, -1), keepdims=True)
    halves = 0.5 / total[..., 0, 0]

    def corrected(cells: Array, axis: int | tuple[int, ...]) -> Array:
        return np.asarray(entropy(cells, axis) + halves * (np.count_nonzero(cells, axis=axis) - 1))

    p = n / total
    return _ratio(corrected(p.sum(-1), -1), corrected(p.sum(-2), -1), corrected(p, (-2, -1)))


def _ratio(u: Array, v: Array, both: Array) -> Array:
    varies = u + v > 0
    return np.asarray(np.where(varies, 2.0 * (u + v - both) / np.where(varies, u + v, 1.0), np.nan))
