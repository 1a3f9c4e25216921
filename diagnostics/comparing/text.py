"""Comparisons and splits as text for terminals."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from toyshift.diagnostics.comparing.splits import Split
from toyshift.diagnostics.comparing.versus import Versus
from toyshift.diagnostics.tables import render_table

MOST = 20  # levels of a split that are shown
COLUMNS = 100


def points(value: float) -> str:
    """Returns a difference of rates in percentage points, with its sign."""
    return f"{100 * value:+.1f}"


def span(low: float, high: float) -> str:
    """Returns an interval of a difference in points."""
    return f"[{points(low)}, {points(high)}]"


def chance(p: float) -> str:
    """Returns a p value."""
    return f"{p:.4f}" if p >= 0.0001 else "<0.0001"


def versus_text(found: Versus, confidence: float) -> str:
    """Returns one comparison: who, on what, and the two lines of the table."""
    a, b = (f"{100 * rate:.1f} %" for rate in found.rates)
    n1, n2 = found.episodes
    counts = f"of {n1:,} shared starts" if found.paired else f"of {n1:,} and of {n2:,} episodes"
    where = " ".join(filter(None, (found.group, found.shift)))
    title = f"{found.first} - {found.second}{where and f', on {where}'}"
    lines = [title, f"  {a} and {b} {counts}, objects: {found.objects}"]
    if found.separating:
        lines.append(f"  solved by the first alone: {found.separating[0]}, by the second alone: {found.separating[1]}")
    lines.append(_sentence(f"{'starts' if found.paired else 'not paired'}: {found.why}"))
    header = ["for", "points", f"{100 * confidence:g} %", "p", "p (Holm)", "verdict"]
    rows = []
    for one in found.holds:
        known = one.verdict != "unknown"
        figures = [span(one.low, one.high), chance(one.p_value), chance(one.p_holm)] if known else ["-", "-", "-"]
        rows.append([one.of, points(found.difference), *figures, one.words])
    lines += ["  " + line for line in render_table(header, rows).splitlines()]
    return "\n".join([*lines, *(_sentence(f"note: {note}") for note in found.notes)])


def _sentence(text: str) -> str:
    return textwrap.fill(text, COLUMNS, initial_indent="  ", subsequent_indent="    ")


def split_text(found: Split, confidence: float) -> str:
    """Returns a split as a table, with its largest differences where there are many."""
    what = "share of episodes that failed so" if found.by == "failure" else "success"
    by = f"{found.by} to {found.training_set}" if found.training_set else found.by
    title = f"by {by}: {found.first} - {found.second}, {what}, for these objects"
    if found.why:
        return textwrap.fill(f"by {found.by}: {found.first} - {found.second}: {found.why}", COLUMNS)
    header = [found.by, "n", "first %", "second %", "points", f"{100 * confidence:g} %", "p", "p (Holm)"]
    rows = []
    for level in found.levels[:MOST]:
        n1, n2 = level.episodes
        rates = (f"{100 * rate:.1f}" for rate in level.rates)
        figures = (points(level.difference), span(level.low, level.high), chance(level.p_value), chance(level.p_holm))
        rows.append([_short(level.name), str(n1) if n1 == n2 else f"{n1}, {n2}", *rates, *figures])
    left = len(found.levels) - len(rows)
    return f"{title}\n{render_table(header, rows)}" + (f"\n{left} more in --json" if left else "")


def _short(name: str, most: int = 34) -> str:
    return name if len(name) <= most else f"{name[: most - 3]}..."


def all_text(comparisons: Sequence[Versus], splits: Sequence[Split], confidence: float) -> str:
    """Returns everything, a blank line between."""
    texts = [versus_text(one, confidence) for one in comparisons] + [split_text(one, confidence) for one in splits]
    return "\n\n".join(texts)
