"""Comparisons with a known outcome, verdicts, and files that do not fit together."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from toyshift.core.errors import ConfigError
from toyshift.diagnostics.comparing.readers import read_sides
from toyshift.diagnostics.comparing.text import all_text, versus_text
from toyshift.diagnostics.comparing.trials import Side, Trial
from toyshift.diagnostics.comparing.versus import compare_sides
from toyshift.diagnostics.score_intervals import newcombe_interval, normal_quantile
from toyshift.diagnostics.statistics import holm, mcnemar, paired_difference

FILES = Path(__file__).parent / "files"


def side(name: str, outcomes: dict[str, str], *, starts: bool = True, group: str = "toys", shift: str = "") -> Side:
    """A side whose objects have these outcomes, in order."""
    episodes = [
        Trial(group, item, (item, shift, i) if starts else None, mark == "1", "" if mark == "1" else "slipped", shift)
        for item, marks in outcomes.items() for i, mark in enumerate(marks)
    ]  # fmt: skip
    return Side(name, "test", tuple(episodes), "numbers" if starts else "nobody knows")


def objects(rate: float, count: int = 20, each: int = 10, seed: int = 0) -> dict[str, str]:
    rng = np.random.default_rng(seed)
    return {f"o{i:02}": "".join("01"[int(x)] for x in rng.random(each) < rate) for i in range(count)}


def test_paired_sides_have_the_intervals_of_paired_differences():
    a, b = side("a", objects(0.8)), side("b", objects(0.6, seed=1))
    (found,) = compare_sides([a, b])
    outcomes = [[e.success for e in s.episodes] for s in (a, b)]
    expected = paired_difference(*outcomes, [e.item for e in a.episodes])
    these, new = found.holds
    assert (found.paired, found.why, found.episodes, found.objects) == (True, "numbers", (200, 200), 20)
    assert found.difference == pytest.approx(expected.difference.value)
    assert (these.low, these.high) == (expected.episodes().low, expected.episodes().high)
    assert (new.low, new.high) == (expected.difference.low, expected.difference.high)
    assert these.p_value == mcnemar(expected.only_a, expected.only_b)
    assert found.separating == (expected.only_a, expected.only_b)
    assert (these.verdict, new.verdict) == ("better", "better")
    (turned,) = compare_sides([b, a])
    assert turned.holds[1].verdict == "worse"
    assert (turned.holds[1].low, turned.holds[1].high) == pytest.approx((-new.high, -new.low))


def test_unpaired_sides_say_so_and_have_newcombes_interval():
    a, b = side("a", objects(0.8), starts=False), side("b", objects(0.6, seed=1))
    (found,) = compare_sides([a, b])
    assert not found.paired
    assert "a: nobody knows" in found.why
    k = [sum(e.success for e in s.episodes) for s in (a, b)]
    low, high = newcombe_interval(k[0], 200, k[1], 200, normal_quantile(0.95))
    assert (found.holds[0].low, found.holds[0].high) == (low, high)
    assert found.separating is None
    assert "not paired: a: nobody knows" in versus_text(found, 0.95)
    (paired,) = compare_sides([a, b], pairing="paired")
    assert paired.paired
    assert paired.separating == compare_sides([side("a", objects(0.8)), b])[0].separating
    assert not compare_sides([side("a", objects(0.8)), b], pairing="unpaired")[0].paired


def test_verdicts():
    alike = objects(0.5, 60, 20)
    (same,) = compare_sides([side("a", alike), side("b", alike)], margin=0.07)
    assert [h.words for h in same.holds] == ["equivalent within 7 points"] * 2
    few = objects(0.5, 10, 3)
    (unclear,) = compare_sides([side("a", few), side("b", objects(0.5, 10, 3, seed=3))])
    these, new = unclear.holds
    assert these.verdict == new.verdict == "underpowered"
    assert these.words == f"underpowered: {these.more:,} more episodes"
    assert new.words == f"underpowered: {new.more:,} more objects"
    (wide,) = compare_sides([side("a", few), side("b", objects(0.5, 10, 3, seed=3))], margin=0.6)
    assert wide.holds[0].verdict == "equivalent"
    clear_sides = side("a", objects(0.52, 100, 40)), side("b", objects(0.47, 100, 40, seed=1))
    (clear,) = compare_sides(clear_sides, margin=0.15)
    assert clear.holds[0].words == "better, by less than 15 points"


def test_as_many_more_as_told_do_decide():
    first, second = (objects(p, 40, 5, seed=s) for p, s in ((0.6, 0), (0.58, 1)))
    (found,) = compare_sides([side("a", first), side("b", second)], margin=0.1)
    times = math.ceil((found.holds[0].more + 200) / 200)
    (larger,) = compare_sides(
        [side("a", {o: m * times for o, m in first.items()}), side("b", {o: m * times for o, m in second.items()})],
        margin=0.1,
    )
    assert larger.holds[0].verdict != "underpowered"
    assert larger.holds[0].high - larger.holds[0].low <= 0.1


def test_holm_covers_all_that_is_compared_together():
    sides = [side("a", objects(0.7)), side("b", objects(0.6, seed=1)), side("c", objects(0.55, seed=2))]
    against_first, each = compare_sides(sides), compare_sides(sides, all_pairs=True)
    assert [(c.first, c.second) for c in against_first] == [("a", "b"), ("a", "c")]
    assert len(each) == 3
    for found in (against_first, each):
        for scope in (0, 1):
            p = [c.holds[scope].p_value for c in found]
            assert [c.holds[scope].p_holm for c in found] == holm(p)


def test_false_alarms_over_many_comparisons_are_rare():
    """Six policies that are equal: in at most 5 % of cases is any of five comparisons with the first settled."""
    rng = np.random.default_rng(5)
    wrong = 0
    for _ in range(60):
        hard = rng.beta(1, 1, size=12)
        marks = np.where(rng.random((6, 12, 4)) < hard[:, None], "1", "0")  # (policies, objects, episodes)
        sides = [side(str(i), {f"o{j}": "".join(each) for j, each in enumerate(own)}) for i, own in enumerate(marks)]
        found = compare_sides(sides)
        wrong += any(c.holds[1].verdict in ("better", "worse") for c in found)
    assert wrong / 60 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60)


@pytest.mark.parametrize("marks", ["0000", "1111"])
def test_nothing_but_successes_or_failures_is_no_nan(marks):
    outcomes = {f"o{i}": marks for i in range(9)}
    for pairing in ("paired", "unpaired"):
        (found,) = compare_sides([side("a", outcomes), side("b", outcomes)], pairing=pairing)
        json.dumps(found.to_json(), allow_nan=False)
        assert found.holds[0].p_value == pytest.approx(1.0)
        assert found.holds[0].low < 0 < found.holds[0].high
        assert "nothing here tells them apart" in found.notes[0]
    (against,) = compare_sides([side("a", {"x": "1" * 9, "y": "1" * 9}), side("b", {"x": "0" * 9, "y": "0" * 9})])
    json.dumps(against.to_json(), allow_nan=False)
    assert against.holds[0].verdict == "better"


def test_one_object_and_few_objects_are_said():
    (one,) = compare_sides([side("a", {"mug": "1111011111"}), side("b", {"mug": "0000100000"})])
    assert one.holds[0].verdict == "better"
    assert one.holds[1].words == "unknown: one object"
    json.dumps(one.to_json(), allow_nan=False)
    (few,) = compare_sides([side("a", objects(0.9, 4)), side("b", objects(0.2, 4))])
    assert few.notes == ("4 objects: the interval for new objects errs on the wide side below 8",)


def test_other_objects_and_left_over_episodes_are_said():
    first, second = objects(0.8, 12), objects(0.6, 10, seed=1)
    (left,) = compare_sides([side("a", first), side("b", second)])
    assert left.episodes == (100, 100)
    assert "left out: 20 and 0 episodes" in left.why
    (fewer,) = compare_sides([side("a", first), side("b", second)], pairing="unpaired")
    assert (fewer.episodes, fewer.objects) == ((100, 100), 10)
    assert "20 episodes with objects that only one side met are left out" in fewer.why
    others = {f"other {name}": marks for name, marks in second.items()}
    (apart,) = compare_sides([side("a", first), side("b", others)])
    assert (apart.paired, apart.episodes) == (False, (120, 100))
    assert apart.why == "no start is shared; no object is shared"
    assert [h.words for h in apart.holds] == ["unknown: other objects", "better"]  # new objects of one set
    (mixed,) = compare_sides([side("a", first), side("b", second, group="ycb")])
    assert mixed.group == "toys | ycb"
    assert [h.words for h in mixed.holds] == ["unknown: other tasks"] * 2
    with pytest.raises(ConfigError, match="share no start"):
        compare_sides([side("a", first), side("b", others)], pairing="paired")
    with pytest.raises(ConfigError, match="needs two policies, and there is a"):
        compare_sides([side("a", first)])


def test_shifted_episodes_do_not_enter_where_there_are_plain_ones():
    def both(name: str, seed: int) -> Side:
        plain, shifted = side(name, objects(0.8, seed=seed)), side(name, objects(0.1, seed=seed + 9), shift="light=2")
        return dataclasses.replace(plain, episodes=plain.episodes + shifted.episodes)

    (found,) = compare_sides([both("a", 0), both("b", 1)])
    assert found.rates[0] > 0.7
    only = side("a", objects(0.5), shift="light=2"), side("b", objects(0.5), shift="light=2")
    assert compare_sides(only)[0].shift == "light=2"


def test_files_of_others():
    """What `toyshift compare` says on a lerobot-eval file, a vla-eval folder and a CSV table."""
    lerobot = read_sides([str(FILES / "lerobot_act"), str(FILES / "lerobot_smolvla")])
    (apart,) = compare_sides(lerobot)
    assert not apart.paired
    assert "writes no seeds" in apart.why
    (paired,) = compare_sides(lerobot, pairing="paired")
    assert (paired.paired, paired.separating) == (True, (11, 0))
    assert paired.holds[0].p_value == pytest.approx(mcnemar(11, 0))
    (vla,) = compare_sides(read_sides([str(FILES / "vla_pi0"), str(FILES / "vla_oft")]))
    assert (vla.paired, vla.episodes, vla.group) == (True, (19, 19), "LIBEROBenchmark_libero_goal")
    assert "left out: 0 and 1 episodes" in vla.why
    columns = {"success": "ok", "object": "item", "start": "trial"}
    (table,) = compare_sides(read_sides([str(FILES / "trials.csv")], columns))
    assert (table.first, table.paired, table.episodes) == ("diffusion", True, (12, 12))
    (mixed,) = compare_sides([lerobot[0], read_sides([str(FILES / "vla_pi0")])[0]])
    assert mixed.group == "libero_object | LIBEROBenchmark_libero_goal"
    text = all_text([apart, paired, vla, table], [], 0.95)
    assert max(map(len, text.splitlines())) <= 100
    assert text.count("these objects") == 4
