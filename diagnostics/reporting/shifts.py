"""The chapter on shifts: a panel for each policy and set, of rows that were played with and without shifts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from toyshift.diagnostics.reporting.chapter_data import ShiftPanel
from toyshift.diagnostics.reporting.names import Names
from toyshift.diagnostics.reporting.numbers import Numbers, TableColumn
from toyshift.diagnostics.rows import Row
from toyshift.diagnostics.shift_matrix import conditions, interaction, ranking
from toyshift.diagnostics.statistics import holm
from toyshift.diagnostics.summaries import summarise

ALPHA = 0.05
COLUMNS = (
    TableColumn("Policy", "text", ("policy",)),
    TableColumn("On", "text", ("set",)),
    TableColumn("Factor", "text", ("factor",)),
    TableColumn("Level", "count", ("level",)),
    TableColumn("Episodes", "count", ("n",)),
    TableColumn("Success", "percent", ("rate",)),
    TableColumn("95\u00a0% objects", "percents", ("rate_low", "rate_high")),
    TableColumn("Change", "points", ("change",)),
    TableColumn("95\u00a0% new objects", "points between", ("change_low", "change_high")),
    TableColumn("McNemar p", "p", ("p",)),
    TableColumn("after Holm", "p", ("p_holm",)),
)
PAIRS = (
    TableColumn("Policy", "text", ("policy",)),
    TableColumn("On", "text", ("set",)),
    TableColumn("First", "text", ("first",)),
    TableColumn("Second", "text", ("second",)),
    TableColumn("Starts", "count", ("n",)),
    TableColumn("First alone", "points", ("first_change",)),
    TableColumn("Second alone", "points", ("second_change",)),
    TableColumn("Both", "points", ("both_change",)),
    TableColumn("Both beyond each", "points", ("beyond",)),
    TableColumn("its interval", "points between", ("beyond_low", "beyond_high")),
)


def shift_panels(
    rows: Sequence[Row], left_out: Mapping[str, Mapping[str, str]] | None = None, commands: Sequence[str] = ()
) -> list[ShiftPanel]:
    """Returns the panels of rows with the training look, those of policies and sets that met a shift and none.

    Seeds under which two shifts were played together are those of the pairs, and tell of nothing else, unless there
    are no others: a study plays pairs on starts of their own, chosen after its matrix.

    Args:
        rows: of any policies and sets.
        left_out: policy -> factor -> why it cannot reach it.
        commands: that played them.
    """
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in dict.fromkeys(unshifted_at_0(row) for row in rows):
        if not row.look and row.shift.count(",") < 2:
            groups.setdefault((row.policy, row.object_set, row.scene), []).append(row)
    found = []
    for (policy, object_set, scene), own in groups.items():
        of_pairs = {row.seed for row in own if "," in row.shift}
        single = [row for row in own if row.seed not in of_pairs] or own
        by_shift: dict[str, list[Row]] = {}
        for row in single:
            by_shift.setdefault(row.shift, []).append(row)
        if "" not in by_shift or len(by_shift) < 2:
            continue
        played = conditions(single)
        together = dict.fromkeys(row.shift for row in own if "," in row.shift)
        level = 1 - ALPHA / max(1, len(together))
        pairs = [interaction(own, *_two(both), confidence=level) for both in together]
        rates = [summarise(by_shift[f"{one.factor}={one.level}"])[0] for one in played]
        uncorrected = [(one, one.drop.p_value) for one in played]
        panel = ShiftPanel(
            policy, f"{object_set} {scene}".rstrip(), summarise(by_shift[""])[0], uncorrected, rates, ranking(single),
            pairs, (left_out or {}).get(policy, {}), commands,
        )  # fmt: skip
        found.append(panel)
    corrected = iter(holm([p for panel in found for _, p in panel.conditions]))
    return [
        dataclasses.replace(panel, conditions=[(one, next(corrected)) for one, _ in panel.conditions])
        for panel in found
    ]


def _two(both: str) -> tuple[str, str]:
    first, _, second = both.partition(",")
    return first, second


def unshifted_at_0(row: Row) -> Row:
    """Returns a row without its shifts of level 0, which are none, and without what differs between equal episodes."""
    parts = [part for part in row.shift.split(",") if not part.endswith("=0")]
    return dataclasses.replace(row, shift=",".join(parts), wall_s=0.0, object_trial=0, trials=0)


def levels_of(panel: ShiftPanel) -> list[int]:
    return sorted({one.level for one, _ in panel.conditions})


def heat(panel: ShiftPanel) -> Iterator[tuple[str, list[dict[str, Any] | None]]]:
    """Yields each factor, the worst first, with its cells by level: None where it was not played."""
    cells = {(one.factor, one.level): (one, p) for one, p in panel.conditions}
    for ranked in panel.ranked:
        line: list[dict[str, Any] | None] = []
        for level in levels_of(panel):
            if found := cells.get((ranked.factor, level)):
                change = -found[0].drop.difference.value
                line.append({"change": change, "n": found[0].n, "sure": found[1] <= ALPHA})
            else:
                line.append(None)
        yield ranked.factor, line


def shift_numbers(panels: Sequence[ShiftPanel], names: Names) -> Numbers:
    """Returns every condition of every panel."""
    lines: list[dict[str, Any]] = []
    for panel in panels:
        own = {"policy": names.policy(panel.policy), "set": names.set(panel.object_set)}
        control = panel.control
        whole = {"rate": control.rate, "rate_low": control.clustered[0], "rate_high": control.clustered[1]}
        lines.append(own | {"factor": "none", "level": 0, "n": control.n} | whole)
        for (one, p_holm), rate in zip(panel.conditions, panel.rates, strict=True):
            d = one.drop.difference
            figures = {
                "factor": one.factor, "level": one.level, "n": one.n, "rate": one.rate, "rate_low": rate.clustered[0],
                "rate_high": rate.clustered[1], "change": -d.value, "change_low": -d.high, "change_high": -d.low,
                "p": one.drop.p_value, "p_holm": p_holm,
            }  # fmt: skip
            lines.append(own | figures)
    told = f"{sum(line['n'] for line in lines):,} episodes"
    commands = dict.fromkeys(command for panel in panels for command in panel.commands)
    return Numbers("shifts", COLUMNS, lines, told, tuple(commands))


def pair_numbers(panels: Sequence[ShiftPanel], names: Names) -> Numbers:
    """Returns every pair of shifts of every panel; "beyond" below 0: together they cost more than one by one."""
    lines: list[dict[str, Any]] = [
        {
            "policy": names.policy(panel.policy), "set": names.set(panel.object_set), "first": pair.first,
            "second": pair.second, "n": pair.n,
            "first_change": -pair.drops[0], "second_change": -pair.drops[1], "both_change": -pair.drops[2],
            "beyond": -pair.interaction.value, "beyond_low": -pair.interaction.high,
            "beyond_high": -pair.interaction.low,
        }
        for panel in panels for pair in panel.pairs
    ]  # fmt: skip
    commands = dict.fromkeys(command for panel in panels for command in panel.commands)
    told = f"{sum(x['n'] for x in lines):,} starts, each in 4 ways"
    return Numbers("shift_pairs", PAIRS, lines, told, tuple(commands))
