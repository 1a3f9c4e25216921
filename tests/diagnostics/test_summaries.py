"""Summaries from counts, comparisons on shared episodes, readable tables of them."""

from __future__ import annotations

import dataclasses
import json

import pytest

from toyshift.core.errors import ConfigError
from toyshift.diagnostics.statistics import PairedDifference
from toyshift.diagnostics.summaries import Summary, compare, compare_all, per_object, per_seed, summarise
from toyshift.diagnostics.tables import mask_table, shift_table, summary_table


def test_summaries_group_by_policy_set_and_look(row):
    rows = [row(i, i < 6, object_id=f"o{i % 5}") for i in range(10)]
    rows += [row(0, True, policy="oracle", pooling=""), row(0, False, look="table=1")]
    first, oracle, changed = summarise(rows)
    assert (first.k, first.n, first.objects, first.rate) == (6, 10, 5, 0.6)
    assert first.failures == {"not_lifted": 4}
    assert (oracle.policy, oracle.rate, oracle.clustered) == ("oracle", 1.0, (0.0, 1.0))
    assert changed.look == "table=1"
    assert Summary.from_json(json.loads(json.dumps(first.to_json()))) == first
    table = summary_table([first, oracle, changed])
    assert "60.0" in table
    assert "not_lifted 4" in table
    assert len({line.index("60.0") for line in table.splitlines() if "60.0" in line}) == 1
    assert next(iter(per_object(rows[:10]).values())) == (2, 2)
    assert per_seed([row(0, True, seed=9), *rows[:10], row(0, False, seed=9)]) == {7: (6, 10), 9: (1, 2)}


def test_shifts_are_groups_of_their_own_with_a_table_by_factor_and_level(row):
    both = "camera-azimuth=1,object-mass=2"
    successes = {"": 6, "camera-azimuth=3": 3, "camera-azimuth=0": 5, both: 10}
    rows = [row(i, i < k, shift=shift) for shift, k in successes.items() for i in range(10)]
    found = summarise(rows)
    assert {s.shift: s.k for s in found} == successes
    assert Summary.from_json(json.loads(json.dumps(found[1].to_json()))) == found[1]
    assert both in summary_table(found)
    header, _, *lines = shift_table(found).splitlines()
    assert header.split() == ["policy", "objects", "of", "factor", "level", "0", "level", "3"]
    assert [line.split()[-5:] for line in lines] == [["camera-azimuth", "50.0", "(5/10)", "30.0", "(3/10)"]]
    assert shift_table(found[:1]) == ""
    assert compare(rows[:10], [dataclasses.replace(r, policy="mean") for r in rows[:10]]).both == 6
    with pytest.raises(ConfigError, match="share no"):
        compare(rows[:10], rows[10:20])  # an episode under a shift is another one


def test_comparison_uses_shared_episodes_only(row):
    a = [row(i, True) for i in range(10)]
    b = [row(i, i % 2 == 0, policy="mean") for i in range(5, 15)]
    result = compare(a, b)
    assert result.only_a == 3
    assert result.both == 2
    assert PairedDifference.from_json(json.loads(json.dumps(result.to_json()))) == result
    with pytest.raises(ConfigError, match="share no"):
        compare(a, [dataclasses.replace(r, seed=8) for r in a])
    with pytest.raises(ConfigError, match="twice"):
        compare([*a, a[0]], a)


def test_masks_that_were_shown_are_told_with_their_mean_iou(row):
    true = [row(i, mask_iou=1.0, mask_missed=0.0) for i in range(3)]
    assert mask_table(true).splitlines()[-1].split()[-2:] == ["1.00", "0"]
    assert mask_table([row(0)]) == ""  # shown no masks
    spoilt = [
        row(i, policy="p", shift="mask-gap=2", mask_iou=iou, mask_missed=m) for i, (iou, m) in enumerate(
            ((0.5, 0.5), (0.7, 0.25), (None, None))
        )
    ]
    *_, last = mask_table([*true, *spoilt]).splitlines()
    assert last.split()[-3:] == ["mask-gap=2", "0.60", "38"]  # episodes that never see the target say nothing


def test_comparisons_with_one_policy_are_corrected_together(row):
    rows = [row(i, i < wins, policy=policy) for policy, wins in (("a", 12), ("b", 0), ("c", 6)) for i in range(12)]
    rows += [row(i, True, policy="a", object_set="other") for i in range(5)]  # nobody to compare with there
    rows += [row(i, False, policy="b", object_set="other", look="table=1") for i in range(5)]
    first, second = compare_all(rows, "a", ["b", "c"])
    assert (first.first, first.second, first.object_set) == ("a", "b", "toys:test")
    assert (first.paired.only_a, second.paired.only_a) == (12, 6)
    assert (first.paired.p_value, second.paired.p_value) == pytest.approx((2 / 2**12, 2 / 2**6))
    assert (first.p_holm, second.p_holm) == pytest.approx((4 / 2**12, 2 / 2**6))
    assert json.loads(json.dumps(first.to_json()))["paired"]["difference"]["value"] == 1.0
    assert compare_all(rows, "a", []) == compare_all([], "a", ["b"]) == []
