"""Tables and figures of `toyshift study lego-table`, made from the rows that are there."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from toyshift.core.files import read_json, whole_files, write_json
from toyshift.scripts.studies.again import set_name
from toyshift.scripts.studies.cells import no_rows, write_page
from toyshift.scripts.studies.figures import figures, markdown_table, percents, points
from toyshift.scripts.studies.lego_search import BEYOND_RATES, Choice, Try, at_edge, ranked

if TYPE_CHECKING:
    from toyshift.diagnostics import Row

FEW = 3  # seeds; fewer say nothing about other seeds
TRAINING = "toys:train"
TITLES = {"ycb": "real YCB objects", "ycb-like": "YCB-like objects", TRAINING: "training toys"}
SCENES = {"plain": "the plain scene", "table": "another table", "clutter": "clutter"}
REFERENCES, LONG = ("oracle", "random"), "long"
MATCHED = 0.1  # how far two successes on training toys may be apart to be called the same
NAME = "lego-table"


class Key(NamedTuple):
    """What a rate is of: who was trained in which scene, and tested on which set in which scene."""

    pooling: str
    trained_in: str
    set: str
    tested_in: str


Groups = dict[Key, list["Row"]]
Cells = Sequence[tuple[dict[str, Any], list["Row"]]]


def read_cells(folder: Path) -> list[tuple[dict[str, Any], list[Row]]]:
    """Returns manifest and rows of every cell that is there; object sets go by their short names.

    Raises:
        FileError: there is none.
    """
    from toyshift.diagnostics import read_rows, read_rows_manifest

    paths = whole_files(folder / "rows", "*.parquet")
    if not paths:
        raise no_rows(folder, "lego-table")

    def short(path: Path) -> list[Row]:
        return [dataclasses.replace(row, object_set=set_name(row.object_set)) for row in read_rows(path)]

    return [(read_rows_manifest(path), short(path)) for path in paths]


def write_results(folder: Path, docs: Path, same: dict[str, str], missing: Sequence[str]) -> dict[str, Any]:
    """Writes table.json, the generated part of lego_table.md and two figures; returns what table.json holds.

    Args:
        folder: results of the study.
        docs: where page and figures go.
        same: pooling -> pooling that is the same network.
        missing: names of the cells that have not been run.
    """
    from toyshift.scripts.studies.charts import Group, success_chart

    cells = read_cells(folder)
    settings = read_json(folder / "settings.json")["settings"]
    table = tabulate(cells) | {"same": same, "missing": list(missing), "settings": settings}
    write_json(folder / "table.json", table)
    page = docs / "lego_table.md"
    write_page(page, NAME, folder, markdown(table))
    print(markdown(table))
    print(f"table: {folder / 'table.json'}, {page}")
    sets = [name for name in TITLES if any(line["set"] == name for line in table["success"])]
    colours = {scene: i + 1 for i, scene in enumerate(("plain", "varied", "clutter"))} | {"": 0}

    def panel(title: str, lines: Sequence[dict[str, Any]], scenes: bool) -> Group:
        names = [f"{x['pooling']}{' (' + x['trained_in'] + ')' if scenes and x['trained_in'] else ''}" for x in lines]
        return Group(title, [(n, colours[x["trained_in"]], x) for n, x in zip(names, lines, strict=True)])

    plain = [x for x in table["success"] if x["trained_in"] in ("plain", "") and x["tested_in"] == "plain"]
    panels = [panel(TITLES[name], [x for x in plain if x["set"] == name], scenes=False) for name in sets]
    varied = {x["pooling"] for x in table["success"] if x["trained_in"] in ("varied", "clutter")}
    of_scenes = [x for x in table["success"] if x["pooling"] in (*varied, "oracle") and sets and x["set"] == sets[0]]
    tests = [panel(SCENES[s], [x for x in of_scenes if x["tested_in"] == s], scenes=True) for s in SCENES]
    for name, groups in (("lego_table", panels), ("lego_scenes", tests if varied else [])):
        if groups:  # none while only the search has been run
            success_chart(docs / f"{name}.png", groups)
            print(f"figure: {docs / name}.png")
    return table


# ---------------------------------------------------------------- figures from rows


def tabulate(cells: Cells) -> dict[str, Any]:
    """Returns the search, success with retention, the differences to detection pooling, and the long cells."""
    from toyshift.diagnostics.retention import is_undertrained

    groups: Groups = {}
    for facts, rows in cells:
        kind = facts["kind"]
        if kind["tried"] or kind["scene"] == LONG:
            continue
        trained_in = "" if kind["pooling"] in REFERENCES else kind["scene"]
        for row in rows:
            groups.setdefault(Key(kind["pooling"], trained_in, row.object_set, tested_in(row)), []).append(row)
    ordered = dict(sorted(groups.items(), key=lambda item: _order(item[0])))
    success = [_line(key, rows, ordered) for key, rows in ordered.items()]
    undertrained = [
        f"{x['pooling']}, trained in {SCENES.get(x['trained_in'], x['trained_in'] + ' scenes')}" for x in success
        if x["set"] == TRAINING and x["trained_in"] and is_undertrained(x["rate"])
    ]
    long = _long(cells)
    return {
        "search": _search(cells), "success": success, "differences": _differences(ordered),
        "undertrained": undertrained, "long": long, "matched": _matched(cells),
    }


def tested_in(row: Row) -> str:
    """Returns the scene that a row was played in."""
    return "table" if row.shift else "clutter" if row.scene else "plain"


def _order(key: Key) -> tuple[Any, ...]:
    trained = ("plain", "varied", "clutter", "")
    sets, scenes = list(TITLES), list(SCENES)
    return sets.index(key.set), scenes.index(key.tested_in), trained.index(key.trained_in), _place(key.pooling)


def _place(pooling: str) -> tuple[int, str]:
    from toyshift.policies.config import POOLING_NAMES

    known = (*POOLING_NAMES, *REFERENCES)
    return known.index(pooling.partition("+")[0]), pooling


def _line(key: Key, rows: list[Row], groups: Groups) -> dict[str, Any]:
    from toyshift.diagnostics import clustered, per_seed, summarise
    from toyshift.diagnostics.retention import retention

    found, by_seed = summarise(rows)[0], per_seed(rows)
    new_seeds = clustered([r.success for r in rows], [r.seed for r in rows])
    toys = [x for k, x in groups.items() if k[:3] == (key.pooling, key.trained_in, TRAINING)]
    kept = retention(found, summarise(toys[0])[0]).ratio.to_json() if key.set != TRAINING and toys else None
    return {
        **key._asdict(), **figures(found), "objects": found.objects, "retention": kept, "seeds": len(by_seed),
        "clustered_seeds_95": [new_seeds.low, new_seeds.high], "by_seed": [k / n for k, n in by_seed.values()],
        "failures": found.failures,
    }


def _search(cells: Cells) -> list[dict[str, Any]]:
    """Returns one line per try, in order; the best of a pooling is marked, and whether its rate is at an edge."""
    tries: dict[str, list[tuple[Try, int, int]]] = {}
    rates = next((len(facts["config"]["rates"]) for facts, _ in cells if facts["kind"]["tried"]), 0)
    for facts, rows in sorted(cells, key=lambda cell: cell[0]["kind"]["tried"]):
        if facts["kind"]["tried"]:
            one = Try(Choice(**facts["choice"]), sum(row.success for row in rows), facts["validation_loss"])
            tries.setdefault(facts["kind"]["pooling"], []).append((one, len(rows), facts["samples"]))
    lines = []
    for pooling, of_pooling in sorted(tries.items(), key=lambda item: _place(item[0])):
        alone = [one for one, _, _ in of_pooling]
        best = ranked(alone)[0]
        for i, (one, n, samples) in enumerate(of_pooling, 1):
            chosen = one.choice == best
            lines.append({
                "pooling": pooling, "try": i, **dataclasses.asdict(one.choice), "samples": samples, "n": n,
                "k": one.successes, "validation_loss": one.validation_loss, "best": chosen,
                "edge": chosen and at_edge(alone), "complete": len(alone) == rates + BEYOND_RATES,
            })
    return lines


def _differences(groups: Mapping[Key, list[Row]]) -> list[dict[str, Any]]:
    """Returns detpool minus every other pooling of the same training scene, on the episodes that both played.

    Clustered by object and by seed; McNemar's p, and Holm's over all of them.
    """
    from toyshift.diagnostics.statistics import holm

    lines = []
    for key, rows in groups.items():
        first = groups.get(key._replace(pooling="detpool"))
        if key.trained_in and key.pooling != "detpool" and first is not None:
            lines.append(key._asdict() | paired(first, rows))
    corrected = holm([x["p_value"] for x in lines])
    return [x | {"holm_p": p} for x, p in zip(lines, corrected, strict=True)]


def paired(first: Sequence[Row], second: Sequence[Row]) -> dict[str, Any]:
    """Returns the difference of two policies on the episodes that both played, by object and by seed."""
    from toyshift.diagnostics import compare, paired_difference

    left, right = ({(r.seed, r.episode): r.success for r in x} for x in (first, second))
    shared = sorted(left.keys() & right.keys())
    both = [[wins[i] for i in shared] for wins in (left, right)]
    found, by_seed = compare(first, second), paired_difference(*both, [seed for seed, _ in shared]).difference
    by_object = found.difference.to_json()
    return {"n": len(shared), "p_value": found.p_value, "by_object": by_object, "by_seed": by_seed.to_json()}


def _long_groups(cells: Cells) -> dict[tuple[str, int], dict[str, list[Row]]]:
    """Returns the rows of long cells by (pooling, steps of training), then by set."""
    groups: dict[tuple[str, int], dict[str, list[Row]]] = {}
    for facts, rows in cells:
        if facts["kind"]["scene"] == LONG:
            last = facts["config"]["long_steps"]
            for row in rows:
                _, _, step = row.policy.partition(" at ")
                sets = groups.setdefault((facts["kind"]["pooling"], int(step or last)), {})
                sets.setdefault(row.object_set, []).append(row)
    return dict(sorted(groups.items(), key=lambda item: (_place(item[0][0]), item[0][1])))


def _long(cells: Cells) -> list[dict[str, Any]]:
    """Returns success along the training of the long cells."""
    from toyshift.diagnostics import summarise

    return [
        {"pooling": pooling, "steps": steps, "set": name, **figures(summarise(rows)[0])}
        for (pooling, steps), sets in _long_groups(cells).items() for name, rows in sets.items()
    ]


def _matched(cells: Cells) -> list[dict[str, Any]]:
    """Returns detpool minus every other pooling on new objects, where both lift as many training toys.

    Of each pooling its last weights; of detpool's weights along training those that are nearest on training toys.
    """
    groups = _long_groups(cells)

    def rate(sets: dict[str, list[Row]]) -> float:
        return float(np.mean([r.success for r in sets[TRAINING]]))

    own = {steps: sets for (pooling, steps), sets in groups.items() if pooling == "detpool"}
    lines = []
    for pooling in dict.fromkeys(p for p, _ in groups if p != "detpool"):
        steps = max(s for p, s in groups if p == pooling)
        other = groups[pooling, steps]
        nearest = min(own, key=lambda s: abs(rate(own[s]) - rate(other)), default=None)
        if nearest is None or abs(rate(own[nearest]) - rate(other)) > MATCHED:
            continue
        rates = {"detpool_steps": nearest, "detpool_toys": rate(own[nearest]), "toys": rate(other)}
        head = {"pooling": pooling, "steps": steps, **rates}
        new = [name for name in other if name != TRAINING]
        lines += [head | {"set": name} | paired(own[nearest][name], other[name]) for name in new]
    return lines


# ---------------------------------------------------------------- the page


SUCCESS = (
    "| pooling | trained in | tested in | seeds | n | success | 95 % new objects | 95 % new seeds | each seed "
    "| retention |"
)
DIFFERENCES = (
    "| on | in | trained in | pooling | n | difference | 95 % new objects | 95 % new seeds | McNemar p | Holm p |"
)
TRIES = "| pooling | try | lr | jitter | LayerNorm | samples | n | success | validation loss | |"
ALONG = "| pooling | steps | on | n | success | 95 % new objects |"
ALIKE = "| on | pooling, toys | detpool at step, toys | n | difference | 95 % new objects | McNemar p |"


def markdown(table: dict[str, Any]) -> str:
    """Returns the tables in Markdown."""
    from toyshift.diagnostics.retention import UNDERTRAINED

    settings, success = table["settings"], table["success"]
    encoder, steps, batch = settings["policy"]["encoder"], settings["steps"], settings["batch"]
    samples = f"{steps} steps of {batch} ({steps * batch:,} samples)"
    cell = f"Encoder {encoder}, {settings['demos']} demonstrations, {samples}"
    out = [f"{cell}; success in %, zero-shot on all sets but the training toys."]
    if table["missing"]:
        out.append(f"**Not complete:** {len(table['missing'])} cells have not been run yet.")
    below = f"below {100 * UNDERTRAINED:.0f} % on training toys"
    flagged = f"({below}; says nothing about pooling out of distribution): {'; '.join(table['undertrained'])}."
    if success:
        out.append(f"**Undertrained** {flagged}" if table["undertrained"] else f"No cell that was run is {below}.")
    for name in dict.fromkeys(line["set"] for line in success):
        rows = [_row(line) for line in success if line["set"] == name]
        out.append(f"### Success on {TITLES[name]}\n\n{markdown_table(SUCCESS, rows)}")
    for title, head, line, entry in (
        ("detpool minus the others, in points, on the same starts", DIFFERENCES, _difference, "differences"),
        (f"Along {settings['long_steps']} steps of training, one seed", ALONG, _along, "long"),
        ("detpool minus the others where both lift as many training toys, one seed", ALIKE, _alike, "matched"),
        ("The search, judged by success on training toys from starts of their own", TRIES, _try, "search"),
    ):
        if table[entry]:
            out.append(f"### {title}\n\n{markdown_table(head, map(line, table[entry]))}")
    for other, first in table["same"].items():
        same = f"it is the same network as `{first}`, trained once"
        out.append(f"`{other}` is not a row of its own: {encoder} has no attention to mask, so that {same}.")
    return "\n\n".join(out)


def _row(x: dict[str, Any]) -> tuple[object, ...]:
    of_seeds = percents(*x["clustered_seeds_95"]) if x["seeds"] >= FEW and x["trained_in"] else "-"
    each = ", ".join(f"{100 * rate:.0f}" for rate in x["by_seed"])
    kept = x["retention"]
    of_toys = "-"
    if kept and isinstance(kept["value"], float):
        high = f"{kept['high']:.2f}" if isinstance(kept["high"], float) else "?"
        of_toys = f"{kept['value']:.2f} ({kept['low']:.2f}-{high})"
    head = f"`{x['pooling']}`", x["trained_in"] or "-", x["tested_in"], x["seeds"], x["n"], f"{100 * x['rate']:.1f}"
    return (*head, percents(*x["clustered_objects_95"]), of_seeds, each, of_toys)


def _difference(x: dict[str, Any]) -> tuple[object, ...]:
    of_seeds, value = points(x["by_seed"]) if x["by_seed"]["n"] >= FEW else "-", f"{100 * x['by_object']['value']:+.1f}"
    head = (TITLES[x["set"]], x["tested_in"], x["trained_in"], f"`{x['pooling']}`", x["n"])
    return (*head, value, points(x["by_object"]), of_seeds, f"{x['p_value']:.2g}", f"{x['holm_p']:.2g}")


def _along(x: dict[str, Any]) -> tuple[object, ...]:
    rate, objects = f"{100 * x['rate']:.0f}", percents(*x["clustered_objects_95"])
    return f"`{x['pooling']}`", f"{x['steps']:,}", TITLES[x["set"]], x["n"], rate, objects


def _alike(x: dict[str, Any]) -> tuple[object, ...]:
    other = f"`{x['pooling']}`, {100 * x['toys']:.0f} %"
    own = f"{x['detpool_steps']:,}, {100 * x['detpool_toys']:.0f} %"
    value = f"{100 * x['by_object']['value']:+.1f}"
    return TITLES[x["set"]], other, own, x["n"], value, points(x["by_object"]), f"{x['p_value']:.2g}"


def _try(x: dict[str, Any]) -> tuple[object, ...]:
    chosen = "chosen" if x["complete"] else "best so far"
    mark = f"{chosen}, at the edge of the search" if x["edge"] else chosen if x["best"] else ""
    loss = "-" if x["validation_loss"] is None else f"{x['validation_loss']:.4f}"
    asked = (f"{x['lr']:g}", *("yes" if x[name] else "no" for name in ("jitter", "norm")))
    return (f"`{x['pooling']}`", x["try"], *asked, f"{x['samples']:,}", x["n"], f"{x['k']}/{x['n']}", loss, mark)
