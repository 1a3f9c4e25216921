"""Intervals against published values, limits and simulated coverage."""

from __future__ import annotations

import numpy as np
import pytest

from toyshift.core.errors import ConfigError
from toyshift.diagnostics.statistics import (
    Estimate,
    bootstrap_mean,
    bootstrap_ratio,
    clustered,
    holm,
    paired_difference,
    rate_ratio,
    wilson,
)


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


def rate(k: int, n: int) -> Estimate:
    return Estimate(k / n, *wilson(k, n), n)


def test_rate_ratio_is_the_delta_method_for_many_and_turns_over():
    half, most = rate(5000, 10_000), rate(8000, 10_000)
    ratio = rate_ratio(half, most)
    error = np.sqrt(0.5 / 5000 + 0.2 / 8000)  # of the ratio's logarithm
    assert ratio.value == 0.625
    assert ratio.n == 20_000
    assert np.log([ratio.low, ratio.high]) == pytest.approx(np.log(0.625) + 1.96 * error * np.array([-1, 1]), abs=5e-4)
    few = rate_ratio(rate(3, 9), rate(7, 9))
    turned = rate_ratio(rate(7, 9), rate(3, 9))
    assert (turned.low, turned.high) == pytest.approx((1 / few.high, 1 / few.low))
    assert rate_ratio(rate(6, 9), rate(6, 9)).value == 1.0


def test_rate_ratio_at_the_ends():
    nothing, all_, some = rate(0, 20), rate(20, 20), rate(10, 20)
    none_left = rate_ratio(nothing, some)
    assert (none_left.value, none_left.low) == (0.0, 0.0)
    assert none_left.high == pytest.approx(nothing.high / np.sqrt(some.low * (2 * some.value - some.low)))
    undefined = rate_ratio(some, nothing)
    assert np.isnan([undefined.value, undefined.low, undefined.high]).all()
    assert rate_ratio(all_, all_).low < 0.9  # a bootstrap would collapse to a point here
    assert rate_ratio(some, Estimate(1.0, 0.0, 1.0, 1)).high == np.inf  # one object says nothing of others
    assert np.isnan(rate_ratio(Estimate(np.nan, 0.0, 1.0, 0), some).value)


def test_rate_ratio_covers_the_ratio_of_new_objects():
    rng = np.random.default_rng(4)
    covered = naive = 0

    def play(mean, objects, episodes):
        rates = rng.beta(2 * mean, 2 * (1 - mean), size=objects)
        outcomes = rng.random(objects * episodes) < np.repeat(rates, episodes)
        labels = np.repeat(range(objects), episodes)
        return clustered(outcomes, labels), rate(outcomes.sum(), outcomes.size)

    for _ in range(400):
        (top, top_naive), (bottom, bottom_naive) = play(0.55, 28, 4), play(0.8, 50, 2)
        ratio, without = rate_ratio(top, bottom), rate_ratio(top_naive, bottom_naive)
        covered += ratio.low <= 0.55 / 0.8 <= ratio.high
        naive += without.low <= 0.55 / 0.8 <= without.high
    assert covered / 400 > 0.93
    assert naive / 400 < 0.88  # the reason for clustering


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_holm_keeps_the_promise_that_single_tests_break():
    rng = np.random.default_rng(5)
    p = rng.random((4000, 6))
    p[:, :2] *= 1e-4  # two differences are real, four are not
    wrong = np.mean([min(holm(row)[2:]) <= 0.05 for row in p])
    assert 0.03 < wrong < 0.06
    assert np.mean(p[:, 2:].min(axis=1) <= 0.05) > 0.15
