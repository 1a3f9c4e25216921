"""Panels of shifts: level 0 is none, pairs are of their own starts, Holm's correction is for all panels."""

from __future__ import annotations

import dataclasses
from typing import Any

from toyshift.diagnostics.reporting.shifts import heat, shift_panels
from toyshift.diagnostics.rows import Row
from toyshift.diagnostics.shift_matrix import conditions
from toyshift.diagnostics.statistics import holm


def played(policy: str, shift: str, lost: int, seed: int = 0, **other: Any) -> list[Row]:
    base = Row(policy, "", "toys:test", "", seed, 0, True, 0.3, 50, "", "", 0.1, shift=shift, purpose="test")
    return [
        dataclasses.replace(base, object_id=f"toy{i}", episode=i, success=i >= lost, wall_s=0.1 * i, **other)
        for i in range(16)
    ]  # fmt: skip


def test_level_0_is_no_shift() -> None:
    rows = played("mine", "light=0", 0) + played("mine", "light=3", 9)
    again = [dataclasses.replace(row, shift="", wall_s=9.0) for row in rows[:16]]
    for own in (rows, rows + again):
        [panel] = shift_panels(own)
        assert panel.control.n == 16
        assert [(one.factor, one.level) for one, _ in panel.conditions] == [("light", 3)]
        assert list(heat(panel)) == [("light", [{"change": -9 / 16, "n": 16, "sure": True}])]


def test_without_a_control_or_a_shift_there_is_no_panel() -> None:
    assert shift_panels(played("mine", "light=3", 2)) == []
    assert shift_panels(played("mine", "", 2)) == []
    looks = played("mine", "light=3", 2, look="azimuth=4") + played("mine", "", 2, look="azimuth=4")
    assert shift_panels(looks) == []


def test_pairs_are_of_their_own_starts() -> None:
    rows = [row for shift, lost in (("", 0), ("light=3", 4), ("mass=3", 4)) for row in played("mine", shift, lost)]
    both = {"": 0, "light=3": 4, "mass=3": 4, "light=3,mass=3": 12}
    rows += [row for shift, lost in both.items() for row in played("mine", shift, lost, seed=1)]
    rows += played("mine", "light=3,mass=3,delay=2", 16, seed=1)  # of three nothing is said
    [panel] = shift_panels(rows, {"mine": {"camera": "it has none"}}, ("toyshift x",))
    assert panel.control.n == 16
    [pair] = panel.pairs
    assert (pair.n, pair.drops) == (16, (0.25, 0.25, 0.75))
    assert pair.interaction.value == 0.25  # 12 starts are lost together, 4 each alone
    assert panel.left_out == {"camera": "it has none"}
    alone = [row for row in rows if row.seed == 1]
    assert len(shift_panels(alone)[0].conditions) == 2  # where there are no others, these tell of each shift too


def test_holms_correction_is_for_all_panels() -> None:
    cost = {"a": 9, "b": 6}
    rows = [row for p, lost in cost.items() for row in played(p, "", 0) + played(p, "light=3", lost)]
    panels = shift_panels(rows)
    alone = [conditions([row for row in rows if row.policy == policy])[0].drop.p_value for policy in "ab"]
    assert [p for panel in panels for _, p in panel.conditions] == holm(alone)
