"""Table and figure of `toyshift study lego-table`, made from the rows that are there."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toyshift.core.files import read_json, write_json
from toyshift.scripts.studies.cells import no_rows, set_name, write_page
from toyshift.scripts.studies.figures import figures, markdown_table, percents, points

if TYPE_CHECKING:
    from toyshift.diagnostics import Row

FEW = 3  # seeds; fewer say nothing about other seeds
UNDERTRAINED = 0.2  # success on training toys below which a policy has not learnt its own task
TRAINING = "toys:train"
TITLES = {"ycb": "real YCB objects", "ycb-like": "YCB-like objects", TRAINING: "training toys"}
BEGIN, END = "<!-- made by `toyshift study lego-table --tabulate` -->", "<!-- end of what is made -->"


def read_cells(folder: Path) -> list[tuple[dict[str, Any], list[Row]]]:
    """Returns manifest and rows of every cell that is there; object sets go by their short names.

    Raises:
        FileError: there is none.
    """
    from toyshift.diagnostics import read_rows, read_rows_manifest

    paths = sorted((folder / "rows").glob("*.parquet"))
    if not paths:
        raise no_rows(folder, "lego-table")

    def short(path: Path) -> list[Row]:
        return [dataclasses.replace(row, object_set=set_name(row.object_set)) for row in read_rows(path)]

    return [(read_rows_manifest(path), short(path)) for path in paths]


def write_results(folder: Path, docs: Path, same: dict[str, str], missing: Sequence[str]) -> dict[str, Any]:
    """Writes table.json, the generated part of lego_table.md and lego_table.png; returns what table.json holds.

    Args:
        folder: results of the study.
        docs: where page and figure go.
        same: pooling -> pooling that is the same network.
        missing: names of the cells that have not been run.
    """
    from toyshift.scripts.studies.charts import Group, success_chart

    cells = read_cells(folder)
    settings = read_json(folder / "settings.json")["settings"]
    table = tabulate(cells) | {"same": same, "missing": list(missing), "settings": settings}
    write_json(folder / "table.json", table)
    page = docs / "lego_table.md"
    write_page(page, BEGIN, END, markdown(table))
    groups = [
        Group(TITLES[name], [
            (f"{line['pooling']} {line['demos'] or ''}", line["demos"], line) for line in table["success"]
            if line["set"] == name
        ])
        for name in TITLES
        if any(line["set"] == name for line in table["success"])
    ]
    print(markdown(table))
    print(f"table: {folder / 'table.json'}, {page}")
    if groups:  # none while only learning rates have been tried
        success_chart(docs / "lego_table.png", groups)
        print(f"figure: {docs / 'lego_table.png'}")
    return table


# ---------------------------------------------------------------- figures from rows


def tabulate(cells: Sequence[tuple[dict[str, Any], list[Row]]]) -> dict[str, Any]:
    """Returns the search, success by (pooling, demonstrations, set) and the differences to detection pooling."""
    groups: dict[tuple[str, int, str], list[Row]] = {}
    for facts, rows in cells:
        for row in rows if not facts["searched"] else []:
            groups.setdefault((facts["pooling"], facts["demos"], row.object_set), []).append(row)
    rates = {(facts["pooling"], facts["demos"]): facts.get("lr") for facts, _ in cells if not facts["searched"]}
    success = [_line(*key, rows) | {"lr": rates[key[:2]]} for key, rows in sorted(
        groups.items(), key=lambda item: _order(*item[0])
    )]
    return {
        "search": _search(cells),
        "success": success,
        "differences": _differences(groups),
        "undertrained": [
            f"{x['pooling']}, {x['demos']} demonstrations" for x in success
            if x["set"] == TRAINING and x["demos"] and x["rate"] < UNDERTRAINED
        ],
    }


def _order(pooling: str, demos: int, spec: str) -> tuple[Any, ...]:
    from toyshift.policies.config import POOLING_NAMES

    known = (*POOLING_NAMES, "oracle", "random")
    return list(TITLES).index(spec), known.index(pooling), -demos


def _line(pooling: str, demos: int, spec: str, rows: list[Row]) -> dict[str, Any]:
    from toyshift.diagnostics import clustered, per_seed, summarise

    found, by_seed = summarise(rows)[0], per_seed(rows)
    new_seeds = clustered([r.success for r in rows], [r.seed for r in rows])
    return {
        "pooling": pooling, "demos": demos, "set": spec, **figures(found), "objects": found.objects,
        "seeds": len(by_seed), "clustered_seeds_95": [new_seeds.low, new_seeds.high],
        "by_seed": [k / n for k, n in by_seed.values()],
    }


def _search(cells: Sequence[tuple[dict[str, Any], list[Row]]]) -> list[dict[str, Any]]:
    """Returns one line per try of a learning rate; the best of a pooling is marked, and whether it is at an edge."""
    from toyshift.diagnostics import summarise

    lines: list[dict[str, Any]] = []
    for facts, rows in cells:
        if facts["searched"]:
            of_cell = {name: facts[name] for name in ("pooling", "lr", "samples", "validation_loss")}
            of_rows = {k: v for k, v in figures(summarise(rows)[0]).items() if k != "clustered_objects_95"}
            lines.append(of_cell | of_rows)
    lines.sort(key=lambda x: (_order(x["pooling"], 0, TRAINING), x["lr"]))
    for pooling in {x["pooling"] for x in lines}:
        tries = [x for x in lines if x["pooling"] == pooling]
        best = max(tries, key=lambda x: (x["k"], -(x["validation_loss"] or math.inf), x["lr"]))
        for x in tries:
            x["best"] = x is best
            x["edge"] = x is best and len(tries) > 1 and x["lr"] in (tries[0]["lr"], tries[-1]["lr"])
    return lines


def _differences(groups: dict[tuple[str, int, str], list[Row]]) -> list[dict[str, Any]]:
    """Returns detpool minus every other pooling on the episodes that both played, clustered by object and by seed."""
    from toyshift.diagnostics import compare, paired_difference

    lines = []
    for (pooling, demos, spec), rows in sorted(groups.items(), key=lambda item: _order(*item[0])):
        first = groups.get(("detpool", demos, spec))
        if not demos or pooling == "detpool" or first is None:
            continue
        left, right = ({(r.seed, r.episode): r.success for r in x} for x in (first, rows))
        shared = sorted(left.keys() & right.keys())
        if shared:
            both, seeds = [[wins[i] for i in shared] for wins in (left, right)], [seed for seed, _ in shared]
            by_seed, found = paired_difference(*both, seeds).difference, compare(first, rows)
            of_cell = {"pooling": pooling, "demos": demos, "set": spec, "n": len(shared), "p_value": found.p_value}
            lines.append({**of_cell, "by_object": found.difference.to_json(), "by_seed": by_seed.to_json()})
    return lines


# ---------------------------------------------------------------- the page


SUCCESS = (
    "| pooling | demonstrations | seeds | n | success | 95 % episodes | 95 % new objects | 95 % new seeds "
    "| each seed | lr |"
)
DIFFERENCES = "| on | pooling | demonstrations | n | difference | 95 % new objects | 95 % new seeds | McNemar p |"
TRIES = "| pooling | lr | samples | n | success | 95 % episodes | validation loss | |"


def markdown(table: dict[str, Any]) -> str:
    """Returns the tables in Markdown."""
    settings, success = table["settings"], table["success"]
    encoder, steps, batch = settings["policy"]["encoder"], settings["steps"], settings["batch"]
    samples = f"{steps} steps of {batch} ({steps * batch:,} samples)"
    out = [f"Encoder {encoder}, {samples} in every cell; success in %, zero-shot."]
    if table["missing"]:
        out.append(f"**Not complete:** {len(table['missing'])} cells have not been run yet.")
    for name in dict.fromkeys(line["set"] for line in success):
        rows = [_row(line) for line in success if line["set"] == name]
        out.append(f"### Success on {TITLES[name]}\n\n{markdown_table(SUCCESS, rows)}")
    if table["differences"]:
        made = markdown_table(DIFFERENCES, map(_difference, table["differences"]))
        out.append(f"### detpool minus the others, in points, on the same starts\n\n{made}")
    for other, first in table["same"].items():
        same = f"it is the same network as `{first}`, trained once"
        out.append(f"`{other}` is not a row of its own: {encoder} has no attention to mask, so that {same}.")
    below = f"below {100 * UNDERTRAINED:.0f} % on training toys"
    flagged = f"({below}; says nothing about pooling out of distribution): {'; '.join(table['undertrained'])}."
    out.append(f"**Undertrained** {flagged}" if table["undertrained"] else f"No cell that was run is {below}.")
    if table["search"]:
        made = markdown_table(TRIES, map(_try, table["search"]))
        out.append(f"### Learning rates, judged by success on training toys\n\n{made}")
    return "\n\n".join(out)


def _row(x: dict[str, Any]) -> tuple[object, ...]:
    of_seeds = percents(*x["clustered_seeds_95"]) if x["seeds"] >= FEW and x["demos"] else "-"
    each = ", ".join(f"{100 * rate:.0f}" for rate in x["by_seed"])
    return (
        f"`{x['pooling']}`", x["demos"] or "-", x["seeds"], x["n"], f"{100 * x['rate']:.1f}", percents(*x["wilson_95"]),
        percents(*x["clustered_objects_95"]), of_seeds, each, x["lr"] or "-",
    )  # fmt: skip


def _difference(x: dict[str, Any]) -> tuple[object, ...]:
    of_seeds, value = points(x["by_seed"]) if x["by_seed"]["n"] >= FEW else "-", f"{100 * x['by_object']['value']:+.1f}"
    head = (TITLES[x["set"]], f"`{x['pooling']}`", x["demos"], x["n"])
    return (*head, value, points(x["by_object"]), of_seeds, f"{x['p_value']:.2g}")


def _try(x: dict[str, Any]) -> tuple[object, ...]:
    mark = ("chosen, at the edge of the search" if x["edge"] else "chosen") if x["best"] else ""
    loss = "-" if x["validation_loss"] is None else f"{x['validation_loss']:.4f}"
    head = (f"`{x['pooling']}`", f"{x['lr']:g}", f"{x['samples']:,}", x["n"], f"{100 * x['rate']:.0f}")
    return (*head, percents(*x["wilson_95"]), loss, mark)
