"""Bits: tails of known distributions, a process that knows its examples, and shifts that cost nothing or something."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import chi2, ncx2

from toyshift.core.arrays import Array
from toyshift.diagnostics.measuring.bits import bits, examples_of
from toyshift.diagnostics.measuring.demonstrations import Demonstrations
from toyshift.diagnostics.measuring.finding import Findings
from toyshift.diagnostics.measuring.hypotheses import (
    Components,
    Hypotheses,
    chance_of_sum,
    chance_within,
    dimension,
)
from toyshift.policies.network.policy import Policy


@pytest.mark.parametrize("chance", [1e-9, 1e-3, 0.2, 0.5, 0.6, 0.9, 0.999])
def test_the_saddle_point_is_a_noncentral_chi_squared_where_all_weights_are_equal(chance: float) -> None:
    for k, lam in ((3, 0.0), (12, 4.0)):
        eps = float(ncx2.ppf(chance, k, lam)) if lam else float(chi2.ppf(chance, k))
        found = chance_of_sum(np.full(k, 2.0), np.full(k, (lam / k) ** 0.5), 2 * eps)
        assert math.exp(found) == pytest.approx(chance, rel=0.04)


def test_the_saddle_point_is_right_of_uneven_sums_where_a_fit_by_moments_is_not() -> None:
    rng = np.random.default_rng(0)
    weight, shift = np.exp(1.5 * rng.normal(size=30)), 0.5 * rng.normal(size=30)
    sums = (weight * (rng.normal(size=(100_000, 30)) + shift) ** 2).sum(axis=1)
    for share in (0.003, 0.1, 0.5, 0.8):
        eps = float(np.quantile(sums, share))
        assert math.exp(chance_of_sum(weight, shift, eps)) == pytest.approx(share, rel=0.25)
    assert math.exp(chance_within(sums, float(np.quantile(sums, 0.001)))) > 0.003
    with np.errstate(all="raise"):  # far out it is a number still
        assert -chance_of_sum(weight, shift, 1e-6) > 100


def test_where_the_distribution_is_0_to_the_computer_sankaran_tells() -> None:
    errors = 50.0 + np.random.default_rng(0).normal(size=2000)
    assert -chance_within(errors, 1.0) > 500
    assert chance_within(np.full(10, 2.0), 3.0) == 0.0
    assert chance_within(np.full(10, 2.0), 1.0) == -math.inf


def test_a_process_knows_its_examples() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3))
    y = np.tanh(x @ rng.normal(size=(3, 2)))
    process = Hypotheses(x, y, 2.0, 1e-6)
    mean, covariance = process.at(x)
    assert np.allclose(mean, y, atol=0.02)
    assert np.diag(covariance).max() < 0.01
    far, unsure = process.at(x + 100)
    assert np.allclose(far, 0)
    assert np.allclose(np.diag(unsure), 1)


def test_components_are_those_of_the_covariance() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 2)) @ rng.normal(size=(2, 6)) + 3
    parts = Components.of(x, 4)
    assert parts.basis.shape == (6, 2)  # no more than there are
    assert np.allclose(parts(x).var(axis=0), parts.spread)
    assert np.allclose(parts(x) @ parts.basis.T + parts.mean, x)


def test_points_that_coincide_have_no_dimension() -> None:
    assert math.isnan(dimension(np.zeros((50, 3))))
    assert math.isnan(dimension(np.zeros((3, 3))))


def measured(own_error: float, examples: int = 120, objects: int = 15, **moved: float) -> Findings:
    rng = np.random.default_rng(1)
    rule, x = rng.normal(size=(4, 6)), rng.normal(size=(examples + 60, 4))
    y = x @ rule + 0.05 * rng.normal(size=(len(x), 6))
    own = y[examples:] + own_error * rng.normal(size=(60, 6))
    tests: dict[str, tuple[Array, Array]] = {"": (x[examples:], y[examples:])}
    tests |= {name: (x[examples:] + np.array([far, 0, 0, 0]), y[examples:]) for name, far in moved.items()}
    return bits(x[:examples], y[:examples], tests, own, [str(i % objects) for i in range(60)], subject="p")


def test_a_shift_costs_the_more_the_further_features_are_moved() -> None:
    none, near, far = measured(0.3, light=0.0, azimuth=0.3, table=0.8).found
    assert none.value.value == 0.0
    assert (none.subject, none.card) == ("p, light", "")
    assert none.verdict.startswith("another light is not shown to demand more")
    assert 0 < near.value.value < far.value.value
    assert far.value.low > 0
    assert far.card.startswith("+")
    assert "bits [" in far.card
    assert far.caveats[0].startswith("right is a squared error up to 0.1")  # 1.5 times 0.3 squared
    plain, under = far.table
    assert under["bits"] - plain["bits"] == pytest.approx(far.value.value)
    assert math.isnan(under["by draws"]) or under["by draws"] <= 15
    assert far.value == measured(0.3, light=0.0, table=0.8).found[1].value  # deterministic


def test_what_is_undefined_says_why() -> None:
    assert "the policy makes no error without a shift" in measured(0.0, table=1.0).found[0].verdict
    assert "20 examples or more, there are 10" in measured(0.3, examples=10, table=1.0).found[0].verdict
    assert "there is one" in measured(0.3, objects=1, table=1.0).found[0].verdict
    few = measured(0.3, objects=4, table=1.0).found[0]
    assert few.verdict.startswith("too few objects to tell what the table demands")
    assert few.card == ""


def test_examples_are_whole_chunks_in_standard_deviations(shown: Demonstrations, policy: Policy) -> None:
    features, actions = examples_of(policy, shown)
    every = shown.source.windows.batch(np.arange(len(shown.source.windows)))
    chunks = every["action"][~every["action_is_pad"].any(axis=1)].reshape(-1, 4)  # std is 1
    assert features.shape[1] == policy.head_reads
    assert 1 <= len(actions) <= len(shown.length)
    assert all(np.isclose(chunks, action).all(axis=1).any() for action in actions)
    assert np.array_equal(examples_of(policy, shown)[0], features)
    assert not np.array_equal(examples_of(policy, shown, seed=1)[1], actions)
