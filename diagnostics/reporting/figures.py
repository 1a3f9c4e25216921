"""The numbers behind the figures of success, sensitivity, repairs, objects, curves and data, as tables and CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toyshift.core.failures import FAILURES
from toyshift.diagnostics.cards import Card
from toyshift.diagnostics.diversity import Diversity
from toyshift.diagnostics.reporting.charts import thin
from toyshift.diagnostics.reporting.data import Curve, ObjectPanel, Repair, ReportData, SensitivityPanel
from toyshift.diagnostics.reporting.names import Names
from toyshift.diagnostics.reporting.numbers import Numbers, TableColumn
from toyshift.diagnostics.reporting.wording import repaired
from toyshift.diagnostics.retention import retentions
from toyshift.diagnostics.statistics import Estimate
from toyshift.diagnostics.summaries import Comparison, Summary

WHAT = ("factor", "relevant", "irrelevant", "from", "to")  # of a card's table: what a line is of
POLICY, ON = TableColumn("Policy", "text", ("policy",)), TableColumn("On", "text", ("set",))


def _text(title: str, key: str) -> TableColumn:
    return TableColumn(title, "text", (key,))


def _sum(summaries: Sequence[Summary]) -> str:
    return f"{sum(s.n for s in summaries):,} episodes"


def success_numbers(data: ReportData, names: Names, ordered: Sequence[Summary]) -> Numbers:
    """Returns every policy on every set."""
    ratios = {(r.policy, r.object_set): r.ratio for r in retentions(data.success, data.trained_on)}
    lines = [
        {
            "policy": names.policy(s.policy), "set": names.set(s.object_set), "rate": s.rate, "k": s.k, "n": s.n,
            "objects": s.objects, "wilson_low": s.wilson[0], "wilson_high": s.wilson[1], "low": s.clustered[0],
            "high": s.clustered[1], "failures": _failures(s),
        } | (_three("retention", ratio) if (ratio := ratios.get((s.policy, s.object_set))) else {})
        for s in ordered
    ]  # fmt: skip
    columns = [
        POLICY, ON, TableColumn("Success", "percent", ("rate",)), TableColumn("Lifted", "of", ("k", "n")),
        TableColumn("Objects", "count", ("objects",)),
        TableColumn("95\u00a0% episodes", "percents", ("wilson_low", "wilson_high")),
        TableColumn("95\u00a0% new objects", "percents", ("low", "high")),
    ]  # fmt: skip
    columns += [TableColumn("Retention", "ratio", ("retention", "retention_low", "retention_high"))] if ratios else []
    columns.append(_text("Failures", "failures"))
    return Numbers("success", columns, lines, _sum(ordered), data.made_by.get("success", ()))


def _failures(s: Summary) -> str:
    counted = sorted(s.failures.items(), key=lambda item: -item[1])
    return ", ".join(f"{FAILURES.get(kind, kind)}\u00a0{count}" for kind, count in counted) or "no failure"


def comparison_numbers(data: ReportData, names: Names, compared: Sequence[Comparison]) -> Numbers:
    """Returns the first policy minus the others."""
    lines: list[dict[str, Any]] = [
        {
            "set": names.set(c.object_set), "second": names.policy(c.second), "points": c.paired.difference.value,
            "low": c.paired.difference.low, "high": c.paired.difference.high, "p": c.paired.p_value,
            "p_holm": c.p_holm, "n": c.paired.only_a + c.paired.only_b + c.paired.both + c.paired.neither,
        }
        for c in compared
    ]  # fmt: skip
    columns = (
        ON, _text("Minus", "second"), TableColumn("Points", "points", ("points",)),
        TableColumn("95\u00a0% new objects", "points between", ("low", "high")),
        TableColumn("McNemar\u00a0p", "p", ("p",)),
        TableColumn("after Holm", "p", ("p_holm",)), TableColumn("Starts", "count", ("n",)),
    )  # fmt: skip
    told = f"{sum(line['n'] for line in lines):,} shared starts"
    return Numbers("comparisons", columns, lines, told, data.made_by.get("success", ()))


def sensitivity_numbers(panel: SensitivityPanel, commands: Sequence[str]) -> Numbers:
    """Returns shift, ratio and success of every factor of a policy."""
    result, lines = panel.result, []
    for f in result.factors:
        line = {"factor": f.factor, "label": f.label} | _three("shift", f.shift) | _three("cm", f.ratio)
        if f.success:
            line |= _three("success", f.success.difference)
        lines.append(line)
    columns = (
        _text("Factor", "factor"), TableColumn("Shift", "number", ("shift",)),
        TableColumn("95\u00a0%", "between", ("shift_low", "shift_high")),
        TableColumn("As cm of target", "number", ("cm",)),
        TableColumn("95\u00a0%", "between", ("cm_low", "cm_high")), _text("Label", "label"),
        TableColumn("Success", "points", ("success",)),
        TableColumn("95\u00a0%", "points between", ("success_low", "success_high")),
    )  # fmt: skip
    told = f"{result.looks} looks in {result.scenes} scenes"
    return Numbers(f"sensitivity_{_file(result.policy)}", columns, lines, told, commands)


def _three(name: str, value: Estimate) -> dict[str, float]:
    return {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}


def _file(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)


def repair_numbers(repairs: Sequence[Repair], p_holm: Mapping[int, float], commands: Sequence[str]) -> Numbers:
    """Returns every repair in every condition; `p_holm` is by the identity of lines."""
    lines: list[dict[str, Any]] = []
    for repair in repairs:
        for line in repair.lines:
            d = line.difference.difference
            rates = {"before": line.before and line.before.rate, "control": line.control.rate}
            lines.append({
                "repair": repair.title, "condition": line.title, "n": line.repaired.n, **rates,
                "repaired": line.repaired.rate, "points": d.value, "low": d.low, "high": d.high,
                "p": line.difference.p_value, "p_holm": p_holm[id(line)],
                "verdict": repaired(line.difference, p_holm[id(line)])[0],
            })  # fmt: skip
    columns = (
        _text("Repair", "repair"), _text("Condition", "condition"), TableColumn("Before", "percent", ("before",)),
        TableColumn("Control", "percent", ("control",)), TableColumn("Repaired", "percent", ("repaired",)),
        TableColumn("Points", "points", ("points",)),
        TableColumn("95\u00a0% new objects", "points between", ("low", "high")),
        TableColumn("after Holm", "p", ("p_holm",)), TableColumn("Starts", "count", ("n",)),
        _text("Verdict", "verdict"),
    )  # fmt: skip
    return Numbers("repairs", columns, lines, f"{sum(x['n'] for x in lines):,} shared starts", commands)


def object_numbers(panel: ObjectPanel, names: Names, commands: Sequence[str]) -> Numbers:
    """Returns every object with the episodes of every policy."""
    lines: list[dict[str, Any]] = []
    for bar in panel.bars:
        line: dict[str, Any] = {"id": bar.object_id, "name": bar.name}
        for policy, (k, n) in bar.counts.items():
            line |= {f"{policy}_k": k, f"{policy}_n": n}
        lines.append(line)
    columns = [_text("Object", "name"), _text("Id", "id")]
    columns += [TableColumn(names.policy(p), "of", (f"{p}_k", f"{p}_n")) for p in panel.policies]
    told = f"{sum(n for bar in panel.bars for _, n in bar.counts.values()):,} episodes"
    return Numbers(f"objects_{_file(panel.object_set)}", columns, lines, told, commands)


def curve_numbers(curves: Sequence[Curve], metric: str, commands: Sequence[str]) -> Numbers:
    """Returns the points of a panel as they are drawn."""
    lines: list[dict[str, Any]] = []
    mine = [c for c in curves if c.metric == metric and len(c.steps)]
    for curve in mine:
        steps, values = thin(curve.steps, curve.values)
        points = zip(steps, values, strict=True)
        lines += [{"policy": curve.policy, "step": float(x), "value": float(y)} for x, y in points]
    columns = (POLICY, TableColumn("Step", "number", ("step",)), TableColumn("Value", "number", ("value",)))
    told = f"{sum(len(c.steps) for c in mine):,} logged steps of {len(mine)} policies"
    return Numbers(_file(metric), columns, lines, told, commands)


def diversity_numbers(d: Diversity, commands: Sequence[str]) -> Numbers:
    """Returns what was measured of datasets' images."""
    lines = [{"measure": name} | _three("value", value) for name, value in d.estimates().items() if value is not None]
    columns = (
        _text("Measure", "measure"), TableColumn("Value", "number", ("value",)),
        TableColumn("95\u00a0%", "between", ("value_low", "value_high")),
    )  # fmt: skip
    told = f"{sum(d.episodes):,} episodes of {len(d.names)} sub-datasets"
    return Numbers("diversity", columns, lines, told, commands)


def card_numbers(card: Card, commands: Sequence[str]) -> Numbers | None:
    """Returns the figures behind a card; None where it has none."""
    if not card.table:
        return None
    found = dict.fromkeys(key for line in card.table for key in line)
    keys = [key for key in WHAT if key in found] + [key for key in found if key not in WHAT]
    is_number = {key: all(not isinstance(line.get(key), str | bool) for line in card.table) for key in keys}
    columns = [TableColumn(key.replace("_", " "), "number" if is_number[key] else "text", (key,)) for key in keys]
    told = f"{card.strength.n:,}" if card.strength.n else ""
    return Numbers(f"card_{_file(card.subject)[-60:]}", columns, card.table, told, commands)
