"""Bets against "no better": exact expectations, what is decided, and false alarms when looked at after every round."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from toyshift.core.errors import ConfigError
from toyshift.diagnostics import sequential
from toyshift.diagnostics.sequential import (
    BETS,
    NEW,
    SHARES,
    THESE,
    PairedTest,
    centres_of,
    least_gap,
    log_capital,
)

OUTCOMES = (-1.0, 0.0, 1.0)


@pytest.fixture(scope="module")
def bench(benchmark_file: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark_file("sequential")


def played(test: PairedTest, rounds: list[list[float]]) -> PairedTest:
    for differences in rounds:
        test = test.after(differences)
    return test


def chances(gap: float, differ: float = 0.9) -> list[float]:
    """Of an object's three outcomes."""
    return [(differ - gap) / 2, 1 - differ, (differ + gap) / 2]


def test_shares_of_the_bets_are_all_that_there_is() -> None:
    for shares in SHARES.values():
        assert shares.shape == BETS.shape
        assert shares.sum() == pytest.approx(1.0)


def test_evidence_after_wins_alone_is_the_mean_of_what_the_bets_made() -> None:
    test = played(PairedTest.begin(THESE, 1), [[1.0]] * 7)
    assert test.evidence()[0] == pytest.approx(float(np.mean((1 + BETS) ** 7)))
    assert test.evidence()[1] == pytest.approx(float(np.mean((1 - BETS) ** 7)))
    drawn = played(test, [[0.0]] * 50)  # episodes that both win or lose say nothing about which is better
    np.testing.assert_allclose(drawn.evidence(), test.evidence())
    assert drawn.high < test.high  # but that the gap is small


@pytest.mark.parametrize("gaps", [(0.0, 0.0, 0.0), (0.5, -0.3, -0.2), (0.8, -0.5, 0.0)])
def test_capital_on_these_objects_is_expected_to_be_one_at_most_where_the_claim_holds(gaps: tuple[float, ...]) -> None:
    """Every way three rounds can go, weighed; centres are guessed from the third round on."""
    single = list(itertools.product(range(3), repeat=3))  # outcomes of the objects
    weight = np.array([math.prod(chances(g)[k] for g, k in zip(gaps, one, strict=True)) for one in single])
    value = np.array([[OUTCOMES[k] for k in one] for one in single])
    a, b, c = (i.ravel() for i in np.meshgrid(*[range(27)] * 3, indexing="ij"))
    true = float(np.mean(gaps))
    test = PairedTest.begin(THESE, 3, (27**3,), [true])
    for chosen in (a, b, c):
        test = test.after(value[chosen])
    expected = np.einsum("n,snmb->smb", weight[a] * weight[b] * weight[c], np.exp(test.capital))
    assert (expected <= 1.0 + 1e-9).all()
    assert expected.max() > 0.9  # and not much is given away
    third = centres_of(value[a] + value[b], value[a] ** 2 + value[b] ** 2, 2)
    assert np.abs(third).max() > 0.3  # centres were at work


def test_evidence_for_new_objects_is_a_martingale_backwards_in_the_rounds() -> None:
    """Which of the rounds came last is chance: over all choices, evidence before it averages to evidence after it."""
    rounds = np.array([[1, 0, -1], [0, 1, 1], [1, 1, -1], [-1, 0, 1]], dtype=float)  # (4, K)
    after = played(PairedTest.begin(NEW, 3), rounds.tolist())
    before = []
    for left in itertools.product(range(4), repeat=3):  # independently for each object
        kept = [np.delete(rounds[:, k], one) for k, one in enumerate(left)]
        before.append(played(PairedTest.begin(NEW, 3), np.stack(kept, axis=1).tolist()).capital)
    np.testing.assert_allclose(np.mean(np.exp(before), axis=0), np.exp(after.capital), rtol=1e-9)


def test_evidence_for_new_objects_is_expected_to_be_one_where_objects_are_drawn_without_a_gap() -> None:
    """A tenth of the objects is lost, nine tenths are won by 10 points: (K = 4 objects, two rounds), all ways."""
    mixed = np.zeros((3, 3))  # law of an object's two rounds
    for gap, share in ((0.1, 0.9), (-0.9, 0.1)):
        mixed += share * np.outer(chances(gap), chances(gap))
    pairs = list(itertools.product(range(3), repeat=2))
    each = np.array([mixed[p] for p in pairs])
    ways = np.array(list(itertools.product(range(9), repeat=4)))  # (6561, K)
    weight = each[ways].prod(axis=1)
    test = PairedTest.begin(NEW, 4, (len(ways),), [0.0])
    for number in (0, 1):
        test = test.after(np.array([OUTCOMES[p[number]] for p in pairs])[ways])
        np.testing.assert_allclose(np.einsum("n,snmb->smb", weight, np.exp(test.capital)), 1.0, atol=1e-9)


def test_a_clear_gap_is_decided_in_its_direction() -> None:
    for sign, word in ((1.0, "better"), (-1.0, "worse")):
        for about in (THESE, NEW):
            test = played(PairedTest.begin(about, 12), [[sign] * 9 + [0.0] * 3])
            assert test.verdict() == word
            assert test.gap == pytest.approx(sign * 0.75)
            assert test.low < test.gap < test.high
    mirrored = [played(PairedTest.begin(THESE, 3), [[s, -s, 0], [s, s, 0], [0, s, -s]]) for s in (1.0, -1.0)]
    assert (mirrored[0].low, mirrored[0].high) == (-mirrored[1].high, -mirrored[1].low)


def test_a_confidence_sequence_never_widens() -> None:
    rng = np.random.default_rng(0)
    for about in (THESE, NEW):
        test = PairedTest.begin(about, 5)
        for _ in range(30):
            after = test.after(rng.integers(-1, 2, 5))
            assert test.low <= after.low < after.high <= test.high
            test = after
        assert test.high - test.low < {THESE: 0.6, NEW: 1.5}[about]  # five objects say little of new ones


def test_policies_that_never_differ_are_never_told_apart_but_equivalent_within_a_margin() -> None:
    test = played(PairedTest.begin(THESE, 10), [[0.0] * 10] * 60)
    assert test.verdict() == ""
    assert test.evidence().tolist() == pytest.approx([1.0, 1.0])
    assert test.verdict(margin=0.05) == "equivalent"
    assert test.verdict(margin=0.004) == ""


def test_one_object_says_nothing_of_new_objects() -> None:
    test = played(PairedTest.begin(NEW, 1), [[1.0]] * 500)
    assert test.verdict() == ""
    assert least_gap(1) == math.inf
    assert played(PairedTest.begin(THESE, 1), [[1.0]] * 500).verdict() == "better"


def test_the_least_gap_for_new_objects_is_near_what_any_test_could_settle() -> None:
    for objects in (10, 40, 250):
        bound = 40 ** (1 / objects) - 1  # (1 + g)^-n is half of 5 %
        assert bound <= least_gap(objects) < 1.25 * bound + 0.001
    capital = float((np.exp(log_capital(np.full(40, least_gap(40)), np.zeros(1))) @ SHARES[NEW])[0])
    assert 40.0 <= capital < 43.0
    documented = {10: 54, 27: 17, 54: 8, 100: 4, 250: 2}  # docs/sequential.md
    assert {objects: round(100 * least_gap(objects)) for objects in documented} == documented


def test_a_gap_seen_below_the_least_is_not_called_however_it_is_spread_over_objects() -> None:
    rng = np.random.default_rng(8)
    for seen in (0.99 * least_gap(40), 1.01 * least_gap(40)):
        spread = rng.uniform(-0.05, 0.05, (200, 40))
        means = seen + np.concatenate([np.zeros((1, 40)), spread - spread.mean(-1, keepdims=True)])
        capital = np.exp(log_capital(means, np.zeros(1)))[:, 0] @ SHARES[NEW]
        assert capital.argmax() == 0  # where every object has the same
        assert (capital.max() >= 40.0) == (seen > least_gap(40))


def test_centres_are_guesses_of_what_is_the_objects_own() -> None:
    rng = np.random.default_rng(1)
    own = np.array([0.6, 0.2, -0.2, -0.6])
    drawn = (rng.random((400, 4)) < (1 + own) / 2) * 2.0 - 1.0
    centres = centres_of(drawn.sum(0), (drawn**2).sum(0), 400)
    np.testing.assert_allclose(centres, own, atol=0.12)
    assert centres.sum() == pytest.approx(0.0, abs=1e-12)
    equal = rng.integers(-1, 2, (3, 200, 12)).astype(float)  # 200 comparisons with no effect of objects, three rounds
    shrunk = centres_of(equal.sum(0), (equal**2).sum(0), 3)
    assert np.abs(shrunk).mean() < 0.35 * np.abs(equal.mean(0) - equal.mean((0, 2))[:, None]).mean()


def test_rounds_of_another_shape_and_other_values_are_refused() -> None:
    test = PairedTest.begin(THESE, 3)
    for wrong in ([1.0, 0.0], [0.5, 0.0, 0.0], [math.nan, 0.0, 0.0]):
        with pytest.raises(ConfigError, match=r"each -1, 0 or 1"):
            test.after(wrong)
    with pytest.raises(ConfigError, match="'these' or 'new'"):
        PairedTest.begin("all", 3)
    with pytest.raises(ConfigError, match="1 or more"):
        PairedTest.begin(THESE, 0)
    with pytest.raises(ConfigError, match="strictly between"):
        PairedTest.begin(THESE, 3, candidates=[0.0, 1.0])


def test_false_alarms_stay_below_five_percent_where_tests_for_one_look_do_not(bench: ModuleType) -> None:
    """The large runs are in results/sequential; here 400 runs of 1,000 pairs."""
    even = bench.World(base=0.5, agree=0.6, spread=0.2, objects=20)
    for about in (THESE, NEW):
        wrong, _ = bench.watched(about, even, np.random.default_rng(3), 400, most=1000)
        assert np.isfinite(wrong).mean() <= 0.05
    new, these = (bench.peeking(about, even, np.random.default_rng(3), 400, most=1000) for about in (NEW, THESE))
    assert new["t over objects, every round"] > 0.1
    assert new["t over objects, once"] < 0.09
    assert new["mcnemar, once"] > 0.2  # which takes the objects' own gaps for chance: it is made for these objects
    assert these["mcnemar, once"] <= 0.06
    assert these["mcnemar, every round"] > 0.1
    # The test for these objects is none for new ones: over drawn objects it calls gaps that are these objects' alone.
    drawn = bench.World(base=0.9, agree=0.4, objects=20, skewed=True)
    wrong, _ = bench.watched(THESE, drawn, np.random.default_rng(4), 400, most=1000)
    assert np.isfinite(wrong).mean() > 0.2
    wrong, _ = bench.watched(NEW, drawn, np.random.default_rng(4), 400, most=1000)
    assert np.isfinite(wrong).mean() <= 0.05


def test_simulated_populations_have_the_gap_that_they_are_said_to_have(bench: ModuleType) -> None:
    for world in itertools.chain(*bench.worlds().values()):
        a, b = world.rates(np.random.default_rng(7), 40_000 // world.objects, exact=False)
        assert (a - b).mean() == pytest.approx(world.gap, abs=0.007), world
    with pytest.raises(ConfigError, match="cut at 0 or 1"):  # 0.28, not 0.3
        bench.World(0.6, 0.3, spread=0.2).rates(np.random.default_rng(7), 10, exact=False)


def test_pairs_need_half_the_episodes_of_an_anytime_test_without_them(bench: ModuleType) -> None:
    world = bench.World(base=0.6, gap=0.1, agree=0.6, spread=0.1, objects=20)
    wrong, found = bench.watched(THESE, world, np.random.default_rng(5), 300, most=1500)
    assert np.isfinite(wrong).mean() <= 0.05
    unpaired = bench.unpaired(world, np.random.default_rng(5), 300, most=2000)
    assert np.median(found) * world.objects < 0.5 * np.median(unpaired)
    assert np.median(bench.round_means(world, np.random.default_rng(5), 300, most=1500)) > 1.5 * np.median(found)


def test_centres_save_episodes_where_objects_differ_much(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    world = bench.World(base=0.6, gap=0.1, agree=0.4, spread=0.4, objects=10)
    with_centres = bench.watched(THESE, world, np.random.default_rng(6), 300, most=1000)[1]
    monkeypatch.setattr(sequential, "centres_of", lambda sums, squares, rounds: np.zeros_like(sums))
    without = bench.watched(THESE, world, np.random.default_rng(6), 300, most=1000)[1]
    assert np.median(with_centres) < 0.9 * np.median(without)
