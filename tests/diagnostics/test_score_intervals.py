"""Score intervals against published values, the equations that define them, and limits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from toyshift.diagnostics.score_intervals import (
    newcombe_interval,
    normal_quantile,
    tango_interval,
    tango_score,
    wilson_interval,
)

Z = normal_quantile(0.95)


def test_newcombe_is_as_published():
    assert newcombe_interval(56, 70, 48, 80, Z) == pytest.approx((0.0524, 0.3339), abs=5e-5)  # Newcombe 1998, (a)
    assert newcombe_interval(9, 10, 3, 10, Z) == pytest.approx((0.1705, 0.8090), abs=5e-5)  # (b)
    assert newcombe_interval(10, 10, 0, 20, Z) == pytest.approx((0.6791, 1.0), abs=5e-5)  # (g)


def test_tango_bounds_are_where_the_score_reaches_the_quantile():
    a, b, n = np.array([9, 30, 1, 0.5]), np.array([4, 2, 0, 3.2]), np.array([40, 60, 44, 20.5])
    low, high = tango_interval(a, b, n, Z)
    assert tango_score(a, b, n, low) == pytest.approx(Z, abs=1e-6)
    assert tango_score(a, b, n, high) == pytest.approx(-Z, abs=1e-6)


@pytest.mark.parametrize("difference", [-0.3, -0.05, 0.0, 0.2, 0.6])
def test_the_score_uses_the_most_likely_share_under_a_difference(difference):
    """Tango's variance needs the constrained maximum of the likelihood, found here by search."""
    a, b, n = 9, 4, 40

    def loss(share: float) -> float:  # of starts that only b solves
        ways = np.array([share + difference, share, 1 - 2 * share - difference])
        return float(-np.dot([a, b, n - a - b], np.log(ways))) if (ways > 0).all() else np.inf

    least, most = max(0.0, -difference), (1 - difference) / 2
    share = minimize_scalar(loss, bounds=(least + 1e-9, most - 1e-9), method="bounded", options={"xatol": 1e-12}).x
    score = (a - b - n * difference) / np.sqrt(n * (2 * share + difference - difference**2))
    assert tango_score(np.float64(a), np.float64(b), np.float64(n), np.float64(difference)) == pytest.approx(score)


def test_without_a_difference_the_score_is_mcnemars():
    score = tango_score(np.float64(12), np.float64(5), np.float64(100), np.float64(0))
    assert score == pytest.approx(7 / np.sqrt(17))


def test_intervals_turn_over_and_keep_a_width_at_the_ends():
    for interval, counts, turned in (
        (tango_interval, (9, 2, 40), (2, 9, 40)),
        (newcombe_interval, (9, 20, 2, 30), (2, 30, 9, 20)),
    ):
        low, high = interval(*counts, Z)
        assert interval(*turned, Z) == pytest.approx((-high, -low))
    for counts in ((0, 0, 20), (20, 0, 20), (0, 20, 20)):
        low, high = tango_interval(*counts, Z)
        assert -1 <= low < high <= 1
        assert high - low > 0.1
    for k1, k2 in ((0, 0), (20, 20), (20, 0)):
        low, high = newcombe_interval(k1, 20, k2, 20, Z)
        assert -1 <= low <= (k1 - k2) / 20 <= high <= 1
        assert high - low > 0.1
    assert wilson_interval(np.array([0, 20]), 20, Z)[0][0] == 0.0
    assert wilson_interval(np.array([0, 20]), 20, Z)[1][1] == 1.0
