"""Tables as plain text for terminals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from toyshift.diagnostics.retention import FLAG, SAYS_NOTHING, Retention, undertrained
from toyshift.diagnostics.rows import Row
from toyshift.diagnostics.statistics import Estimate
from toyshift.diagnostics.summaries import Summary


def render_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Returns a plain-text table for terminals: words left, figures right."""
    cells = [list(header), *[list(line) for line in lines]]
    widths = [max(len(line[i]) for line in cells) for i in range(len(header))]

    def numeric(text: str) -> bool:
        return text[:1].isdigit() or text[:1] in "-+[<"

    right = [bool(lines) and all(numeric(line[i]) or not line[i] for line in lines) for i in range(len(header))]

    def text(line: list[str]) -> str:
        padded = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True))
        return "  ".join(padded).rstrip()

    return "\n".join([text(cells[0]), "  ".join("-" * w for w in widths), *map(text, cells[1:])])


def interval(low: float, high: float, digits: int = 2) -> str:
    """Returns an interval as "[0.12, 0.34]"."""
    return f"[{low:.{digits}f}, {high:.{digits}f}]"


def shift_table(summaries: Iterable[Summary]) -> str:
    """Returns success by factor and level, rate and counts: a line per policy, set and factor, a column per level.

    Summaries of several factors at once have no place in it; "" where there is none.
    """
    cells: dict[tuple[str, str, str], dict[int, str]] = {}
    for s in summaries:
        if s.shift and "," not in s.shift:
            factor, _, level = s.shift.partition("=")
            line = cells.setdefault((s.policy, s.object_set, factor), {})
            line[int(level)] = f"{100 * s.rate:.1f} ({s.k}/{s.n})"
    levels = sorted({level for line in cells.values() for level in line})
    if not levels:
        return ""
    lines = [[*names, *(line.get(level, "") for level in levels)] for names, line in cells.items()]
    return render_table(["policy", "objects of", "factor", *(f"level {level}" for level in levels)], lines)


def mask_table(rows: Iterable[Row]) -> str:
    """Returns how far the masks that policies were shown overlap the true ones, a line per policy, set and shift.

    Means over episodes; "" where no masks were shown.
    """
    groups: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for row in rows:
        if row.mask_iou is not None and row.mask_missed is not None:
            groups.setdefault((row.policy, row.object_set, row.shift), []).append((row.mask_iou, row.mask_missed))
    if not groups:
        return ""
    lines = []
    for group, found in groups.items():
        iou, missed = (sum(column) / len(found) for column in zip(*found, strict=True))
        lines.append([*group, f"{iou:.2f}", f"{100 * missed:.0f}"])
    return render_table(["policy", "objects of", "shift", "mean IoU", "no overlap % of images"], lines)


def ratio_text(ratio: Estimate) -> str:
    """Returns a ratio with its interval, "0.88 [0.72, 1.06]", or "undefined"."""
    return "undefined" if math.isnan(ratio.value) else f"{ratio.value:.2f} {interval(ratio.low, ratio.high)}"


def retention_table(found: Sequence[Retention]) -> str:
    """Returns what is left on new objects of the success on training toys, a line per policy and set; "" for none."""
    if not found:
        return ""
    changes = [name for name in ("look", "shift") if any(getattr(r, name) for r in found)]
    header = ["policy", "objects of", *changes, "over", "retention", "95 %"]
    lines = []
    for r in found:
        value, _, span = ratio_text(r.ratio).partition(" ")
        changed = (getattr(r, name) or "-" for name in changes)
        lines.append([r.policy, r.object_set, *changed, r.training_set, value, span])
    return render_table(header, lines)


def summary_table(summaries: Sequence[Summary], trained_on: Mapping[str, str] | None = None) -> str:
    """Returns the success table: policy, set, episodes, objects, rate and both intervals in percent, failures.

    Look, shift and scene have a column where any summary has one.

    Args:
        summaries: its lines.
        trained_on: policy -> the set that it was trained on; policies that fail there are flagged.
    """
    flagged = undertrained(summaries, trained_on or {})
    changes = [name for name in ("look", "shift", "scene") if any(getattr(s, name) for s in summaries)]
    header = ["policy", "pooling", "objects of", *changes, "n", "objects", "success %", "95 % episodes", "95 % objects"]
    lines = []
    for s in summaries:
        spans = (interval(100 * low, 100 * high, 1) for low, high in (s.wilson, s.clustered))
        most_first = sorted(s.failures.items(), key=lambda item: -item[1])
        failures = ", ".join(f"{kind} {count}" for kind, count in most_first) or "none"
        changed = (getattr(s, name) or "-" for name in changes)
        figures = (str(s.n), str(s.objects), f"{100 * s.rate:.1f}", *spans)
        name = f"{s.policy} ({FLAG})" if s.policy in flagged else s.policy
        lines.append([name, s.pooling or "-", s.object_set, *changed, *figures, failures])
    note = f"\n{FLAG}: {SAYS_NOTHING}" if flagged else ""
    return render_table([*header, "failures"], lines) + note
