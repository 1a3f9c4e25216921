"""Predicted drop: the formula's closed forms, its intervals, and a policy whose displacement is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm, spearmanr

from toyshift.diagnostics.measuring import planted
from toyshift.diagnostics.measuring.finding import findings_table
from toyshift.diagnostics.measuring.predicted import (
    Skill,
    UnderShifts,
    chance_to_hold,
    displacements,
    finding_of,
    predicted_drops,
    rank_correlation,
    spread_of,
    swap_foretold,
)
from toyshift.diagnostics.statistics import Estimate

SHIFTS = ("distractors=1", "distractors=2", "distractors=4")
ROOM = {f"object-{i}": 2.0 for i in range(40)}


def test_the_chance_to_hold_is_a_normal_s() -> None:
    assert chance_to_hold(0.0, 1.0, 1.0) == pytest.approx(2 * norm.cdf(1) - 1)
    assert chance_to_hold(-3.0, 2.0, 1.0) == pytest.approx(norm.cdf(-1) - norm.cdf(-5))
    drawn = np.random.default_rng(0).normal(0.7, 1.3, 200_000)
    assert chance_to_hold(0.7, 2.0, 1.3) == pytest.approx(np.mean(np.abs(drawn) <= 2.0), abs=0.004)


@pytest.mark.parametrize("success", [0.05, 0.5, 0.99])
def test_the_spread_gives_back_the_success(success: float) -> None:
    room = np.array([0.3, 1.0, 2.5])
    assert chance_to_hold(0.0, room, spread_of(success, room)).mean() == pytest.approx(success, abs=1e-6)


def test_a_displacement_is_in_centimetres_of_the_target() -> None:
    rng = np.random.default_rng(0)
    toward, scene = np.linalg.qr(rng.normal(size=(12, 8, 2)))[0].transpose(0, 2, 1), np.arange(12) // 2
    change = np.einsum("naf,a->nf", toward, np.array([3.0, 4.0]))
    np.testing.assert_allclose(displacements(toward, change, scene), 5.0)
    np.testing.assert_allclose(displacements(2 * toward, change, scene), 2.5)


def drops(won: int = 36, rho: float = 1.0, slope: float = 1.0, **given):
    policy = planted.scripted(rho=rho, slope=slope, factor="others", **given)
    return predicted_drops(planted.looked_at(policy, UnderShifts(SHIFTS)), SHIFTS, ROOM, won, 40)


def test_a_known_displacement_costs_what_the_formula_says() -> None:
    """One centimetre a distractor, along an axis whose moves change actions as much as both do on average."""
    lines = drops()
    sigma = spread_of(36.5 / 41, np.full(40, 2.0))
    cm = [line["displacement_cm"] for line in lines]
    assert cm == [pytest.approx(step * cm[0]) for step in (1, 2, 4)]
    assert 0.5 < cm[0] < 2.0  # exactly 1 where both axes move the actions alike
    for line in lines:
        assert line["predicted"] == pytest.approx(float(chance_to_hold(line["displacement_cm"], 2.0, sigma)))
        assert line["low"] < line["predicted change"] < line["high"]
    assert [line["level"] for line in lines] == [1, 2, 4]
    assert all(line["predicted change"] == pytest.approx(0.0, abs=1e-6) for line in drops(rho=0.0))


def test_what_cannot_be_predicted_is_said() -> None:
    assert drops(won=0) == "none of 40 unshifted episodes succeeds: there is nothing to lose"
    assert "do not follow the target" in str(drops(follows=0.0))


def test_the_interval_knows_the_unshifted_rate_and_the_objects() -> None:
    displaced = np.random.default_rng(0).uniform(0.5, 2.0, 40)

    def width(played: int, unit: np.ndarray) -> float:
        found = Skill(9 * played // 10, played, np.full(40, 2.0), unit).under(displaced)
        return found.high - found.low

    assert width(20, np.arange(40)) > 1.5 * width(400, np.arange(40))
    together = np.argsort(np.argsort(displaced)) // 8  # five objects whose scenes are alike
    assert width(400, together) > 1.5 * width(400, np.arange(40))


def test_ranks() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=16)
    b = a + rng.normal(size=16)
    found = rank_correlation(a, b)
    assert found.value == pytest.approx(spearmanr(a, b).statistic)
    assert -1 <= found.low < found.value < found.high <= 1
    assert math.isnan(rank_correlation([1, 1, 1, 1], [1, 2, 3, 4]).value)
    assert math.isnan(rank_correlation([1, 2, 3], [1, 2, 3]).value)
    truth = 6 / np.pi * np.arcsin(0.6 / 2)
    covered = 0
    for _ in range(300):
        x = rng.normal(size=30)
        one = rank_correlation(x, 0.6 * x + 0.8 * rng.normal(size=30))
        covered += one.low <= truth <= one.high
    assert covered / 300 >= 0.92


def test_predictions_beside_measurements() -> None:
    lines = [*drops(), {**drops()[0], "factor": "light-intensity"}]
    for line, measured in zip(lines, (-0.1, -0.4, -0.9, -0.1), strict=True):
        line |= {"measured change": measured, "measured low": measured - 0.2, "measured high": measured + 0.2}
    lines = [{**line, "level": i} for i, line in enumerate(2 * lines, 1)]  # eight points: an interval above 0
    found = finding_of("p", lines, 36, 40)
    assert found.value.value == pytest.approx(1.0)
    assert found.verdict.startswith("Spearman 1.00 over 8 factors and levels; predictions are ")
    assert "most is lost under distractors at level 3" in found.card
    assert any("8 points are levels of 2 factors beside one baseline" in caveat for caveat in found.caveats)
    lost = [{**line, "measured high": 0.1} for line in lines]
    assert finding_of("p", lost, 36, 40).card == ""  # its loss may be none
    turned = [{**line, "measured change": -line["measured change"]} for line in lines]
    assert finding_of("p", turned, 36, 40).card == ""  # nothing agrees
    assert "36 of 40 unshifted episodes succeed" in findings_table(type("F", (), {"found": (found,)}))
    for line in lines:
        line["measured change"] = 0.0
    assert "ranks cannot be compared" in finding_of("p", lines, 36, 40).verdict


def test_a_swap_that_is_worth_nothing_costs_nothing_and_one_of_a_hand_s_width_everything() -> None:
    def foretold(value: float, half: float = 0.2) -> Estimate:
        response = Estimate(value, value - half, value + half, 40)
        return swap_foretold(response, "toys:train?n=6", 24, (14, 20))

    rate = 14.5 / 21
    changes = [foretold(value) for value in (0.0, 0.5, 1.0, 2.0, 4.0, 20.0)]
    assert changes[0].value == pytest.approx(0.0, abs=1e-6)
    assert changes[-1].value == pytest.approx(-rate, abs=1e-3)
    assert [c.value for c in changes] == sorted((c.value for c in changes), reverse=True)
    assert all(c.low <= c.value <= c.high and c.n == 6 for c in changes)
    assert foretold(-2.0).value == pytest.approx(foretold(2.0).value)  # away from the cue is a miss as well
    unsure = foretold(2.0, half=3.0)
    assert unsure.value == pytest.approx(foretold(2.0).value)
    assert unsure.high >= 0.0  # it may be worth nothing
    assert unsure.low < foretold(2.0).low
    assert math.isnan(swap_foretold(Estimate(math.nan, math.nan, math.nan, 0), "toys:train?n=6", 24, (14, 20)).value)
