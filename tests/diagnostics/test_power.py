"""Plans against textbook figures and against simulations of the tests that they plan for."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from toyshift.core.errors import ConfigError
from toyshift.diagnostics.clusters import of_pairs
from toyshift.diagnostics.power import (
    Design,
    episodes_needed,
    objects_needed,
    pairs_needed,
    plan,
    power_for_episodes,
    power_for_objects,
)
from toyshift.diagnostics.score_intervals import tango_score
from toyshift.diagnostics.statistics import mcnemar
from toyshift.diagnostics.unpaired import unpaired_episodes

RUNS = 2000


def pairs_of(design: Design) -> np.ndarray:
    """Shares of starts that both solve, only one, only the other, neither."""
    only = (design.separating - design.difference) / 2, (design.separating + design.difference) / 2
    both = design.rate - only[0]
    return np.array([both, *only, 1 - both - sum(only)])


def test_unpaired_is_the_textbooks():
    assert episodes_needed(Design(0.8, 0.05)) == pytest.approx(906, abs=1)  # without continuity correction
    assert episodes_needed(Design(0.6, 0.1, power=0.9)) == pytest.approx(477, abs=1)


def test_power_of_mcnemar_is_that_of_the_exact_test():
    design = Design(0.7, 0.12, correlation=0.3)
    counts = np.random.default_rng(0).multinomial(90, pairs_of(design), size=RUNS)
    found = np.mean([mcnemar(int(b), int(a)) <= 0.05 for _, a, b, _ in counts])
    assert power_for_episodes(design, 90) == pytest.approx(found, abs=3 * np.sqrt(0.25 / RUNS))
    n = episodes_needed(design)
    assert power_for_episodes(design, n) >= 0.8 > power_for_episodes(design, int(0.9 * n))


def test_pairs_are_those_of_the_exact_test_and_of_a_design():
    """Connor's formula says 234, with which the exact test has less power than was asked for."""
    pairs = pairs_needed(0.1, 0.3)
    counts = np.random.default_rng(3).multinomial((234, pairs), [0.2, 0.1, 0.7], size=(20_000, 2))
    won, lost = counts[..., 0], counts[..., 1]
    formula, exact = np.mean(2 * binom.cdf(np.minimum(won, lost), won + lost, 0.5) <= 0.05, axis=0)
    assert formula < 0.78
    assert exact == pytest.approx(0.8, abs=0.012)
    assert pairs_needed(-0.1, 0.3) == pairs
    design = Design(0.6, 0.1, correlation=0.3)
    assert episodes_needed(design) == pairs_needed(0.1, design.separating)
    for wrong in ((0.4, 0.3), (0.0, 0.3), (0.1, 0.0)):
        with pytest.raises(ConfigError, match="can be planned for"):
            pairs_needed(*wrong)


def test_power_of_unpaired_episodes_is_found_in_simulation():
    design = Design(0.7, 0.15)
    n = episodes_needed(design)
    rng = np.random.default_rng(1)
    k1, k2 = (rng.binomial(n, p, size=(RUNS, 1)).astype(float) for p in (design.other, design.rate))
    size = np.full((RUNS, 1), float(n))
    low, high = unpaired_episodes(k1, size, k2, size)
    assert np.mean((low > 0) | (high < 0)) == pytest.approx(0.8, abs=0.03)


def test_power_for_new_objects_is_found_in_simulation():
    design = Design(0.6, 0.15, correlation=0.2, each=6, icc=0.15)
    objects = objects_needed(design)
    rng = np.random.default_rng(2)
    drawn = rng.gamma(pairs_of(design) * (1 / design.icc - 1), size=(RUNS, objects, 4))
    counts = rng.multinomial(design.each, drawn / drawn.sum(-1, keepdims=True)).astype(float)
    b, a, size = counts[..., 1], counts[..., 2], np.full((RUNS, objects), float(design.each))
    p = of_pairs(a, b, size).p_value(tango_score(a.sum(-1), b.sum(-1), size.sum(-1), np.zeros(RUNS)))
    assert np.mean(p <= 0.05) == pytest.approx(0.8, abs=0.05)
    assert power_for_objects(design, objects) >= 0.8 > power_for_objects(design, objects - 3)


def test_more_is_needed_for_less_and_pairing_helps_as_far_as_starts_decide():
    needed = [episodes_needed(Design(0.8, d, correlation=0.3)) for d in (0.15, 0.1, 0.05, -0.05)]
    assert needed == sorted(needed)
    shared = [episodes_needed(Design(0.8, 0.05, correlation=c)) for c in (0.6, 0.3, 0.0)]
    assert shared == sorted(shared)
    assert shared[0] < 0.5 * episodes_needed(Design(0.8, 0.05))
    many = Design(0.8, 0.1, correlation=0.3, comparisons=5)
    assert episodes_needed(many) > 1.3 * episodes_needed(Design(0.8, 0.1, correlation=0.3))
    alike, apart = Design(0.8, 0.1, each=10, icc=0.0), Design(0.8, 0.1, each=10, icc=0.5)
    assert objects_needed(apart) == pytest.approx(5.5 * objects_needed(alike), rel=0.1)


def test_extremes_have_a_plan_and_nonsense_has_none():
    for design in (Design(0, 0.01), Design(1, -0.5, correlation=0.0), Design(0, 1, correlation=0.0), Design(0, 1)):
        found = plan(design, given=40)
        assert found.episodes >= 1
        assert found.objects >= 2
        assert found.power is not None
        assert all(0 <= p <= 1 for p in found.power)
    for wrong, told in (
        ({"rate": 0.9, "difference": 0.2}, "110 %"), ({"rate": 0.5, "difference": 0.0}, "difference of 0"),
        ({"rate": 0.5, "difference": 0.1, "icc": 2.0}, "icc"),
        ({"rate": 0.5, "difference": 0.1, "power": 0.01}, "power"),
        ({"rate": 0.8, "difference": 0.15, "correlation": 0.9}, "at most"),
        ({"rate": 0.8, "difference": 0.1, "correlation": -0.5}, r"at least -0\.17, not -0\.5"),
        ({"rate": 0.05, "difference": 0.1, "correlation": -0.2}, r"at least -0\.10, not -0\.2"),
        ({"rate": 0.5, "difference": 0.1, "correlation": 1.5}, "correlation must be from -1 to 1"),
        *(({"rate": 0.5, "difference": 0.1, name: value}, f"{name} is {value}; it must be a finite number")
          for name in ("rate", "difference", "correlation", "icc") for value in (float("nan"), float("inf"))),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=told):
            Design(**wrong)  # type: ignore[arg-type]
    farthest = Design(0.3, 0.4, correlation=-1.0)  # just one of both solves each start
    assert farthest.separating == pytest.approx(1)
    assert plan(farthest).episodes >= 1
    with pytest.raises(ConfigError, match="larger difference"):
        plan(Design(0.5, 1e-5))


def test_more_episodes_than_anyone_plays_are_refused() -> None:
    with pytest.raises(ConfigError, match="episodes is 1,000,000,000; it must be at most"):
        plan(Design(0.8, 0.05), 1_000_000_000)
