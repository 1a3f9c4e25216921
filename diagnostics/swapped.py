"""How a policy does where cue and place disagree: degree of shortcut learning beside chance and ability."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from toyshift.core.errors import ConfigError
from toyshift.diagnostics.dsl import CUE, UNDEFINED, Degree, degree_of
from toyshift.diagnostics.retention import is_undertrained
from toyshift.diagnostics.rows import Row
from toyshift.diagnostics.statistics import Estimate, PairedDifference, clustered, paired_difference
from toyshift.diagnostics.swapped_cells import CueCell
from toyshift.diagnostics.tables import interval, ratio_text, render_table


@dataclasses.dataclass(frozen=True)
class Swapped:
    """One policy in the cells of `swapped_cells.cells_of`; all intervals are for new objects.

    Attributes:
        policy: its name.
        factor: the cue.
        degree: over the swapped cells together.
        by_chance: the same of the controls: `dsl` is how often the other sub-dataset's place is approached first
            although no cue tells of it.
        excess: DSL minus that by chance, on the same starts; None where no start is defined in both.
        id_success: success in the controls.
        ood_success: success in the swapped cells.
        cells: name of each swapped cell -> its degree.
    """

    policy: str
    factor: str
    degree: Degree
    by_chance: Degree
    excess: PairedDifference | None
    id_success: Estimate
    ood_success: Estimate
    cells: dict[str, Degree]

    @property
    def verdict(self) -> str:
        """What may be said of the policy, in words."""
        if is_undertrained(self.id_success.value):
            return f"incapable: {100 * self.id_success.value:.0f} % success with nothing swapped; nothing else is said"
        if self.excess is None:
            return "unknown: no start is defined both with the cue swapped and with its own"
        if self.excess.difference.low > 0.0:
            return f"shortcut on {self.factor}: the place it implies comes first more often than by chance"
        return f"no shortcut on {self.factor} was shown"

    def to_json(self) -> dict[str, Any]:
        return {
            "policy": self.policy, "factor": self.factor, "verdict": self.verdict, "degree": self.degree.to_json(),
            "by_chance": self.by_chance.to_json(), "excess": self.excess and self.excess.to_json(),
            "id_success": self.id_success.to_json(), "ood_success": self.ood_success.to_json(),
            "cells": {name: degree.to_json() for name, degree in self.cells.items()},
        }  # fmt: skip


def swapped_of(played: Sequence[tuple[CueCell, Sequence[Row]]]) -> Swapped:
    """Returns what the rows of one policy say, given cell by cell.

    Raises:
        ConfigError: rows of several policies, or a cell without its control or rows.
    """
    swapped = [(cell, list(rows)) for cell, rows in played if cell.swapped]
    controls = {cell.place_of: list(rows) for cell, rows in played if not cell.swapped}
    policies = {row.policy for _, rows in played for row in rows}
    if len(policies) != 1 or not swapped or {cell.place_of for cell, _ in swapped} != controls.keys():
        raise ConfigError(f"one policy's rows of swapped cells and their controls are needed; got {sorted(policies)}")
    pairs: list[tuple[Row, Row]] = []
    for cell, rows in swapped:
        own = {row.episode: row for row in controls[cell.place_of]}
        pairs += [(row, own[row.episode]) for row in rows if row.episode in own]
    pairs = [pair for pair in pairs if all(row.approached != UNDEFINED for row in pair)]
    first, second = ([pair[i].approached == CUE for pair in pairs] for i in (0, 1))
    excess = paired_difference(first, second, [row.object_id for row, _ in pairs]) if pairs else None
    moved, stayed = [row for _, rows in swapped for row in rows], [row for rows in controls.values() for row in rows]
    cells = {cell.name: _degree(rows) for cell, rows in swapped}
    success = _success(stayed), _success(moved)
    return Swapped(policies.pop(), swapped[0][0].factor, _degree(moved), _degree(stayed), excess, *success, cells)


def _success(rows: Sequence[Row]) -> Estimate:
    return clustered([row.success for row in rows], [row.object_id for row in rows])


def _degree(rows: Sequence[Row]) -> Degree:
    return degree_of([row.approached for row in rows], [row.object_id for row in rows])


def swapped_table(found: Sequence[Swapped]) -> str:
    """Returns a line per policy, and what may be said of it."""
    header = ["policy", "DSL", "DSL_cond", "neither", "by chance", "excess", "ID success", "OOD success", "undefined"]
    lines = []
    for one in found:
        degree, gap = one.degree, one.excess
        shares = (degree.dsl, degree.conditional, degree.neither, one.by_chance.dsl)
        more = gap and gap.difference
        excess = f"{more.value:+.2f} {interval(more.low, more.high)}" if more else "undefined"
        undefined = f"{degree.counts[UNDEFINED]} of {sum(degree.counts.values())}"
        success = map(ratio_text, (one.id_success, one.ood_success))
        lines.append([one.policy, *map(ratio_text, shares), excess, *success, undefined])
    verdicts = "\n".join(f"{one.policy}: {one.verdict}" for one in found)
    return f"{render_table(header, lines)}\n{verdicts}"
