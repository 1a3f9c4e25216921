"""Table, page and figures of `toyshift study toys-scaling`, made from the rows that are there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toyshift.core.arrays import Array
from toyshift.core.files import write_json
from toyshift.scripts.studies import toy_sets
from toyshift.scripts.studies.cells import write_page
from toyshift.scripts.studies.figures import markdown_table
from toyshift.scripts.studies.scaling_fit import NAMES, ScalingFit, ScalingGrid, fit_curve, fit_with_intervals
from toyshift.scripts.studies.toy_sets import (
    DIFFERENCE,
    LIKE_LEGOS,
    NETS,
    SIZE_TOYS,
    SUCCESS,
    TITLES,
    CellRows,
    Groups,
    ToyCell,
)

if TYPE_CHECKING:
    from toyshift.diagnostics import Row
    from toyshift.scripts.studies.charts import FittedCurve

NAME = "toys-scaling"
# LEGO's success on 65 YCB objects by toys and demonstrations (detection pooling, 1,040 trials, simulated): read off the
# figure of its project page to half a point; the row of 250 toys is its table's
LEGO: dict[int, dict[int, float]] = {
    1: {25: 0.018, 125: 0.043, 250: 0.088, 500: 0.145, 1000: 0.246, 1500: 0.247, 2000: 0.250, 2500: 0.263},
    25: {25: 0.183, 125: 0.394, 250: 0.495, 500: 0.613, 1000: 0.692, 1500: 0.718, 2000: 0.762, 2500: 0.766},
    125: {125: 0.308, 250: 0.468, 500: 0.613, 1000: 0.725, 1500: 0.738, 2000: 0.755, 2500: 0.759},
    250: {250: 0.5663, 500: 0.6817, 1000: 0.7115, 1500: 0.7462, 2000: 0.7683, 2500: 0.8000},
    500: {500: 0.668, 1000: 0.719, 1500: 0.734, 2000: 0.749, 2500: 0.769},
    1000: {1000: 0.718, 1500: 0.718, 2000: 0.753, 2500: 0.727},
}
LEGO_TRIALS = 1040
LEGO_SIZES = {  # on 250 toys, read off the same figure: parameters of its transformer -> success by demonstrations
    "5.7M": {250: 0.485, 500: 0.593, 1000: 0.669, 1500: 0.697, 2000: 0.704, 2500: 0.755},
    "22M": {250: 0.610, 500: 0.715, 1000: 0.733, 1500: 0.708, 2000: 0.750, 2500: 0.724},
}
SOURCE = (
    "LEGO's numbers: success on 65 YCB objects in simulation, 1,040 trials each, read off the figure of its project "
    "page to half a point (250 toys: its table). Another robot model, network and object set: compare orders and gaps, "
    "not rates."
)
LEAP = (1, 25)  # toys between which LEGO gains most


def write_results(cells: CellRows, made_with: dict[str, Any], folder: Path, docs: Path) -> dict[str, Any]:
    """Writes table.json, the generated part of toys_scaling.md and a figure for each set; returns the table."""
    from toyshift.scripts.studies.charts import fitted_chart

    groups = toy_sets.by_set(cells)
    table = made_with | tabulated(groups)
    fits = fits_of(groups)
    table["fits"] = {name: fit.to_json() for name, fit in fits.items()} | {"LEGO": lego_fit()}
    write_json(folder / "table.json", table)
    pictures = {}
    for name in dict.fromkeys(line["set"] for line in table["success"] if not line["size"]):
        pictures[name] = f"toys_scaling_{name.replace(':', '-')}.png"
        title = f"success on {TITLES[name]} by toys and demonstrations"
        fitted_chart(docs / pictures[name], title, "toys", _curves(table, name, fits.get(name)))
    made = markdown(table, pictures)
    write_page(docs / "toys_scaling.md", NAME, folder, made)
    print(made)
    return table


# ---------------------------------------------------------------- from rows


def tabulated(groups: Groups) -> dict[str, Any]:
    """Returns success by cell, steps to more toys at the same demonstrations, and larger policies minus smaller."""
    success = [
        toy_sets.success_of(kind, name, rows) | {"lego": lego(kind, name)} for (kind, name), rows in groups.items()
    ]
    pairs = []
    for kind, name in groups:
        alike = sorted(k.toys for k, n in groups if n == name and not kind.size and k.anew(toys=kind.toys) == kind)
        after = [t for t in alike if t > kind.toys]
        wanted = {*after[:1], *(t for t in after if (kind.toys, t) == LEAP)}
        pairs += [(kind, kind.anew(toys=t), name) for t in sorted(wanted)]
    smaller, larger = NETS
    grown = [(kind, kind.anew(size=larger), name) for kind, name in groups if kind.size == smaller]
    return {
        "success": success, "steps": toy_sets.differences(groups, pairs),
        "larger": toy_sets.differences(groups, grown),
    }


def lego(kind: ToyCell, name: str) -> float | None:
    """Returns LEGO's success of a cell on YCB objects; None where it has none."""
    if name not in LIKE_LEGOS:
        return None
    row = LEGO_SIZES.get(kind.size, {}) if kind.size else LEGO.get(kind.toys, {})
    return row.get(kind.demos)


def lego_gain(line: dict[str, Any]) -> float | None:
    """Returns LEGO's difference of a line's two cells; None where it lacks one."""
    one, other = (lego(ToyCell(**line[side]), line["set"]) for side in ("from", "to"))
    return None if one is None or other is None else other - one


def fits_of(groups: Groups) -> dict[str, ScalingFit]:
    """Returns the curve of each set that has enough cells; the quickstart's policies only, all seeds together."""
    fits = {}
    for name in dict.fromkeys(name for _, name in groups):
        cells = [(kind, rows) for (kind, n), rows in groups.items() if n == name and not kind.size]
        grid = ScalingGrid.of([(k.toys, k.demos) for k, _ in cells], max(k.demos for k, _ in cells)) if cells else None
        k, n = _counts([rows for _, rows in cells])
        if grid and grid.determines and len(k) > 1:
            fits[name] = fit_with_intervals(grid, k, n)
    return fits


def _counts(cells: Sequence[Sequence[Row]]) -> tuple[Array, Array]:
    """Returns successes and episodes by object and cell, each (O, C)."""
    objects = {name: i for i, name in enumerate(sorted({row.object_id for rows in cells for row in rows}))}
    k, n = np.zeros((2, len(objects), len(cells)))
    for c, rows in enumerate(cells):
        for row in rows:
            k[objects[row.object_id], c] += row.success
            n[objects[row.object_id], c] += 1
    return k, n


def lego_fit() -> dict[str, Any]:
    """Returns the same formula on LEGO's numbers, without intervals: which objects succeeded is not published."""
    cells = [(toys, demos) for toys, row in LEGO.items() for demos in row]
    rates = np.array([rate for row in LEGO.values() for rate in row.values()])
    grid = ScalingGrid.of(cells, max(demos for _, demos in cells))
    found = fit_curve(grid, rates * LEGO_TRIALS, np.full(len(rates), LEGO_TRIALS))
    misses = rates - grid.rates(found)
    values = {name: float(value) for name, value in zip(NAMES, found, strict=True)}
    return {
        "reference": grid.reference, "cells": len(rates), "values": values,
        "worst_miss": float(misses[np.argmax(np.abs(misses))]),
    }


def _curves(table: dict[str, Any], name: str, fit: ScalingFit | None) -> list[FittedCurve]:
    """Returns a curve for each number of demonstrations: its cells, the fitted line, and LEGO's cells beside."""
    from toyshift.scripts.studies.charts import FittedCurve

    lines = [x for x in table["success"] if x["set"] == name and not x["size"]]
    least, most = min(x["toys"] for x in lines), max(x["toys"] for x in lines)
    curves = []
    for demos in sorted({x["demos"] for x in lines}):
        cells = [x for x in lines if x["demos"] == demos]
        points = [(x["toys"], x["rate"], *x["clustered_objects_95"]) for x in cells]
        theirs = LEGO if name in LIKE_LEGOS else {}
        beside = [(toys, row[demos]) for toys, row in theirs.items() if demos in row and least <= toys <= most]
        band = []
        if fit is not None:
            many = np.geomspace(least, max(least, min(most, demos)), 40)
            ends = zip(many.tolist(), *fit.band(many, demos).tolist(), strict=True)
            band = [(x, value, low, high) for x, value, low, high in ends]
        curves.append(FittedCurve(f"{demos:,} demonstrations", points, band, beside))
    return curves


# ---------------------------------------------------------------- the page


def markdown(table: dict[str, Any], pictures: dict[str, str]) -> str:
    """Returns the page's made part: what the rows say, in words and tables."""
    what = "Policies of a seed meet the same starts; each seed has toys of its own, so few toys differ most by seed."
    out = [toy_sets.about(table, what), "\n".join(f"- {text}" for text in findings(table)), SOURCE]
    plain = [x for x in table["success"] if not x["size"]]
    for name, picture in pictures.items():
        rows = [
            (x["toys"], x["demos"], *toy_sets.success_columns(x), toy_sets.percent(x["lego"]))
            for x in plain if x["set"] == name
        ]
        head = f"| toys | demonstrations | {SUCCESS} | LEGO's |"
        drawn = f"![success on {TITLES[name]} against the number of toys, with the fitted curve]({picture})"
        out.append(f"### Success on {TITLES[name]}\n\n{drawn}\n\n{markdown_table(head, rows)}")
    for key, title in (("steps", "More toys, as many demonstrations"), ("larger", "A larger policy, 250 toys")):
        if table[key]:
            head = f"| on | demonstrations | from | to | {DIFFERENCE} | LEGO's |"
            out.append(f"### {title}\n\n{markdown_table(head, map(_step, table[key]))}")
    sizes = [
        (TITLES[x["set"]], x["size"], x["demos"], *toy_sets.success_columns(x), toy_sets.percent(x["lego"]))
        for x in table["success"] if x["size"]
    ]
    if sizes:
        head = f"| on | policy | demonstrations | {SUCCESS} | LEGO's |"
        out.append(f"### Larger policies on {SIZE_TOYS} toys\n\n{markdown_table(head, sizes)}")
    out.append(_fit_table(table["fits"]))
    return "\n\n".join(out)


def findings(table: dict[str, Any]) -> list[str]:
    """Returns what the rows say, a sentence each: LEGO's leap, what comes behind it, and how well the curve fits."""
    said = []
    for name in dict.fromkeys(x["set"] for x in table["success"]):
        steps = [x for x in table["steps"] if x["set"] == name]
        leaps = [x for x in steps if (x["from"]["toys"], x["to"]["toys"]) == LEAP]
        if leaps:
            leap = max(leaps, key=lambda x: int(x["from"]["demos"]))
            verdict = ("no difference is shown", "a gain is shown", "a loss is shown")[toy_sets.direction(leap)]
            theirs = lego_gain(leap)
            beside = f"; LEGO's {100 * theirs:+.1f}" if theirs is not None else ""
            size = f"{toy_sets.told(leap)} points with {leap['from']['demos']:,} demonstrations"
            said.append(f"{TITLES[name]}, {LEAP[0]} to {LEAP[1]} toys: {verdict}, {size}{beside}.")
        beyond = [x for x in steps if x["from"]["toys"] >= LEAP[1]]
        if beyond:
            kinds = [toy_sets.direction(x) for x in beyond]
            counts = f"{kinds.count(1)} gains, {kinds.count(-1)} losses, {kinds.count(0)} with no difference shown"
            said.append(f"{TITLES[name]}, beyond {LEAP[1]} toys: of {len(beyond)} steps to more toys {counts}.")
        fit = table["fits"].get(name)
        if fit:
            said.append(f"{TITLES[name]}, the curve: off by {100 * abs(fit['worst_miss']):.0f} points at most.")
        else:
            said.append(f"{TITLES[name]}: too few cells or objects for a curve yet.")
    if not table["steps"]:
        said.append("No two numbers of toys have been run with as many demonstrations yet.")
    return said


def _step(x: dict[str, Any]) -> tuple[object, ...]:
    one, other = x["from"], x["to"]
    sides = (one["size"], other["size"]) if one["size"] else (one["toys"], other["toys"])
    theirs = lego_gain(x)
    gain = "-" if theirs is None else f"{100 * theirs:+.1f}"
    return (TITLES[x["set"]], one["demos"], *sides, *toy_sets.difference_columns(x), gain)


def _fit_table(fits: dict[str, Any]) -> str:
    def entry(fit: dict[str, Any], name: str) -> str:
        if "values" in fit:
            return f"{fit['values'][name]:.2f}"
        value, low, high = fit[name]["value_low_high"]
        return f"{value:.2f} ({low:.2f} to {high:.2f})" if fit[name]["told"] else "these rows do not tell"

    rows = [
        (TITLES.get(name, name), f"{fit['reference']:,.0f}", fit["cells"], *(entry(fit, key) for key in NAMES),
         f"{100 * fit['worst_miss']:+.0f}") for name, fit in fits.items()
    ]  # fmt: skip
    formula = "logit(success) = ceiling - gap · toys^(-power) + slope · log10(demonstrations / reference)"
    head = f"| on | reference | cells | {' | '.join(NAMES)} | worst miss, points |"
    return (
        f"### The curve\n\n`{formula}`, fitted by maximum likelihood; intervals are for new objects (resampled whole), "
        f"these policies and toys.\n\n{markdown_table(head, rows)}"
    )
