"""Objects' failures against luck, and trends over policies: planted truths, coins, and rows that say nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm, page_trend_test

from toyshift.core.errors import ConfigError
from toyshift.diagnostics.comparing.trials import Trial
from toyshift.diagnostics.measures import Asked
from toyshift.diagnostics.measuring.consistency import (
    consistency,
    consistency_of,
    page_trend,
    progression,
    progression_of,
    variants_of,
)
from toyshift.diagnostics.measuring.planted import by_object, coins, helpful, rows_of
from toyshift.diagnostics.rows import Row, write_rows


@pytest.fixture
def asked(tmp_path: Path) -> Callable[..., Asked]:
    """Writes files of rows, and asks about them."""

    def make(*files: list[Row]) -> Asked:
        paths = [write_rows(tmp_path / f"{i}.parquet", rows, {}) for i, rows in enumerate(files)]
        common = {"objects": "", "scenes": 2, "looks": 1, "trials": 0, "camera": "front", "seed": 0, "out": tmp_path}
        return Asked(rows=tuple(map(str, paths)), **common)

    return make


def test_failures_that_are_the_objects_are_found() -> None:
    found = consistency(by_object(12, 16, 4))
    assert found.value.value == 12 / 28
    assert found.null == pytest.approx((12 / 28) ** 4)
    (line,) = found.table
    assert line["ratio"] == pytest.approx((28 / 12) ** 3)
    assert (line["always"], line["never"], line["variants"]) == (12, 16, 4)
    assert line["p"] < 0.001
    said = "failures are the object's: 43 % of 28 objects always succeed, luck would leave 3 %"
    assert found.verdict.startswith(said)
    assert found.card


def test_luck_is_what_dealing_outcomes_out_within_each_variant_leaves() -> None:
    won = coins(0.7, (30, 3), 1)
    rng = np.random.default_rng(0)
    dealt = [rng.permuted(won, axis=0).all(axis=1) for _ in range(4000)]
    found = consistency(won)
    assert found.null == pytest.approx(np.mean(dealt), abs=0.004)
    as_many = np.mean([d.sum() >= won.all(axis=1).sum() for d in dealt])
    assert found.table[0]["p"] == pytest.approx(as_many, abs=0.03)


def test_coins_raise_an_alarm_at_most_once_in_twenty() -> None:
    found = [consistency(coins(0.8, (28, 6), seed)) for seed in range(200)]
    assert np.mean([one.card != "" for one in found]) <= 0.08
    assert np.mean([one.value.value for one in found]) == pytest.approx(0.8**6, abs=0.02)
    ratios = [one.table[0]["ratio"] for one in found]
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize(
    ("won", "why"),
    [
        (np.ones((5, 3), bool), "every episode succeeded"), (np.zeros((5, 3), bool), "no episode succeeded"),
        (coins(0.5, (1, 6)), "one object says nothing of others"), (coins(0.5, (6, 1)), "6 objects in 1 variants"),
        (np.zeros((0, 0), bool), "0 objects in 0 variants"),
    ],
)  # fmt: skip
def test_consistency_that_is_undefined_says_why(won: np.ndarray, why: str) -> None:
    found = consistency(won)
    assert math.isnan(found.value.value)
    assert found.verdict.startswith(f"undefined: {why}")
    with pytest.raises(ConfigError, match=r"shape \(3,\)"):
        consistency(np.ones(3, bool))


def test_an_episode_under_each_shift_is_a_variant_and_what_does_not_fit_is_told() -> None:
    met = {"a": ["", "", "x"], "b": ["", "x", "x"], "c": [""]}
    trials = [Trial("g", item, None, item == "a", "", shift) for item, shifts in met.items() for shift in shifts]
    won, notes = variants_of(trials)
    assert won.tolist() == [[True, True], [False, False]]
    assert notes == (
        "1 objects that did not meet every shift are left out",
        "2 episodes beyond those that every object has are left out",
    )


def test_files_of_one_policy_are_put_together(asked: Callable[..., Asked]) -> None:
    files = rows_of("p", by_object(5, 5, 2)), rows_of("p", by_object(5, 5, 2), shift="camera-azimuth=2")
    (found,) = consistency_of(asked(*files)).found
    assert found.subject == "p on planted"
    assert found.table[0]["variants"] == 4
    assert found.verdict.startswith("failures are the object's or its start's")  # starts return under the shift
    with pytest.raises(ConfigError, match="more than once"):
        consistency_of(asked(files[0], files[0]))


def test_pages_trend_is_scipys_where_there_are_no_ties() -> None:
    rates = np.random.default_rng(3).random((40, 5)) + np.arange(5) / 20
    assert norm.sf(page_trend(rates)) == pytest.approx(page_trend_test(rates, method="asymptotic").pvalue)
    always = np.concatenate([rates, np.ones((200, 5))])  # objects that always succeed take no power away
    assert page_trend(always) == pytest.approx(page_trend(rates))
    assert page_trend_test(always, method="asymptotic").pvalue > 2 * norm.sf(page_trend(rates))
    assert page_trend(np.ones((4, 3))) == 0.0


def test_more_that_helps_is_found_under_its_shift_alone() -> None:
    names = ["small", "middle", "large"]
    shifts = {"": helpful((0.4, 0.5, 0.6), 200, 10), "latency=3": helpful((0.5, 0.5, 0.5), 200, 10, seed=1)}
    found = progression(shifts, names)
    assert found.value.value == pytest.approx(0.1, abs=0.02)
    assert found.value.low > 0.05
    assert found.verdict == "from small to large success rises without a shift; shows no trend under latency=3"
    assert progression({"": shifts[""][:, ::-1]}, names[::-1]).verdict.endswith("success falls without a shift")
    assert [line["shift"] for line in found.table] == ["-", "latency=3"]


def test_a_trend_in_coins_is_seen_once_in_twenty() -> None:
    names = ["a", "b", "c", "d"]
    alarms = [progression({"": helpful((0.7,) * 4, 25, 4, seed)}, names).card != "" for seed in range(200)]
    assert 0.01 <= np.mean(alarms) <= 0.09
    several = [
        progression({str(i): helpful((0.7,) * 4, 25, 4, 5 * seed + i) for i in range(5)}, names).card != ""
        for seed in range(100)
    ]
    assert np.mean(several) <= 0.1  # Holm: of five shifts together


def test_policies_come_in_the_order_of_their_files(asked: Callable[..., Asked]) -> None:
    files = [rows_of(name, by_object(good, 20 - good, 2)) for name, good in (("s", 2), ("m", 9), ("l", 18))]
    files.append(rows_of("oracle", by_object(20, 0, 2)))
    (found,) = progression_of(asked(*files)).found
    assert found.verdict == "from s to l success rises without a shift"
    assert found.value.value == pytest.approx(0.4)
    (found,) = progression_of(asked(*files[:2])).found
    assert found.verdict == "undefined: 2 policies are no row; give 3 or more, the least first"
    (found,) = progression_of(asked(files[3])).found
    assert found.verdict == "undefined: only references (oracle, random) are there"
    apart = [rows_of(name, by_object(1, i, 1), shift=name) for i, name in enumerate("abc")]
    (found,) = progression_of(asked(*apart)).found
    assert found.verdict == "undefined: no two objects were met by every policy under one shift"


def test_fewer_than_eight_objects_show_nothing_of_a_trend() -> None:
    names = ["a", "b", "c", "d"]
    rising = np.tile(np.linspace(0.1, 0.9, 4), (8, 1))
    assert page_trend(rising[:2]) > 1.96  # of two objects
    found = progression({"": rising[:2], "latency=3": rising}, names)
    assert found.verdict == (
        "from a to d success rises under latency=3; was seen on too few objects without a shift"
    )
    assert found.caveats == ("2 objects: no verdict below 8, where intervals are too narrow",)
    assert progression({"": rising[:7]}, names).card == ""
    assert progression({"": rising}, names).caveats == ()


def test_policies_that_never_differ_show_no_trend() -> None:
    found = progression({"": np.ones((10, 3))}, ["a", "b", "c"])
    assert found.verdict == "from a to c success shows no trend without a shift"
    assert found.card == ""
    with pytest.raises(ConfigError, match="progression of 3 policies"):
        progression({"": np.ones((10, 2))}, ["a", "b", "c"])
