"""Design effects: known ones, their limits, and that p values agree with intervals."""

from __future__ import annotations

import numpy as np
import pytest

from toyshift.diagnostics.clusters import of_pairs, of_rate, of_sides
from toyshift.diagnostics.score_intervals import normal_quantile, tango_score
from toyshift.diagnostics.statistics import clustered, mcnemar, paired_difference, paired_interval, wilson
from toyshift.diagnostics.unpaired import p_value, unpaired_episodes, unpaired_objects


def test_design_effect_is_that_of_the_intra_object_correlation():
    rng = np.random.default_rng(0)
    each, icc = 6, 0.25
    skill = rng.beta(0.4 * 3, 0.6 * 3, size=20_000)  # icc 1 / (3 + 1)
    k = rng.binomial(each, skill).astype(float)
    assert of_rate(k, np.full_like(k, each)).effect == pytest.approx(1 + (each - 1) * icc, rel=0.03)


def test_objects_that_are_equal_inside_count_once():
    k = np.repeat([0.0, 8.0], 30)
    size = np.full(60, 8.0)
    found = of_rate(k, size)
    assert found.effect == pytest.approx(8, rel=0.02)
    assert found.share(0.95) == pytest.approx(1 / 8)  # not less, in spite of Student's t: 60 objects are 60 draws
    labels = np.repeat(range(60), 8)
    estimate = clustered(np.repeat(k > 0, 8), labels)
    assert (estimate.low, estimate.high) == pytest.approx(wilson(30, 60))


def test_one_episode_of_each_object_needs_no_correction():
    outcomes = np.arange(30) % 3 == 0
    estimate = clustered(outcomes, range(30))
    assert (estimate.low, estimate.high) == pytest.approx(wilson(10, 30))


def test_few_objects_that_hold_all_successes_are_the_ones_that_count():
    spread, few = np.zeros(40), np.zeros(40)
    spread[:12], few[:2] = 1, 6  # 12 successes in 400 episodes, both
    size = np.full(40, 10.0)
    assert of_rate(spread, size).freedom == 12
    assert of_rate(few, size).freedom == 2
    assert of_rate(few, size).share(0.95) < 0.3 * of_rate(spread, size).share(0.95)


def test_new_objects_are_less_certain_than_these_where_objects_differ():
    a = np.repeat([True, False], 40)
    b = np.repeat([True, False, True, False], 20)
    alike, apart = paired_difference(a, b, np.arange(80)), paired_difference(a, b, np.repeat(np.arange(16), 5))
    assert (alike.difference.low, alike.difference.high) == pytest.approx(
        (alike.episodes().low, alike.episodes().high)
    )
    assert apart.difference.low < alike.difference.low < alike.difference.high < apart.difference.high
    assert apart.episodes() == alike.episodes()
    one = paired_difference(a, b, np.zeros(80)).difference
    assert (one.low, one.high, one.n) == (-1.0, 1.0, 1)


def test_policies_that_fail_on_the_same_objects_are_told_apart_more_surely():
    hard = np.tile([1.0, 9.0], 10)  # of 10 episodes each
    size = np.full(20, 10.0)
    turned = hard[::-1].copy()
    same, other = of_sides(hard + 1, size, hard, size), of_sides(turned + 1, size, hard, size)
    assert same.effect == 0.5  # as little as is believed
    assert other.effect > 2
    low, high = unpaired_objects(hard + 1, size, hard, size)
    assert np.subtract(high, low) < np.subtract(*unpaired_episodes(hard + 1, size, hard, size)[::-1])


def test_p_values_are_at_the_level_whose_interval_ends_at_zero():
    only_a, only_b, size = np.array([3.0, 1, 4, 0, 2, 3]), np.array([0.0, 1, 0, 2, 0, 1]), np.full(6, 8.0)
    found = of_pairs(only_a, only_b, size)
    p = float(found.p_value(tango_score(only_a.sum(), only_b.sum(), size.sum(), np.zeros(()))))
    assert 0.01 < p < 0.2
    assert paired_interval(only_a, only_b, size, 1 - p)[0] == pytest.approx(0, abs=1e-4)
    k1, k2 = np.array([6.0, 7, 5]), np.array([3.0, 2, 4])
    own = p_value(lambda c: unpaired_episodes(k1, size[:3], k2, size[:3], c))  # type: ignore[arg-type, return-value]
    assert unpaired_episodes(k1, size[:3], k2, size[:3], 1 - own)[0] == pytest.approx(0, abs=1e-6)
    assert own == pytest.approx(0.0091, abs=0.003)  # pooled score test: z = 2.6
    assert mcnemar(0, 0) == 1.0
    assert normal_quantile(0.9) == pytest.approx(1.6449, abs=1e-4)
