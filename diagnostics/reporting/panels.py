"""Makes parts of `ReportData` of what a run left: bars of objects, curves of training, repairs against a control."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from toyshift.core.arrays import Image
from toyshift.core.errors import FileError
from toyshift.diagnostics.reporting.data import Curve, ObjectBar, ObjectPanel, Repair, RepairLine
from toyshift.diagnostics.rows import Row
from toyshift.diagnostics.summaries import compare, per_object, summarise


def object_panel(
    object_set: str, rows: Sequence[Row], names: Mapping[str, str] | None = None,
    thumbnails: Mapping[str, Image] | None = None,
) -> ObjectPanel:
    """Makes a per-object panel from the rows of one or more policies on one set, sorted by the first policy's success.

    The random policy is left aside: its bars would be empty, and it is in every table.

    Args:
        object_set: whose rows are taken.
        rows: of any policies and sets; rows with a changed look or a shift are left aside.
        names: object id -> readable name.
        thumbnails: object id -> picture.
    """
    mine = [r for r in rows if r.object_set == object_set and not r.look and not r.shift and r.policy != "random"]
    policies = list(dict.fromkeys(r.policy for r in mine))
    counts = {policy: per_object(r for r in mine if r.policy == policy) for policy in policies}

    def bar(object_id: str) -> ObjectBar:
        own = {p: counts[p][object_id] for p in policies if object_id in counts[p]}
        return ObjectBar(object_id, (names or {}).get(object_id, object_id), own, (thumbnails or {}).get(object_id))

    def order(bar: ObjectBar) -> tuple[float | str, ...]:
        rates = [k / n for k, n in (bar.counts.get(p, (0, 1)) for p in policies)]
        return (*(-rate for rate in rates), bar.object_id)

    return ObjectPanel(object_set, sorted(map(bar, dict.fromkeys(r.object_id for r in mine)), key=order))


def read_curves(path: Path, policy: str, metrics: Mapping[str, str] | None = None) -> list[Curve]:
    """Reads training curves from a policy folder's metrics.jsonl.

    Args:
        path: the file; each line is a JSON object with "step" and figures.
        policy: name in the legend.
        metrics: key -> panel title; None takes every key that contains "loss" and "lr"-like keys are left out.

    Raises:
        FileError: the file is missing or a line before the last is no JSON (the last may be cut off by a kill).
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise FileError(f"{path} cannot be read ({error}); training writes it beside config.json") from error
    found: dict[str, tuple[list[float], list[float]]] = {}
    for number, line in enumerate(lines):
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines) - 1:
                break
            raise FileError(f"{path}, line {number + 1} is not JSON ({error})") from error
        for key, value in entry.items():
            wanted = key in metrics if metrics is not None else "loss" in key
            if wanted and "step" in entry and isinstance(value, int | float) and math.isfinite(value):
                steps, values = found.setdefault(key, ([], []))
                steps.append(float(entry["step"]))
                values.append(float(value))
    return [Curve((metrics or {}).get(key, key), policy, steps, values) for key, (steps, values) in found.items()]


def repairs_against(rows: Sequence[Row], control: str, repaired: Mapping[str, str]) -> list[Repair]:
    """Returns policies against the one that they are repairs of, in every condition whose starts both have played.

    Args:
        rows: of all of them, with any looks and shifts.
        control: the policy that was trained alike, without the repair.
        repaired: policy -> what it was repaired by, as its folder says it; "" where nobody says.
    """
    groups: dict[str, dict[tuple[str, str, str, str], list[Row]]] = {}
    for row in rows:
        key = row.object_set, row.scene, row.look, row.shift
        groups.setdefault(row.policy, {}).setdefault(key, []).append(row)
    found = []
    for policy, spec in repaired.items():
        lines = []
        for key, mine in groups[policy].items():
            its = groups[control].get(key, [])
            if {_start(row) for row in mine} & {_start(row) for row in its}:
                shared = compare(mine, its)
                lines.append(RepairLine(", ".join(filter(None, key)), summarise(mine)[0], summarise(its)[0], shared))
        if lines:
            how = f"{policy} was trained with --repair {spec}" if spec else f"{policy} is taken as repaired"
            text = f"{how}; {control} is its control. Both played the same starts in each of {len(lines)} conditions."
            found.append(Repair(policy, text, lines, f"the control {control}", (control, policy)))
    return found


def _start(row: Row) -> tuple[str, int, int, str]:
    return row.object_id, row.seed, row.episode, row.purpose
