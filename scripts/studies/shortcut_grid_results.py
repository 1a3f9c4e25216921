"""Table, page and figure of `toyshift study shortcut-grid`, made from the rows that are there."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toyshift.scripts.studies.dsl import PAPER
from toyshift.scripts.studies.figures import markdown_table
from toyshift.scripts.studies.grid_points import ARMS, GridPoint
from toyshift.scripts.studies.planted import as_one, gap_text, share_text, shares_of, swapped_rows
from toyshift.scripts.studies.same_starts import (
    LEAST_SEEDS,
    RULE,
    Paired,
    corrected,
    difference,
    each_text,
    sign_of,
    significant,
    trend,
)

if TYPE_CHECKING:
    from toyshift.diagnostics import Row


# DSL and success with the cue swapped, read off the paper's figure. Radius: in units of 30 degrees (DP: 5); distance:
# of 60 degrees (DP: 12.5). Along the radius its distance is 1 - radius, along the distance its radius is 0 (DP: 1)
ALONG_RADIUS = {
    "MiniVLA": {0.0: (1.0, 0.0), 0.25: (1.0, 0.01), 0.5: (0.65, 0.05), 0.75: (0.0, 0.155)},
    "pi0": {0.0: (0.96, 0.0), 0.25: (0.6, 0.0), 0.5: (0.05, 0.23), 0.75: (0.0, 0.63)},
    "DP": {0.0: (0.8, 0.0), 0.5: (0.01, 0.35), 0.75: (0.0, 0.675)},
}
ALONG_DISTANCE = {
    "MiniVLA": PAPER,
    "pi0": {1 / 3: (0.01, 0.33), 2 / 3: (0.24, 0.0), 1.0: (0.96, 0.0)},
    "DP": {0.2: (0.0, 0.72), 0.4: (0.0, 0.65), 0.8: (0.09, 0.11), 1.2: (0.95, 0.0)},
}
EXPECTED = {("radius", "dsl"): -1, ("radius", "success"): 1, ("distance", "dsl"): 1, ("distance", "success"): -1}

Played = Mapping[GridPoint, Mapping[int, list["Row"]]]


def tabulated(played: Played) -> dict[str, Any]:
    """Returns a line for each point, and all comparisons, whose p values are corrected together.

    Args:
        played: rows by point and by the number of their seed.
    """
    order = sorted(played, key=lambda p: (list(ARMS).index(p.arm), p.radius, -p.correlation, p.distance))
    lines = {p: dataclasses.asdict(p) | shares_of(p.cells(), list(played[p].values())) for p in order}
    asked = [*_trends(order), *_against_controls(order), *_against_plain(order)]
    changes = corrected([compared(played, line, head["what"]) for head, line in asked])
    made = [head | {"change": x, "sign": sign_of(x)} for (head, _), x in zip(asked, changes, strict=True)]
    steps = [x for x in made if x["kind"] == "step"]
    for x, (_, line) in zip(made, asked, strict=True):
        own = [s["sign"] for s in steps if all(s[k] == x.get(k) for k in ("arm", "along", "at", "what"))]
        against = x["kind"] == "trend" and any(sign * x["sign"] < 0 for sign in own)
        x["why"] = _why(x["change"], [lines[line[0]], lines[line[-1]]], against)
        x["sign"] = 0 if against else x["sign"]
    return {"points": list(lines.values()), "comparisons": made}


def compared(played: Played, line: Sequence[GridPoint], what: str) -> Paired | None:
    """Returns how a line of points changes with the cue swapped, on the starts of the seeds that all of it has.

    Of two points it is the second minus the first; of more the mean of all pairs.
    """
    seeds = sorted(set.intersection(*(set(played[p]) for p in line)))
    rows = [swapped_rows(p.cells(), as_one([played[p][n] for n in seeds])) for p in line]
    return trend(rows, what) if len(rows) > 2 else difference(rows[1], rows[0], what)


Asked = tuple[dict[str, Any], Sequence[GridPoint]]


def _trends(points: Sequence[GridPoint]) -> Iterator[Asked]:
    """Yields each row and column, from its nearest point to its furthest, and the steps between its points."""
    told = [p for p in points if p.correlation]
    for arm in dict.fromkeys(p.arm for p in told):
        for along, across in (("radius", "distance"), ("distance", "radius")):
            for at in sorted({getattr(p, across) for p in told if p.arm == arm}):
                line = [p for p in told if p.arm == arm and getattr(p, across) == at]
                line.sort(key=lambda p: getattr(p, along))
                if len(line) > 1:
                    ends = {"from": getattr(line[0], along), "to": getattr(line[-1], along)}
                    for what in ("dsl", "success"):
                        head = {"kind": "trend", "arm": arm, "along": along, "at": at, "what": what, **ends}
                        yield head | {"expected": EXPECTED[along, what]}, line
                        for step in itertools.pairwise(line) if len(line) > 2 else ():
                            near, far = (getattr(point, along) for point in step)
                            yield head | {"kind": "step", "from": near, "to": far}, step


def _against_controls(points: Sequence[GridPoint]) -> Iterator[Asked]:
    """Yields each told point against the control of its radius that is furthest apart."""
    for point in points:
        clean = [p for p in points if (p.arm, p.radius, p.correlation) == (point.arm, point.radius, 0.0)]
        if point.correlation and clean:
            for what in ("dsl", "success"):
                yield {"kind": "control", **_place(point), "what": what}, (clean[-1], point)


def _against_plain(points: Sequence[GridPoint]) -> Iterator[Asked]:
    """Yields points of the other arms on the same places against those of the arm plain."""
    for point in points:
        other = dataclasses.replace(point, arm="plain")
        if point.arm in ("state", "intertwined") and point.correlation and other in points:
            for what in ("dsl", "success"):
                yield {"kind": "arm", **_place(point), "what": what}, (other, point)


def _place(point: GridPoint) -> dict[str, Any]:
    return {"arm": point.arm, "radius": point.radius, "distance": point.distance}


def _why(change: dict[str, Any] | None, ends: Sequence[dict[str, Any]], against: bool) -> str:
    """Says what the two ends are like, for where no change is shown; `against`: a step between goes the other way."""
    from toyshift.diagnostics.retention import is_undertrained

    if any(is_undertrained(end["id_success"]["value_low_high"][0]) for end in ends):
        return "incapable with its own cue at one end or both"
    if change and len(change["by_seed"]) < LEAST_SEEDS:
        return "one seed alone, which shows no sign"
    if against:
        return "a step between the ends goes the other way"
    if significant(change):
        return "seeds do not agree"
    taken = [bool(end["excess"] and end["excess"]["difference"]["low"] > 0) for end in ends]
    return (
        "shortcut at both ends" if all(taken) else "no shortcut shown at either end" if not any(taken)
        else "shortcut shown at one end alone, the difference too small for so few starts"
    )  # fmt: skip


# ---------------------------------------------------------------- the page


POINTS = (
    "| radius | distance | viewpoint | seeds | swapped episodes, undefined "
    "| DSL (interval: these policies, new objects) | by chance | excess | DSL minus control's "
    "| success, cue swapped | minus control's | success, own cue | each seed's DSL | paper's DSL, success |"
)
TRENDS = (
    "| along | at | from, to | DSL changes by | each seed | Holm p | success changes by | each seed | Holm p "
    "| paper's signs |"
)
WORDS = {"dsl": "DSL", "success": "success with the cue swapped"}
VERBS = {1: "rises", -1: "falls"}


def markdown(table: dict[str, Any]) -> str:
    """Returns the page's made part."""
    every, points = table["comparisons"], table["points"]
    tests = sum(x["change"] is not None for x in every)
    out = [f"Holm's correction is over the {tests} tests of this page; {RULE}."]
    if table["missing"]:
        out.append(f"**Not complete:** {len(table['missing'])} policies of the plan have not been made yet.")
    for arm in dict.fromkeys(x["arm"] for x in points):
        own = [x for x in every if x["arm"] == arm]
        lines = [_point(x, own) for x in points if x["arm"] == arm]
        out.append(f"### {arm}: {ARMS[arm]}\n\n{markdown_table(POINTS, lines)}")
        if trends := [x for x in own if x["kind"] == "trend"]:
            rows = [_trend(*pair) for pair in zip(trends[::2], trends[1::2], strict=True)]
            out += [markdown_table(TRENDS, rows), " ".join(_signs(trends))]
        if others := [x for x in own if x["kind"] == "arm"]:
            out.append(_other_arm(arm, others))
    return "\n\n".join(out)


def _point(x: dict[str, Any], own: Sequence[dict[str, Any]]) -> tuple[object, ...]:
    against = {
        c["what"]: c["change"] for c in own
        if c["kind"] == "control" and x["correlation"] and (c["radius"], c["distance"]) == (x["radius"], x["distance"])
    }  # fmt: skip
    return (
        f"{x['radius']:.3g}", f"{x['distance']:.3g}", "tells" if x["correlation"] else "tells nothing",
        len(x["by_seed"]["dsl"]), f"{sum(x['counts'].values())}, {x['counts']['undefined']}", share_text(x["dsl"]),
        share_text(x["by_chance"]), gap_text(x["excess"]),
        gap_text(against.get("dsl")), share_text(x["ood_success"]), gap_text(against.get("success")),
        share_text(x["id_success"]), ", ".join("-" if v is None else f"{v:.2f}" for v in x["by_seed"]["dsl"]),
        _papers(x) if x["correlation"] and x["arm"] in ("plain", "state") else "-",
    )  # fmt: skip


def _papers(x: dict[str, Any]) -> str:
    """Returns what the paper measured at a point, of the models whose units are ours."""
    found = []
    for model in ("MiniVLA", "pi0"):
        near = [v for r, v in ALONG_RADIUS[model].items() if _near(r, x["radius"]) and _near(1 - r, x["distance"])]
        near += [v for d, v in ALONG_DISTANCE[model].items() if _near(0, x["radius"]) and _near(d, x["distance"])]
        found += [f"{model} {near[0][0]:.2f}, {near[0][1]:.2f}"] if near else []
    return "; ".join(found) or "-"


def _near(a: float, b: float) -> bool:
    return abs(a - b) < 1e-6


def _trend(dsl: dict[str, Any], success: dict[str, Any]) -> tuple[object, ...]:
    across = "distance" if dsl["along"] == "radius" else "radius"
    head = (dsl["along"], f"{across} {dsl['at']:.3g}", f"{dsl['from']:.3g}, {dsl['to']:.3g}")
    both, cells = (dsl, success), []
    for x in both:
        p = f"{x['change']['holm_p']:.2g}" if x["change"] else "-"
        cells += [gap_text(x["change"]), each_text(x["change"]), p]
    words = "; ".join(f"{name}: {_agrees(x)}" for name, x in zip(("DSL", "success"), both, strict=True))
    return (*head, *cells, words)


def _agrees(x: dict[str, Any]) -> str:
    if x["sign"] == x["expected"]:
        return "as in the paper"
    return "the reverse" if x["sign"] else f"not shown ({x['why']})"


def _signs(trends: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yields sentences on an arm's rows and columns."""
    for (along, what), expected in EXPECTED.items():
        own = [x["sign"] for x in trends if (x["along"], x["what"]) == (along, what)]
        if own:
            verb, other = VERBS[expected], VERBS[-expected]
            yield (
                f"With the {along}, {WORDS[what]} {verb} in {own.count(expected)} of {len(own)} lines, as in the "
                f"paper, {other} in {own.count(-expected)}, and no change is shown in {own.count(0)}."
            )
    agree = sum(x["sign"] == x["expected"] for x in trends)
    yield f"In all, the paper's sign is shown in {agree} of {len(trends)} comparisons."
    reasons = collections.Counter(x["why"] for x in trends if not x["sign"])
    if reasons:
        yield f"Where none is shown: {'; '.join(f'{why} ({n})' for why, n in reasons.most_common())}."


def _other_arm(arm: str, others: Sequence[dict[str, Any]]) -> str:
    """Returns how an arm differs from the arm plain on the same starts."""
    told = []
    for what, word in WORDS.items():
        own = [x for x in others if x["what"] == what]
        each = ", ".join(f"{x['radius']:.3g} by {x['distance']:.3g} {gap_text(x['change'])}" for x in own)
        count = collections.Counter(x["sign"] for x in own)
        told.append(
            f"{word} is higher in {count[1]} of {len(own)} points, lower in {count[-1]}, and no difference is shown in "
            f"{count[0]} (radius by distance: {each})"
        )
    note = ""
    if arm == "intertwined":
        note = " The paper's pi0 with 5 positions a sub-dataset: 1.00, 0.00 separated and 0.00, 0.41 intertwined."
    return f"Against *plain* on the same starts, {'; '.join(told)}.{note}"


def draw(out: Path, points: Sequence[dict[str, Any]]) -> None:
    """Draws DSL and success of the arm plain along radius and distance, the paper's curves beside; where there are two.
    """
    from toyshift.scripts.studies.charts import PAGE, CurvePanel, curve_sheet

    told = [x for x in points if x["arm"] == "plain" and x["correlation"]]
    panels = []
    for key, number, title in (("dsl", 0, "degree of shortcut learning"), ("ood_success", 1, "success, cue swapped")):
        for along, across, others in (("radius", "distance", ALONG_RADIUS), ("distance", "radius", ALONG_DISTANCE)):
            ticks = sorted({x[along] for x in told})
            if len(ticks) < 2:
                continue
            known = [x for x in told if x[key]["value_low_high"][0] is not None]
            curves = [
                (f"{across} {at:.3g}", [(x[along], *x[key]["value_low_high"]) for x in known if x[across] == at])
                for at in sorted({x[across] for x in known})
            ]
            beside = [
                (f"paper, {model}{' (its own units)' if model == 'DP' else ''}",
                 [(x, v[number], v[number], v[number]) for x, v in curve.items() if ticks[0] <= x <= ticks[-1]])
                for model, curve in others.items()
            ]  # fmt: skip
            panels.append(CurvePanel(title, along, curves, ticks, beside))
    if panels:
        columns = 2 if len(panels) > 2 else 1
        curve_sheet(out, panels, columns, PAGE // columns - 88)
