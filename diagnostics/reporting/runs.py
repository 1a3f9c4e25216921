"""Several runs beside each other: success by condition, and differences on shared starts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from toyshift.diagnostics.actors import BUILTIN
from toyshift.diagnostics.comparing.trials import Side
from toyshift.diagnostics.comparing.versus import Compared, Versus, compare_cells, shared_cells
from toyshift.diagnostics.reporting.chapter_data import RunCell, RunLine, RunsPanel
from toyshift.diagnostics.reporting.numbers import Numbers, TableColumn
from toyshift.diagnostics.rows import Row
from toyshift.diagnostics.summaries import Summary, summarise

COLUMNS = (
    TableColumn("Policy", "text", ("policy",)),
    TableColumn("On", "text", ("condition",)),
    TableColumn("Run", "text", ("run",)),
    TableColumn("Lifted", "of", ("k", "n")),
    TableColumn("Success", "percent", ("rate",)),
    TableColumn("95\u00a0% objects", "percents", ("rate_low", "rate_high")),
    TableColumn("First run minus it", "points", ("difference",)),
    TableColumn("95\u00a0% new objects", "points between", ("difference_low", "difference_high")),
    TableColumn("p, these objects, Holm", "p", ("p_holm_these",)),
    TableColumn("p, new objects, Holm", "p", ("p_holm_new",)),
    TableColumn("Verdict", "text", ("verdict",)),
    TableColumn("Compared", "text", ("why",)),
)


@dataclasses.dataclass(frozen=True)
class PlayedRun:
    """What one run played.

    Attributes:
        name: of the run.
        rows: its episodes, each once.
        sides: the same by policy, as comparisons take them.
    """

    name: str
    rows: Sequence[Row]
    sides: Mapping[str, Side]


def runs_panel(
    runs: Sequence[PlayedRun], margin: float = 0.05, facts: Mapping[str, Mapping[str, str]] | None = None
) -> RunsPanel:
    """Compares runs, condition by condition: policies that several have played, or else the first of each.

    Holm's correction is for all of these comparisons; oracle and random are shown and not compared.

    Args:
        runs: at least two.
        margin: largest difference that does not matter.
        facts: run -> what it says of versions and machine.
    """
    groups = shared_policies(runs)
    summaries = [_conditions(run) for run in runs]
    cells: list[Compared] = []
    places: list[tuple[int, str, int]] = []  # of each cell: line's policies, condition, run
    for g, (name, played) in enumerate(groups):
        there = [i for i, policy in enumerate(played) if policy and name not in BUILTIN]
        for i in there[1:]:
            first, other = (
                dataclasses.replace(runs[k].sides[played[k]], name=runs[k].name) for k in (there[0], i)
            )
            if {e.group for e in first.episodes} & {e.group for e in other.episodes}:
                for group, shift, matched in shared_cells((first, other), every=True):
                    cells.append(((first, other), group, shift, matched))
                    places.append((g, _condition(group, shift), i))
    found: dict[tuple[int, str, int], Versus] = dict(zip(places, compare_cells(cells, margin), strict=True))
    lines = []
    for g, (policy, played) in enumerate(groups):
        own = [summaries[i].get(name, {}) for i, name in enumerate(played)]
        for condition in dict.fromkeys(name for by_condition in own for name in by_condition):
            row = [
                RunCell(played[i], by_condition[condition], found.get((g, condition, i))) if condition in by_condition
                else None
                for i, by_condition in enumerate(own)
            ]  # fmt: skip
            lines.append(RunLine(policy, condition, row))
    return RunsPanel([run.name for run in runs], lines, facts or {})


def shared_policies(runs: Sequence[PlayedRun]) -> list[tuple[str, list[str]]]:
    """Returns policies with the name under which each run has them ("" where it has not), oracle and random last.

    Where no two runs share a policy but oracle and random, the first of each are taken together, under the name "".
    """
    names = dict.fromkeys(name for run in runs for name in run.sides)
    found = [(name, [name if name in run.sides else "" for run in runs]) for name in names]
    references = [(name, played) for name, played in found if name in BUILTIN]
    tested = [(name, played) for name, played in found if name not in BUILTIN]
    if any(sum(map(bool, played)) > 1 for _, played in tested):
        return [*tested, *references]
    firsts = [next((name for name in run.sides if name not in BUILTIN), "") for run in runs]
    together = [("", firsts)] if any(firsts) else []
    return [*together, *((name, played) for name, played in tested if name not in firsts), *references]


def _conditions(run: PlayedRun) -> dict[str, dict[str, Summary]]:
    """Returns policy -> condition -> success."""
    found: dict[str, dict[str, Summary]] = {}
    for s in summarise(run.rows):
        changed = ",".join(filter(None, (s.look, s.shift)))
        found.setdefault(s.policy, {})[_condition(f"{s.object_set} {s.scene}".rstrip(), changed)] = s
    return found


def _condition(group: str, shift: str) -> str:
    return f"{group}, {shift}" if shift else group


def run_numbers(panel: RunsPanel, commands: Sequence[str] = ()) -> Numbers:
    """Returns every cell as a line."""
    lines: list[dict[str, Any]] = []
    for line in panel.lines:
        for run, cell in zip(panel.runs, line.cells, strict=True):
            if cell is None:
                continue
            s = cell.summary
            own: dict[str, Any] = {
                "policy": cell.policy, "condition": line.condition, "run": run, "k": s.k, "n": s.n, "rate": s.rate,
                "rate_low": s.clustered[0], "rate_high": s.clustered[1],
            }  # fmt: skip
            if versus := cell.versus:
                these, new = versus.holds
                own |= {
                    "difference": versus.difference, "difference_low": new.low, "difference_high": new.high,
                    "p_holm_these": these.p_holm, "p_holm_new": new.p_holm, "verdict": these.words,
                    "why": f"{'paired' if versus.paired else 'not paired'}: {versus.why}",
                }  # fmt: skip
            lines.append(own)
    return Numbers("runs", COLUMNS, lines, f"{sum(line['n'] for line in lines):,} episodes", commands)
