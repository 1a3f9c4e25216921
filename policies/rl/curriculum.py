"""Prioritised level replay: half of the episodes with what goes worst, half with anything. A level is an object.

GROOVE's and PLR's: a level's chance is 1 / its rank by regret. Regret is 1 minus its success in the latest evaluation
that played it; what no evaluation has played comes among anything only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from toyshift.core.arrays import Array

REPLAYED = 0.5  # share of episodes


def replay_shares(ids: Sequence[str], success: Mapping[str, float]) -> Array:
    """Returns the chance of each object (N,) to be an episode's.

    Args:
        ids: of the set.
        success: of those that were evaluated; equal ones have the same rank.
    """
    even = np.full(len(ids), 1.0 / len(ids))
    if not success:
        return even
    rates = np.array([success.get(i, np.nan) for i in ids])
    known = ~np.isnan(rates)
    ranks = np.array([1 + (rates[known] < r).sum() + ((rates[known] == r).sum() - 1) / 2 for r in rates[known]])
    replayed = np.zeros(len(ids))
    replayed[known] = (1.0 / ranks) / (1.0 / ranks).sum()
    return np.asarray(REPLAYED * replayed + (1 - REPLAYED) * even)
