"""The shift matrix on planted rows: drops, ranking and interactions are what was planted."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy.stats import norm

from toyshift.core.errors import ConfigError
from toyshift.diagnostics.rows import Row
from toyshift.diagnostics.shift_matrix import (
    conditions,
    interaction,
    ranking,
    rates_by_condition,
    starts_of,
    to_json,
)
from toyshift.diagnostics.statistics import mcnemar

A, B = "camera-azimuth=3", "image-blur=3"
Plant = Callable[..., list[Row]]


@pytest.fixture
def plant(row: Callable[..., Row]) -> Plant:
    """Returns rows of one condition: episode i meets object i modulo `objects`."""

    def make(shift: str, won: Sequence[int], objects: int = 10, seed: int = 7) -> list[Row]:
        return [
            row(episode=i, success=bool(x), object_id=f"toy{i % objects}", shift=shift, seed=seed, purpose="test")
            for i, x in enumerate(won)
        ]

    return make


def first(k: int, n: int = 40) -> list[int]:
    """The first k of n episodes succeed, so that what fails with a higher k fails with a lower one."""
    return [int(i < k) for i in range(n)]


def test_drops_are_those_planted_and_tested_together(plant: Plant) -> None:
    rows = [*plant("", first(32)), *plant("image-blur=1", first(30)), *plant("image-blur=5", first(4)),
            *plant("object-mass=5", first(36))]
    found = {(x.factor, x.level): x for x in conditions(rows)}
    assert {key: round(40 * x.drop.difference.value) for key, x in found.items()} == {
        ("image-blur", 1): 2, ("image-blur", 5): 28, ("object-mass", 5): -4,
    }
    worst = found["image-blur", 5]
    assert (worst.n, worst.rate, worst.drop.only_a, worst.drop.only_b) == (40, 0.1, 28, 0)
    assert worst.drop.p_value == pytest.approx(2 * 0.5**28)  # exact McNemar
    assert worst.drop.difference.low < 0.7 < worst.drop.difference.high
    assert worst.drop.difference.n == 10  # objects
    p_values = [mcnemar(2, 0), mcnemar(28, 0), mcnemar(0, 4)]
    assert [one.drop.p_value for one in found.values()] == pytest.approx(p_values)


def test_factors_are_ranked_by_their_mean_drop_over_levels(plant: Plant) -> None:
    rows = [*plant("", first(30))]
    for factor, left in {"image-blur": (28, 2), "light-colour": (20, 12), "object-mass": (30, 30)}.items():
        rows += [row for level, k in zip((1, 5), left, strict=True) for row in plant(f"{factor}={level}", first(k))]
    found = ranking(rows)
    assert [x.factor for x in found] == ["image-blur", "light-colour", "object-mass"]
    assert [x.drop.value for x in found] == pytest.approx([15 / 40, 14 / 40, 0.0])
    assert all(x.drop.low < x.drop.value < x.drop.high for x in found)  # no interval collapses, at 0 either
    pairs = plant(f"{A},{B}", first(1))
    assert ranking([*rows, *pairs]) == found  # pairs are no factor


@pytest.mark.parametrize(("both", "planted"), [(4, 12), (16, 0), (24, -8)], ids=["compound", "add up", "less"])
def test_an_interaction_is_the_one_planted(plant: Plant, both: int, planted: int) -> None:
    # 40 starts: 32 without a shift, 8 fewer under each; added up they leave 16
    rows = [*plant("", first(32)), *plant(A, first(24)), *plant(B, first(24)), *plant(f"{A},{B}", first(both))]
    found = interaction(rows, A, B)
    assert (found.n, found.control, found.floor) == (40, 0.8, False)
    assert found.drops == pytest.approx((0.2, 0.2, 0.8 - both / 40))
    assert found.interaction.value == pytest.approx(planted / 40)


def test_the_interval_of_an_interaction_holds_what_was_planted_and_excludes_0_where_it_is_far(plant: Plant) -> None:
    rng = np.random.default_rng(0)
    u = rng.random((4, 400))
    for both, low_is_positive in ((0.05, True), (0.4, False)):
        rows = [row for shift, p, x in zip(("", A, B, f"{A},{B}"), (0.8, 0.6, 0.6, both), u, strict=True)
                for row in plant(shift, list((x < p).astype(int)), objects=100)]
        found = interaction(rows, A, B).interaction
        assert found.low < 0.8 - both - 0.4 < found.high
        assert (found.low > 0) == low_is_positive
        assert found.n == 100


def test_intervals_for_several_pairs_are_wider(plant: Plant) -> None:
    u = np.random.default_rng(1).random((4, 400))
    rows = [row for shift, p, x in zip(("", A, B, f"{A},{B}"), (0.8, 0.6, 0.6, 0.4), u, strict=True)
            for row in plant(shift, list((x < p).astype(int)), objects=100)]
    one, six = (interaction(rows, A, B, confidence=1 - 0.05 / k).interaction for k in (1, 6))
    # sums of 100 objects are nearly normal: half-widths are as its quantiles
    ratio = (six.high - six.low) / (one.high - one.low)
    assert ratio == pytest.approx(norm.ppf(1 - 0.05 / 12) / norm.ppf(0.975), rel=0.06)
    assert one == interaction(rows, A, B).interaction


def test_two_drops_that_exceed_what_there_is_to_lose_are_marked(plant: Plant) -> None:
    rows = [*plant("", first(20)), *plant(A, first(6)), *plant(B, first(5)), *plant(f"{A},{B}", first(0))]
    found = interaction(rows, A, B)
    assert found.floor
    assert found.interaction.value == pytest.approx((20 - 14 - 15) / 40)


def test_objects_that_are_all_alike_give_no_interval(plant: Plant) -> None:
    same = [row for shift in ("", A, B, f"{A},{B}") for row in plant(shift, first(40))]
    found = interaction(same, A, B)
    assert found.interaction.value == 0.0
    assert math.isnan(found.interaction.low)
    one = [row for shift in ("", A, B, f"{A},{B}") for row in plant(shift, first(20), objects=1)]
    assert math.isnan(interaction(one, A, B).interaction.high)
    assert json.loads(json.dumps(to_json(found)))["interaction"]["low"] is None


def test_only_shared_starts_are_compared(plant: Plant) -> None:
    own = [*plant("", first(30), seed=1), *plant("image-blur=5", first(10), seed=1)]
    others = [*plant("", first(0), seed=2), *plant("object-mass=5", first(0), seed=2)]
    drops = {x.factor: x.drop.difference.value for x in conditions([*own, *others])}
    assert drops == {"image-blur": 0.5, "object-mass": 0.0}  # each against the controls of its seed
    assert rates_by_condition([*own, *others]) == {
        "none": (0.375, 80), "image-blur=5": (0.25, 40), "object-mass=5": (0.0, 40)
    }  # fmt: skip
    with pytest.raises(ConfigError, match="no start was played without a shift"):
        interaction(own, A, B)
    with pytest.raises(ConfigError, match="share no"):
        conditions([*plant("", first(3), seed=1), *plant("image-blur=5", first(3), seed=2)])
    with pytest.raises(ConfigError, match="occurs twice"):
        starts_of([*own, *own])
