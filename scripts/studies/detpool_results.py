"""Table, page and figure of `toyshift study detpool-vs-shortcut`, made from the rows that are there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toyshift.scripts.studies.figures import markdown_table
from toyshift.scripts.studies.planted import as_one, gap_text, in_cells, share_text, shares_of, swapped_rows
from toyshift.scripts.studies.planted_policies import (
    ALL,
    FACTORS,
    POOLED,
    TOYS,
    PlantedPolicy,
    clean_of,
    cue_of,
    unseen_cells,
)
from toyshift.scripts.studies.same_starts import RULE, Paired, corrected, difference, each_text, sign_of

if TYPE_CHECKING:
    from toyshift.diagnostics import Row
    from toyshift.diagnostics.statistics import Estimate


LEGO = {"detpool": 56.63, "attention": 34.71}  # % of 65 YCB objects, 250 demonstrations (2510.12866)
Played = Mapping[PlantedPolicy, Mapping[int, list["Row"]]]


def tabulated(played: Played) -> dict[str, Any]:
    """Returns a line for each kind of policy, retention by pooling, and all comparisons, corrected together.

    Args:
        played: rows by kind and by the number of their seed.
    """
    kinds, poolings = [*FACTORS, ALL], list(POOLED)
    order = sorted(played, key=lambda k: (kinds.index(k.factor), poolings.index(k.pooling)))
    tested = [(factor, kind) for factor in FACTORS for kind in order if kind.factor in (factor, ALL)]
    lines = {(f, *kind[1:]): kind._asdict() | {"factor": f} | _line(f, kind, played) for f, kind in tested}
    asked = [*_of_factors(order, played), *_of_poolings(order, played)]
    changes = corrected([found for _, found in asked])
    made = [head | {"change": x, "sign": sign_of(x)} for (head, _), x in zip(asked, changes, strict=True)]
    for x in made:
        if (x["kind"], x["what"]) == ("reliance", "dsl"):
            own, other = (lines[x["factor"], "told", name] for name in ("detpool", x["pooling"]))
            x["verdict"] = verdict(own, other, x["sign"])
    kept = {name: _kept(name, played) for name in POOLED}
    return {"policies": list(lines.values()), "comparisons": made, "retention": _ratios(kept)}


def of_toys(rows: Sequence[Row]) -> list[Row]:
    """Returns the rows that were played in cells with training toys."""
    return [row for row in rows if row.object_set == TOYS]


def _unseen(factor: str, rows: Sequence[Row]) -> list[Row]:
    return [row for _, some in in_cells(unseen_cells(cue_of(factor)), of_toys(rows)) for row in some]


def _controls(factor: str, rows: Sequence[Row]) -> list[Row]:
    return [row for cell, some in in_cells(cue_of(factor).cells(), rows) if not cell.swapped for row in some]


def _swapped(factor: str, rows: Sequence[Row]) -> list[Row]:
    return swapped_rows(cue_of(factor).cells(), of_toys(rows))


def _line(factor: str, kind: PlantedPolicy, played: Played) -> dict[str, Any]:
    seeds = [of_toys(rows) for rows in played[kind].values()]
    unseen = _success(_unseen(factor, as_one(seeds)))
    shown = {"value_low_high": [unseen.value, unseen.low, unseen.high]}
    return shares_of(cue_of(factor).cells(), seeds) | {"unseen": shown}


def _success(rows: Sequence[Row]) -> Estimate:
    from toyshift.diagnostics import clustered

    found: Estimate = clustered([row.success for row in rows], [row.object_id for row in rows])
    return found


def _together(one: PlantedPolicy, other: PlantedPolicy, played: Played) -> tuple[list[Row], list[Row]]:
    """Returns the rows of two kinds, each as of one policy, of the seeds that both have."""
    numbers = sorted(played[one].keys() & played[other].keys())
    first, second = (as_one([played[kind][n] for n in numbers]) for kind in (one, other))
    return first, second


Compared = tuple[dict[str, Any], Paired | None]


def _of_factors(kinds: Sequence[PlantedPolicy], played: Played) -> Iterator[Compared]:
    """Yields comparisons within a factor.

    reliance: told detection pooling minus another told pooling, the cue swapped; cost: told minus clean, likewise;
    unseen: a clean policy under an unseen value minus itself under a seen one.
    """
    for kind in kinds:
        if kind.data == "told":
            own, clean = kind._replace(pooling="detpool"), clean_of(kind.pooling)
            if kind != own and own in kinds:
                for what in ("dsl", "success"):
                    yield _head("reliance", kind.factor, kind, what), _compared(kind.factor, own, kind, played, what)
            if clean in kinds:
                cost = _compared(kind.factor, kind, clean, played, "success")
                yield _head("cost", kind.factor, kind, "success"), cost
            continue
        rows = as_one(list(played[kind].values()))
        for factor in FACTORS:
            changed, same = _unseen(factor, rows), _controls(factor, of_toys(rows))
            yield _head("unseen", factor, kind, "success"), difference(changed, same, "success")


def _head(comparison: str, factor: str, kind: PlantedPolicy, what: str) -> dict[str, Any]:
    return {"kind": comparison, "factor": factor, "pooling": kind.pooling, "what": what}


def _compared(
    factor: str, one: PlantedPolicy, other: PlantedPolicy, played: Played, what: str
) -> Paired | None:
    first, second = (_swapped(factor, rows) for rows in _together(one, other, played))
    return difference(first, second, what)


def _of_poolings(kinds: Sequence[PlantedPolicy], played: Played) -> Iterator[Compared]:
    """Yields comparisons over the clean policies.

    neighbours: beside other toys minus without; toys, new: detection pooling minus another, on training toys and on new
    objects.
    """
    own = clean_of("detpool")
    for kind in (kind for kind in kinds if kind.data == "clean"):
        rows = [row for row in as_one(list(played[kind].values())) if not row.look]
        beside, alone = [row for row in rows if row.shift], [row for row in rows if not row.shift]
        head = {"pooling": kind.pooling, "what": "success"}
        yield head | {"kind": "neighbours"}, difference(beside, alone, "success")
        if kind == own or own not in kinds:
            continue
        both = _together(own, kind, played)
        for name in ("toys", "new"):
            first, second = ([row for row in x if _is_control(row, name)] for x in both)
            yield head | {"kind": name}, difference(first, second, "success")


def _is_control(row: Row, name: str) -> bool:
    """Says whether a row is of a control, with training toys or with new objects."""
    cue, _, place = row.look.partition(",place=")
    return cue.endswith(f"={place}") and bool(place) and (row.object_set == TOYS) == (name == "toys")


def verdict(own: dict[str, Any], other: dict[str, Any], sign: int) -> str:
    """Says what became of another pooling's reliance with detection pooling.

    Args:
        own: line of detection pooling, told.
        other: line of the other pooling, told.
        sign: of the difference of their degrees, 0 where none is shown.
    """
    from toyshift.diagnostics.retention import is_undertrained

    if any(is_undertrained(x["id_success"]["value_low_high"][0]) for x in (own, other)):
        return "unable"
    taken, others = (bool(x["excess"] and x["excess"]["difference"]["low"] > 0) for x in (own, other))
    if sign > 0:
        return "more"
    if not others:
        return "nothing to remove"
    if sign < 0:
        return "in part" if taken else "removed"
    return "not removed" if taken else "undecided"


def _kept(pooling: str, played: Played) -> tuple[Estimate, Estimate] | None:
    """Returns success of a pooling's clean policies on training toys and on new objects, in the controls."""
    if clean_of(pooling) not in played:
        return None
    rows = as_one(list(played[clean_of(pooling)].values()))
    toys, new = (_success([row for row in rows if _is_control(row, name)]) for name in ("toys", "new"))
    return toys, new


def _ratios(kept: Mapping[str, tuple[Estimate, Estimate] | None]) -> list[dict[str, Any]]:
    """Returns retention by pooling, and detection pooling's over it; the two are taken as independent."""
    from toyshift.diagnostics.retention import is_undertrained
    from toyshift.diagnostics.statistics import rate_ratio

    own, lines = kept["detpool"], []
    for pooling, rates in kept.items():
        if rates is None:
            continue
        toys, new = rates
        ratio = rate_ratio(new, toys)
        over = rate_ratio(rate_ratio(own[1], own[0]), ratio) if own and pooling != "detpool" else None
        if over and not all(map(math.isfinite, (over.value, over.low, over.high))):
            over = None
        line = {"pooling": pooling, "toys": toys.to_json(), "new": new.to_json(), "retention": ratio.to_json()}
        lines.append(line | {"detpool_over": over and over.to_json(), "undertrained": is_undertrained(toys.value)})
    return lines


# ---------------------------------------------------------------- the page

POLICIES = (
    "| cue | data | pooling | seeds | DSL (interval: these policies, new objects) | by chance | excess "
    "| success, cue swapped | minus clean's | success, own cue | success, unseen value | minus own cue's "
    "| detpool's DSL minus its | each seed | Holm p | of its reliance with detpool |"
)
RETAINED = (
    "| pooling | clean policies on training toys | on new objects | retention | detpool's over its "
    "| beside other toys minus without | LEGO's on YCB |"
)
SAID = {
    "removed": "removed, as far as this test sees, on", "in part": "less but not gone on",
    "not removed": "not removed on", "more": "more than that pooling's on",
    "undecided": "undecided (neither detection pooling's own shortcut nor a difference is shown) on",
    "nothing to remove": "nothing to remove (that pooling shows none) on",
    "unable": "not judged, as one of the two lifts below 20 % with nothing swapped, on",
}  # fmt: skip


def markdown(table: dict[str, Any]) -> str:
    """Returns the page's made part."""
    every, policies = table["comparisons"], table["policies"]
    tests = sum(x["change"] is not None for x in every)
    out = [f"Holm's correction is over the {tests} tests of this page; {RULE}."]
    if table["missing"]:
        out.append(f"**Not complete:** {len(table['missing'])} policies of the plan have not been made yet.")
    out.append(markdown_table(POLICIES, [_row(x, every) for x in policies]))
    out += _verdicts(every)
    out.append(_neighbours(every))
    if table["retention"]:
        out.append(markdown_table(RETAINED, [_retained(x, every) for x in table["retention"]]))
    out += _bought(table)
    return "\n\n".join(out)


def _found(every: Sequence[dict[str, Any]], **which: str) -> dict[str, Any] | None:
    return next((x for x in every if all(x.get(k) == v for k, v in which.items())), None)


def _row(x: dict[str, Any], every: Sequence[dict[str, Any]]) -> tuple[object, ...]:
    place, told = {"factor": x["factor"], "pooling": x["pooling"]}, x["data"] == "told"
    cost = _found(every, kind="cost", **place) if told else None
    unseen = None if told else _found(every, kind="unseen", **place)
    own = _found(every, kind="reliance", what="dsl", **place) if told else None
    return (
        x["factor"], x["data"], f"`{x['pooling']}`", len(x["by_seed"]["dsl"]), share_text(x["dsl"]),
        share_text(x["by_chance"]), gap_text(x["excess"]), share_text(x["ood_success"]),
        gap_text(cost and cost["change"]), share_text(x["id_success"]), share_text(x["unseen"]),
        gap_text(unseen and unseen["change"]), gap_text(own and own["change"]),
        each_text(own and own["change"]),
        f"{own['change']['holm_p']:.2g}" if own and own["change"] else "-", own["verdict"] if own else "-",
    )  # fmt: skip


def _verdicts(every: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yields for each other pooling on which cues its reliance is gone with detection pooling."""
    lines = [x for x in every if "verdict" in x]
    for pooling in dict.fromkeys(x["pooling"] for x in lines):
        own = [x for x in lines if x["pooling"] == pooling]
        told = []
        for word, text in SAID.items():
            if there := [f"{x['factor']} ({gap_text(x['change'])})" for x in own if x["verdict"] == word]:
                told.append(f"{text} {', '.join(there)}")
        yield f"The reliance of `{pooling}` is with detection pooling {'; '.join(told)}."


def _neighbours(every: Sequence[dict[str, Any]]) -> str:
    """Returns what is known of neighbours, which no policy was told by."""
    told = (
        "**Neighbours** are tested as a shift, not as a reliance, and are not planted: what lies beside a target is "
        "part of the simulator's state, so it cannot be rendered anew, and sub-datasets hold one object on the table. "
        "So whether detection pooling removes a reliance on neighbours is not asked here."
    )
    lines = [x for x in every if x["kind"] == "neighbours" and x["change"]]
    if not lines:
        return told
    word = {1: "gains", 0: "no change is shown", -1: "loses"}
    each = "; ".join(f"`{x['pooling']}` {gap_text(x['change'])}, {word[x['sign']]}" for x in lines)
    return f"{told} Beside three other toys, which no demonstration had, clean policies' success changes by: {each}."


def _retained(x: dict[str, Any], every: Sequence[dict[str, Any]]) -> tuple[object, ...]:
    beside = _found(every, kind="neighbours", pooling=x["pooling"])
    lego = LEGO.get(x["pooling"])
    figures = (_estimate(x[name]) for name in ("toys", "new", "retention", "detpool_over"))
    return f"`{x['pooling']}`", *figures, gap_text(beside and beside["change"]), f"{lego:g} %" if lego else "-"


def _estimate(x: dict[str, Any] | None) -> str:
    if x is None or not isinstance(x["value"], float):
        return "-"
    high = f"{x['high']:.2f}" if isinstance(x["high"], float) else "?"
    return f"{x['value']:.2f} ({x['low']:.2f} to {high})"


def _bought(table: dict[str, Any]) -> Iterator[str]:
    """Yields for each other pooling what detection pooling is shown to buy."""
    every, kept = table["comparisons"], {x["pooling"]: x for x in table["retention"]}
    compared = {x["pooling"] for x in every if "verdict" in x or x["kind"] in ("toys", "new")}
    for pooling in (name for name in POOLED if name in compared):
        own, over = kept.get("detpool"), kept.get(pooling, {}).get("detpool_over")
        signs: dict[str, int | None] = {
            name: found["sign"] if (found := _found(every, kind=kind, pooling=pooling)) else None
            for kind, name in (("toys", "success on training toys"), ("new", "success on new objects"))
        }
        if over is None or own is None or own["undertrained"] or kept[pooling]["undertrained"]:
            signs["retention"] = None
        else:
            signs["retention"] = (over["low"] > 1) - (over["high"] < 1)
        for x in every:
            if x.get("pooling") == pooling and "verdict" in x:
                signs[f"freedom from {x['factor']}"] = None if x["verdict"] == "unable" else -x["sign"]
        words = {1: "buys", -1: "costs", 0: "is not shown to change", None: "is not judged on"}
        named = {words[sign]: [name for name, s in signs.items() if s == sign] for sign in words}
        parts = "; ".join(f"{word} {', '.join(names)}" for word, names in named.items() if names)
        yield f"Against `{pooling}`, detection pooling {parts}."


def draw(out: Path, policies: Sequence[dict[str, Any]]) -> None:
    """Draws the degree of shortcut learning by pooling, a panel for each factor."""
    from toyshift.scripts.studies.charts import Group, success_chart

    groups = []
    for factor in dict.fromkeys(x["factor"] for x in policies):
        lines = []
        for x in policies:
            value, low, high = x["dsl"]["value_low_high"]
            if x["factor"] == factor and value is not None:
                seeds = [v for v in x["by_seed"]["dsl"] if v is not None]
                figures = {"rate": value, "clustered_objects_95": (low, high), "by_seed": seeds}
                lines.append((f"{x['pooling']}, {x['data']}", 1 + (x["data"] == "clean"), figures))
        if lines:
            groups.append(Group(f"cue: {factor}", lines))
    if groups:
        success_chart(out, groups, "degree of shortcut learning")
