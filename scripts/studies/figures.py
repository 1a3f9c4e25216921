"""What the tables of all studies say: success rates from their summaries, intervals, and lines of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toyshift.diagnostics import Summary


def figures(found: Summary) -> dict[str, Any]:
    """Returns what table.json holds of a summary: counts, rate and both intervals."""
    intervals = {"wilson_95": list(found.wilson), "clustered_objects_95": list(found.clustered)}
    return {"n": found.n, "k": found.k, "rate": found.rate, **intervals}


def percents(low: float, high: float) -> str:
    """Returns an interval of rates as "54-67"."""
    return f"{100 * low:.0f}-{100 * high:.0f}"


def points(value: dict[str, Any]) -> str:
    """Returns the interval of a difference, as its JSON has it, as "-3 to +12"."""
    return f"{100 * value['low']:+.0f} to {100 * value['high']:+.0f}"


def markdown_table(head: str, rows: Iterable[Sequence[object]]) -> str:
    """Returns a table in Markdown: its first line, "| a | b |", and a line for each row."""
    rule = "|---" * (head.count("|") - 1) + "|"
    return "\n".join((head, rule, *(f"| {' | '.join(map(str, row))} |" for row in rows)))
