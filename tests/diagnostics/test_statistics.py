"""Intervals against published values, limits and simulated coverage."""

from __future__ import annotations

import numpy as np
import pytest

from toyshift.core.errors import ConfigError
from toyshift.diagnostics.statistics import bootstrap_mean, bootstrap_ratio, clustered, paired_difference, wilson


def test_wilson_is_the_root_of_the_score_equation():
    z = 1.959963984540054
    for k, n in ((0, 10), (3, 10), (81, 263), (50, 50)):
        for bound in wilson(k, n):
            if 0 < bound < 1:
                assert abs(k / n - bound) == pytest.approx(z * np.sqrt(bound * (1 - bound) / n), abs=1e-9)
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998, method 3
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("k", "n"), [(5, 3), (-1, 3), (1, -1)])
def test_wilson_refuses_impossible_counts(k, n):
    with pytest.raises(ConfigError, match="successes"):
        wilson(k, n)


def test_clustering_widens_only_when_objects_differ():
    mixed = np.tile([0, 1], 100)
    labels = np.repeat(np.arange(50), 4)
    even, spread = clustered(mixed, labels), clustered(np.sort(mixed), labels)
    low, high = wilson(100, 200)
    assert even.value == spread.value == 0.5
    assert high - low < even.high - even.low < 1.06 * (high - low)  # only Student's t
    assert spread.high - spread.low > 1.9 * (high - low)  # four equal outcomes per object: a quarter of the information
    assert clustered(mixed, np.zeros(200)).low == 0.0
    assert clustered(mixed, np.zeros(200)).high == 1.0


def test_clustered_keeps_a_width_at_the_ends_and_ignores_order():
    labels = np.repeat(np.arange(10), 5)
    perfect = clustered(np.ones(50), labels)
    assert perfect.high == pytest.approx(1.0)
    assert 0.5 < perfect.low < wilson(50, 50)[0]
    rng = np.random.default_rng(0)
    outcomes, order = rng.random(50) < 0.4, rng.permutation(50)
    assert clustered(outcomes, labels) == clustered(outcomes[order], labels[order])


def test_clustered_covers_the_rate_of_new_objects():
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(30), 5)
    covered = naive = 0
    for _ in range(400):
        rates = rng.beta(0.8, 1.2, size=30)  # mean 0.4, strongly different objects
        outcomes = rng.random(150) < np.repeat(rates, 5)
        estimate = clustered(outcomes, labels)
        covered += estimate.low <= 0.4 <= estimate.high
        low, high = wilson(outcomes.sum(), 150)
        naive += low <= 0.4 <= high
    assert covered / 400 > 0.92
    assert naive / 400 < 0.88  # the reason for clustering


def test_bootstrap_ratio_matches_the_delta_method_and_is_seeded():
    rng = np.random.default_rng(2)
    bottom = rng.gamma(20, 0.1, size=400)
    top = 0.5 * bottom + rng.normal(0, 0.1, size=400)
    estimate = bootstrap_ratio(top, bottom, seed=3)
    error = np.std(top - estimate.value * bottom, ddof=1) / np.sqrt(400) / bottom.mean()
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * error, rel=0.08)
    assert estimate == bootstrap_ratio(top, bottom, seed=3)
    assert estimate != bootstrap_ratio(top, bottom, seed=4)
    assert bootstrap_ratio(3 * top, bottom, seed=3).low == pytest.approx(3 * estimate.low)


def test_bootstrap_of_degenerate_ratios_stays_honest():
    assert bootstrap_ratio(np.ones(5), np.zeros(5)).value == float("inf")
    assert np.isnan(bootstrap_ratio(np.zeros(5), np.zeros(5)).value)
    assert bootstrap_ratio([], []).n == 0
    assert bootstrap_mean(np.ones(7)).low == 1.0


def test_cluster_bootstrap_is_wider_than_one_over_scenes():
    values = np.repeat(np.random.default_rng(0).normal(size=10), 10)
    clusters = np.repeat(np.arange(10), 10)
    by_cluster, by_value = bootstrap_mean(values, clusters), bootstrap_mean(values)
    assert by_cluster.n == 10
    assert by_cluster.high - by_cluster.low > 2 * (by_value.high - by_value.low)


def test_paired_difference():
    a = np.array([1] * 30 + [0] * 10, dtype=bool)
    b = np.array([1] * 10 + [0] * 20 + [1] * 2 + [0] * 8, dtype=bool)
    labels = np.arange(40)
    result = paired_difference(a, b, labels)
    assert (result.only_a, result.only_b, result.both, result.neither) == (20, 2, 10, 8)
    assert result.difference.value == pytest.approx(18 / 40)
    assert result.difference.low > 0.2
    assert result.p_value == pytest.approx(0.000121117, rel=1e-4)  # 2 * P(Binomial(22, 1/2) <= 2)
    swapped = paired_difference(b, a, labels)
    mirrored = (-result.difference.high, -result.difference.low)
    assert (swapped.difference.low, swapped.difference.high) == pytest.approx(mirrored)
    same = paired_difference(a, a, labels)
    assert same.difference.low < 0 < same.difference.high
    assert same.p_value == 1.0
