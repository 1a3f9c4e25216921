"""What the tables of all studies say of a success rate, from its summary."""

from __future__ import annotations

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
