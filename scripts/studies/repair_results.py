"""Table, page and figure of `toyshift study repair`, made from the rows that are there; so is every sentence."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toyshift.core.files import read_json, whole_files, write_json
from toyshift.scripts.studies.cells import no_rows, write_page
from toyshift.scripts.studies.figures import markdown_table, points
from toyshift.scripts.studies.lego_search import Choice, Try, at_edge, ranked
from toyshift.scripts.studies.planted import ALPHA, PlantedCue, as_one, swapped_cells
from toyshift.scripts.studies.repair_entries import BASELINES, CLEAN, DUPLICATE, NONE, OTHER, OWN

if TYPE_CHECKING:
    from toyshift.diagnostics import Row

NAME = "repair"
HALF = 0.5  # of the degree of shortcut learning without a repair: what a repair is to come below
ID, OOD, ELSEWHERE = "id", "ood", "elsewhere"
NATURAL, OTHER_TABLES = "natural", "table-texture=5"
TITLES = {"object_colour": "the object's colour", "azimuth": "the viewpoint", NATURAL: "one table in training"}
KINDS = {"control": 0, "data": 1, "training": 2}  # the figure's colours
Cells = Sequence[tuple[dict[str, Any], list["Row"]]]


def write_results(folder: Path, docs: Path, missing: Sequence[str]) -> dict[str, Any]:
    """Writes table.json, the generated part of repair.md and a figure; returns what table.json holds.

    Args:
        folder: results of the study.
        docs: where page and figure go.
        missing: names of the cells that have not been run.

    Raises:
        FileError: there are no rows.
    """
    from toyshift.diagnostics import read_rows, read_rows_manifest

    paths = whole_files(folder / "rows", "*.parquet")
    if not paths:
        raise no_rows(folder, NAME)
    cells = [(read_rows_manifest(path), read_rows(path)) for path in paths]
    table = tabulate(cells) | {"missing": [*missing], "settings": read_json(folder / "settings.json")["settings"]}
    found = sections(table)
    write_json(folder / "table.json", found)
    made = markdown(table)
    write_page(docs / "repair.md", NAME, folder, made)
    print(made)
    if any(not x["refused"] for x in table["rows"]):
        draw(docs / "repair.png", table)
    return found


# ---------------------------------------------------------------- figures from rows


def tabulate(cells: Cells) -> dict[str, Any]:
    """Returns a line per shortcut and entry with its differences, the comparison of two directions, and the search."""
    groups: dict[tuple[str, str], list[tuple[dict[str, Any], list[Row]]]] = {}
    for facts, rows in sorted(cells, key=lambda cell: cell[0]["part"]["seed"]):
        if not facts["part"]["tried"]:
            groups.setdefault((facts["part"]["bed"], facts["part"]["entry"]), []).append((facts, rows))
    ordered = dict(sorted(groups.items(), key=lambda item: _order(*item[0])))
    lines = [_line(bed, seeds) for (bed, _), seeds in ordered.items()]
    split = {key: split_rows(seeds) for key, seeds in ordered.items()}
    for line in lines:
        own = split[line["bed"], line["entry"]]
        line["against"] = {
            base: {what: difference(own[what], split[line["bed"], base][what]) for what in (ID, OOD)}
            for base in BASELINES if base != line["entry"] and (line["bed"], base) in split
        }  # fmt: skip
    _correct(lines)
    directions = {
        bed: difference(split[bed, OTHER][OOD], split[bed, OWN][OOD]) for bed in TITLES
        if (bed, OTHER) in split and (bed, OWN) in split
    }  # fmt: skip
    both = [[row for bed in directions for row in split[bed, name][OOD]] for name in (OTHER, OWN)]
    if len(directions) > 1:
        directions["all"] = difference(*both)
    return {"rows": lines, "directions": {k: x for k, x in directions.items() if x}, "search": _search(cells)}


def _order(bed: str, entry: str) -> tuple[int, int]:
    from toyshift.scripts.studies.repair_entries import every_entry

    names = [*every_entry()]
    return [*TITLES].index(bed), names.index(entry) if entry in names else len(names)


def split_rows(seeds: Cells) -> dict[str, list[Row]]:
    """Returns the rows of all seeds: as in training, with the shortcut's cue otherwise, and on other tables."""
    out: dict[str, list[Row]] = {ID: [], OOD: [], ELSEWHERE: []}
    for facts, rows in seeds:
        if facts["part"]["bed"] == NATURAL:
            for row in rows:
                out[OOD if row.shift else ELSEWHERE if row.look else ID].append(row)
        else:
            for cell, played in swapped_cells(_cue(facts), rows):
                out[OOD if cell.swapped else ID] += played
    return out


def _cue(facts: Mapping[str, Any]) -> PlantedCue:
    return PlantedCue(facts["part"]["bed"], facts["disparity"], 1.0)


def _line(bed: str, seeds: Cells) -> dict[str, Any]:
    """Returns what all seeds say of an entry; their policies are one policy here, their objects the clusters."""
    from toyshift.diagnostics.retention import is_undertrained

    facts = seeds[0][0]
    entry = facts["entry"]
    refused = next((one["refused"] for one, _ in seeds if one.get("refused")), "")
    line: dict[str, Any] = {
        "bed": bed, "entry": entry["name"], "kind": entry["kind"], "does": entry["does"],
        "privileged": entry["privileged"], "refused": refused, "seeds": len(seeds), "lr": facts.get("lr"),
        "spec": facts.get("spec", ""), "passes": facts.get("passes"), "steps": facts.get("steps"),
    }  # fmt: skip
    if refused:
        return line
    rows = split_rows(seeds)
    for what in (ID, OOD, ELSEWHERE):
        line[what] = _share(rows[what], [split_rows([one])[what] for one in seeds])
    line["dsl"] = line["by_chance"] = line["excess"] = None
    if bed != NATURAL:
        found = _swapped(seeds)
        line["dsl"] = found.degree.dsl.to_json() | {"by_seed": [_swapped([one]).degree.dsl.value for one in seeds]}
        line["by_chance"], line["verdict"] = found.by_chance.dsl.to_json(), found.verdict
        line["excess"] = found.excess and found.excess.difference.to_json()
    line["incapable"] = bool(is_undertrained(line[ID]["value"]))
    for name in ("train_seconds", "data_seconds"):
        known = [one[name] for one, _ in seeds if name in one]
        line[name] = statistics.median(known) if known else None
    return line


def _share(rows: Sequence[Row], by_seed: Sequence[Sequence[Row]]) -> dict[str, Any] | None:
    from toyshift.diagnostics import clustered

    if not rows:
        return None
    found = clustered([row.success for row in rows], [row.object_id for row in rows])
    each = [float(np.mean([row.success for row in one])) for one in by_seed if one]
    return {**found.to_json(), "episodes": len(rows), "by_seed": each}


def _swapped(seeds: Cells) -> Any:
    """Returns what swapped cues show of an entry."""
    from toyshift.diagnostics.swapped import swapped_of

    return swapped_of(swapped_cells(_cue(seeds[0][0]), as_one([rows for _, rows in seeds])))


def difference(first: Sequence[Row], second: Sequence[Row]) -> dict[str, Any] | None:
    """Returns the success of one side minus the other's, on the starts that both played; None without any.

    Interval and p are for new objects; `p_episodes` is McNemar's.
    """
    from toyshift.diagnostics.comparing.counts import Counts

    def start(row: Row) -> tuple[str, str, int, int]:
        return row.look, row.shift, row.seed, row.episode

    sides = [{start(row): row for row in rows} for rows in (first, second)]
    shared = sorted(sides[0].keys() & sides[1].keys())
    if not shared:
        return None
    won = np.array([[side[k].success for k in shared] for side in sides])  # (2, n)
    _, which = np.unique([sides[0][k].object_id for k in shared], return_inverse=True)

    def by_object(values: Any) -> Any:
        return np.bincount(which, weights=np.asarray(values, dtype=np.float64))

    n = by_object(np.ones(len(shared)))
    only = by_object(won[0] & ~won[1]), by_object(won[1] & ~won[0])
    counts = Counts(True, by_object(won[0]), n, by_object(won[1]), n, *only)
    low, high = counts.for_objects(0.95)
    seeds = np.array([seed for _, _, seed, _ in shared])
    each = [float(won[0, seeds == s].mean() - won[1, seeds == s].mean()) for s in np.unique(seeds)]
    return {
        "value": counts.value, "low": low, "high": high, "n": len(shared), "objects": counts.objects,
        "p": counts.p_objects(), "p_episodes": counts.p_episodes(), "by_seed": each,
    }  # fmt: skip


def _correct(lines: Sequence[dict[str, Any]]) -> None:
    """Adds Holm's p to every comparison of a repair with the cue swapped, over all shortcuts and baselines together.

    Controls are not repairs: they are in no family.
    """
    from toyshift.diagnostics.statistics import holm

    tests = [
        found[OOD] for line in lines if line["kind"] != "control" for found in line["against"].values() if found[OOD]
    ]
    for test, p in zip(tests, holm([test["p"] for test in tests]), strict=True):
        test["holm_p"] = p


def _search(cells: Cells) -> list[dict[str, Any]]:
    """Returns what each entry's learning rates came to, the best one marked, and whether it is at an edge."""
    tries: dict[str, list[tuple[Try, int]]] = {}
    for facts, rows in sorted(cells, key=lambda cell: cell[0]["part"]["tried"]):
        if facts["part"]["tried"] and not facts.get("refused"):
            one = Try(Choice(facts["lr"]), sum(row.success for row in rows), facts["validation_loss"])
            tries.setdefault(facts["part"]["entry"], []).append((one, len(rows)))
    lines = []
    for entry, some in sorted(tries.items(), key=lambda item: _order(NATURAL, item[0])):
        alone = [one for one, _ in some]
        best = ranked(alone)[0]
        rates = [{"lr": one.choice.lr, "k": one.successes, "n": n, "best": one.choice == best} for one, n in some]
        lines.append({"entry": entry, "rates": rates, "edge": at_edge(alone)})
    return lines


def sections(table: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what table.json holds: lists of lines, as a report reads them (docs/report.md)."""
    success, differences = [], []
    for x in table["rows"]:
        where = {"repair": x["entry"], "shortcut": x["bed"]}
        shares = {f"{what}_success": x.get(what) for what in (ID, OOD, ELSEWHERE)}
        shares |= {name: x.get(name) for name in ("dsl", "by_chance")}
        names = (
            "kind", "privileged", "seeds", "lr", "spec", "steps", "passes", "train_seconds", "data_seconds", "verdict",
            "incapable", "refused",
        )  # fmt: skip
        told = {name: x[name] for name in names if x.get(name) not in (None, "")}
        success.append(where | {name: share for name, share in shares.items() if share} | told)
        differences += [
            where | {"minus": base, "played": what, **_flat(found)}
            for base, both in x["against"].items() for what, found in both.items() if found
        ]  # fmt: skip
    both = {"repair": OTHER, "minus": OWN}
    directions = [{"shortcut": bed, **both, **_flat(x)} for bed, x in table["directions"].items()]
    tries = [{"repair": x["entry"], **rate} for x in table["search"] for rate in x["rates"]]
    out = {"success": success, "differences": differences, "directions": directions, "search": tries}
    return out | {"says": sentences(table), "missing": table["missing"], "settings": table["settings"]}


def _flat(found: Mapping[str, Any]) -> dict[str, Any]:
    interval = {name: found[name] for name in ("value", "low", "high")}
    return {"difference": interval} | {name: x for name, x in found.items() if name not in interval}


# ---------------------------------------------------------------- sentences


def sentences(table: Mapping[str, Any]) -> list[str]:
    """Returns what the rows say, negative or not."""
    lines = [x for x in table["rows"] if not x["refused"]]
    compared = [x for x in lines if x["kind"] != "control" and complete(x)]
    planted, natural = ([x for x in compared if (x["bed"] == NATURAL) == is_natural] for is_natural in (False, True))
    out = []
    if table["missing"]:
        out.append(f"**Not complete:** {len(table['missing'])} cells have not been run yet.")
    out += [_shortcut(x, lines) for x in lines if x["entry"] == NONE]
    if planted:
        out += _who_repairs(table, planted)
    if natural:
        told = [f"`{x['entry']}` {_points(x['against'][NONE][OOD])}" for x in natural if beats_all(x)]
        head = f"On {TITLES[NATURAL]}, under `{OTHER_TABLES}` above `{NONE}` and `{DUPLICATE}`, Holm p < 0.05 each"
        out += _list(f"{head} ({len(natural)} rows of repairs)", told or ["none of them"])
    out += [_direction(bed, x) for bed, x in table["directions"].items()]
    repairs = [x for x in lines if x["kind"] != "control"]
    worse = [x for x in repairs if any(_sure(found[OOD]) == -1 for found in x["against"].values())]
    out += _list("Worse with the cue otherwise than one of the three, Holm p < 0.05", _grouped(worse))
    costly = [x for x in repairs if (cost := _against(x, NONE, ID)) and cost["high"] < 0]
    costs = (f"{_where(x)} {_points(x['against'][NONE][ID])}" for x in costly)
    out += _list("Cost with nothing swapped, in points against `none` (interval below 0)", costs)
    weak = "Incapable, below 20 % with nothing swapped (their DSL says nothing)"
    out += _list(weak, _grouped(x for x in lines if x["incapable"]))
    refused = (f"{_where(x)}: {x['refused']}" for x in table["rows"] if x["refused"])
    out += _list("Not to be had of these data", refused)
    edge = [f"`{x['entry']}`" for x in table["search"] if x["edge"]]
    out += _list("Best learning rate at an end of those tried", edge)
    return out


def _shortcut(none: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> str:
    """Says what there is to repair: whether there is a shortcut, and how far below the ceiling success is."""
    clean = next((x for x in lines if (x["bed"], x["entry"]) == (none["bed"], CLEAN)), None)
    parts = [f"success {_percent(none[ID])} % as in training, {_percent(none[OOD])} % otherwise"]
    parts += [f"DSL {_ratio(none['dsl']['value'])}; {none['verdict']}"] if none["dsl"] else []
    parts += [f"`{CLEAN}`, the ceiling, {_percent(clean[OOD])} % otherwise"] if clean else []
    return f"What there is to repair on {TITLES[none['bed']]}, of `{NONE}`: {'; '.join(parts)}."


def baselines(bed: str) -> tuple[str, ...]:
    """Returns what a repair must beat; a natural shortcut's one dataset has no other to turn from."""
    return tuple(base for base in BASELINES if bed != NATURAL or base != OWN)


def complete(line: Mapping[str, Any]) -> bool:
    """Whether a line was compared with all baselines."""
    return all(line["against"].get(base, {}).get(OOD) for base in baselines(line["bed"]) if base != line["entry"])


def beats_all(line: Mapping[str, Any]) -> bool:
    """Whether a repair succeeds more often with the cue otherwise than each baseline, Holm p < 0.05 each."""
    return complete(line) and all(_sure(line["against"][base][OOD]) == 1 for base in baselines(line["bed"]))


def _sure(found: Mapping[str, Any] | None) -> int:
    """Returns the sign of a difference whose corrected p is below the level; 0 of another one."""
    if not found or found.get("holm_p", 1.0) >= ALPHA:
        return 0
    return 1 if found["value"] > 0 else -1


def dsl_ratio(line: Mapping[str, Any], none: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a line's degree of shortcut learning over that of no repair, with its interval."""
    from toyshift.diagnostics.statistics import Estimate, rate_ratio

    top, bottom = (Estimate.from_json({k: x["dsl"][k] for k in ("value", "low", "high", "n")}) for x in (line, none))
    return rate_ratio(top, bottom).to_json()


def has_shortcut(none: Mapping[str, Any]) -> bool:
    """Whether policies without a repair take a planted shortcut, so that there is something to repair.

    They are able, and go to the cue's place more often than by chance, with the whole interval.
    """
    return not none["incapable"] and bool(none["excess"]) and none["excess"]["low"] > 0


def _who_repairs(table: Mapping[str, Any], planted: Sequence[Mapping[str, Any]]) -> list[str]:
    """Says which repairs beat all three baselines, and whether they halve the degree of shortcut learning.

    That is compared where there is a shortcut, and of rows that are able.
    """
    none = {x["bed"]: x for x in table["rows"] if x["entry"] == NONE and not x["refused"]}
    there = [bed for bed, x in none.items() if bed != NATURAL and has_shortcut(x)]
    better = [x for x in planted if beats_all(x)]
    comparable = [x for x in better if x["bed"] in there and not x["incapable"]]
    ratios = {x["bed"] + x["entry"]: dsl_ratio(x, none[x["bed"]]) for x in comparable}

    def text(x: Mapping[str, Any]) -> str:
        ratio, gain = ratios[x["bed"] + x["entry"]], x["against"][NONE][OOD]
        low, high = (_ratio(ratio[k]) for k in ("low", "high"))
        told = f"{_where(x)} {_points(gain)}, DSL {_ratio(ratio['value'])} of `none`'s ({low} to {high}"
        told += ")" if _is_at_most(ratio["high"], HALF) else f", which reaches above {HALF}: not sure to be half)"
        return told + (f"; privileged: {x['privileged']}" if x["privileged"] else "")

    halved = [x for x in comparable if _is_at_most(ratios[x["bed"] + x["entry"]]["value"], HALF)]
    rest = [x for x in comparable if x not in halved]
    beaten = "success with the cue swapped above `none`, `duplicate` and `toward-own`, Holm p < 0.05 each"
    out = _list(f"Repairs that halve DSL, with {beaten}", map(text, halved))
    if not halved and there:
        names = {x["entry"] for x in planted if x["bed"] in there}
        out = [f"None of {len(names)} rows of repairs halves DSL with {beaten}."]
    out += _list(f"Do not halve DSL, but have {beaten}", map(text, rest))
    odd = [x for x in better if x not in comparable]
    why = "no DSL is compared, since `none` has no shortcut there that is shown, or one of the two is incapable"
    return out + _list(f"Have {beaten}, but {why}", (f"{_where(x)} {_points(x['against'][NONE][OOD])}" for x in odd))


def _is_at_most(value: Any, limit: float) -> bool:
    """Whether a figure of JSON, which may be undefined or infinite, is at most so large."""
    return isinstance(value, int | float) and value <= limit


def _direction(bed: str, found: Mapping[str, Any]) -> str:
    """Says whether looks toward the other sub-dataset's side do more than looks toward the own one."""
    where = "Over all shortcuts" if bed == "all" else f"On {TITLES[bed]}"
    word = (
        "more, as the theory says" if found["low"] > 0 else "less, against what the theory says" if found["high"] < 0
        else "neither shown to be more nor less"
    )  # fmt: skip
    return f"{where}, success of `{OTHER}` minus that of `{OWN}` with the cue swapped: {_points(found)}: {word}."


def _list(head: str, items: Iterable[str]) -> list[str]:
    told = "; ".join(items)
    return [f"{head}: {told}."] if told else []


def _grouped(lines: Iterable[Mapping[str, Any]]) -> list[str]:
    """Returns "on the viewpoint `a`, `b`" for each shortcut."""
    names: dict[str, list[str]] = {}
    for x in lines:
        names.setdefault(x["bed"], []).append(f"`{x['entry']}`")
    return [f"on {TITLES[bed]} {', '.join(some)}" for bed, some in names.items()]


def _where(x: Mapping[str, Any]) -> str:
    return f"`{x['entry']}` on {TITLES[x['bed']]}"


def _points(found: Mapping[str, Any]) -> str:
    return f"{100 * found['value']:+.0f} ({points(dict(found))})"


def _ratio(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else "?" if value is None else str(value)


def _against(line: Mapping[str, Any], base: str, what: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = line["against"].get(base, {}).get(what)
    return found


# ---------------------------------------------------------------- the page


PLANTED = (
    "| | kind | success, own cue | success, cue swapped | each seed | DSL | by chance | change against `none` | p | "
    "Holm p | against `duplicate`, Holm p | against `toward-own`, Holm p | change, own cue | seconds | lr | "
    "privileged |"
)
ELSE = (
    "| | kind | success, that table | success, `table-texture=5` | each seed | other tables | change against `none` | "
    "p | Holm p | against `duplicate`, Holm p | change, that table | seconds | lr | privileged |"
)
TRIES = "| | successes of episodes by learning rate, the best in bold |"


def markdown(table: Mapping[str, Any]) -> str:
    """Returns what the page says of the rows."""
    size = table["settings"]
    samples = f"{size['steps']} x {size['batch']} = {size['steps'] * size['batch']:,}"
    out = [f"{size['pooling']} pooling, {size['demos']} demonstrations, {samples} gradient samples for everyone. "
           "Success in %, changes in points, with 95 % for new objects."]  # fmt: skip
    if told := sentences(table):
        out.append("\n".join(f"- {one}" for one in told))
    for bed, title in TITLES.items():
        lines = [x for x in table["rows"] if x["bed"] == bed and not x["refused"]]
        if lines:
            head, row = (ELSE, _natural) if bed == NATURAL else (PLANTED, _planted)
            out.append(f"### {title[0].upper()}{title[1:]}\n\n{markdown_table(head, map(row, lines))}")
    if table["search"]:
        rows = [(f"`{x['entry']}`", "; ".join(map(_rate, x["rates"]))) for x in table["search"]]
        out.append(f"### The search, on the table's own cue\n\n{markdown_table(TRIES, rows)}")
    return "\n\n".join(out)


def _planted(x: Mapping[str, Any]) -> tuple[object, ...]:
    dsl, chance = (f"{d['value']:.2f} ({d['low']:.2f}-{d['high']:.2f})" if d["value"] is not None else "-"
                   for d in (x["dsl"], x["by_chance"]))  # fmt: skip
    return (
        f"`{x['entry']}`", x["kind"], _percent(x[ID]), _percent(x[OOD]), _each(x[OOD]), dsl, chance,
        *_compared(x, NONE), _beside(x, DUPLICATE), _beside(x, OWN), *_end(x),
    )  # fmt: skip


def _natural(x: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        f"`{x['entry']}`", x["kind"], _percent(x[ID]), _percent(x[OOD]), _each(x[OOD]), _percent(x[ELSEWHERE]),
        *_compared(x, NONE), _beside(x, DUPLICATE), *_end(x),
    )  # fmt: skip


def _end(x: Mapping[str, Any]) -> tuple[str, ...]:
    cost, seconds = _against(x, NONE, ID), [x[k] for k in ("train_seconds", "data_seconds") if x[k] is not None]
    return (
        _points(cost) if cost else "-", f"{sum(seconds):.0f}" if seconds else "-",
        f"{x['lr']:g}" if x["lr"] else "-", x["privileged"] or "-",
    )  # fmt: skip


def _compared(x: Mapping[str, Any], base: str) -> tuple[str, str, str]:
    found = _against(x, base, OOD)
    if not found:
        return "-", "-", "-"
    return _points(found), f"{found['p']:.2g}", f"{found['holm_p']:.2g}" if "holm_p" in found else "-"


def _beside(x: Mapping[str, Any], base: str) -> str:
    change, _, p = _compared(x, base)
    return change if p == "-" else f"{change}, {p}"


def _percent(x: Mapping[str, Any] | None) -> str:
    return f"{100 * x['value']:.0f} ({100 * x['low']:.0f}-{100 * x['high']:.0f})" if x else "-"


def _each(x: Mapping[str, Any] | None) -> str:
    return ", ".join(f"{100 * rate:.0f}" for rate in x["by_seed"]) if x else "-"


def _rate(x: Mapping[str, Any]) -> str:
    told = f"{x['lr']:g}: {x['k']} of {x['n']}"
    return f"**{told}**" if x["best"] else told


def draw(out: Path, table: Mapping[str, Any]) -> None:
    """Draws success with the cue otherwise, and of planted cues the degree of shortcut learning."""
    from toyshift.scripts.studies.charts import Group, success_chart

    lines = [x for x in table["rows"] if not x["refused"]]

    def panel(bed: str, what: str, title: str) -> Group:
        of_bed = [(x["entry"], KINDS[x["kind"]], x[what]) for x in lines if x["bed"] == bed]
        shown: Callable[[Mapping[str, Any]], dict[str, Any]] = lambda d: {  # noqa: E731
            "rate": d["value"], "clustered_objects_95": (d["low"], d["high"]),
            "by_seed": [rate for rate in d["by_seed"] if rate == rate],  # nan where nothing is defined
        }
        return Group(title, [(name, kind, shown(d)) for name, kind, d in of_bed if d and d["value"] is not None])

    groups = [panel(bed, OOD, f"{bed}: success") for bed in TITLES if any(x["bed"] == bed for x in lines)]
    groups += [panel(bed, "dsl", f"{bed}: DSL") for bed in TITLES if any(x["bed"] == bed and x["dsl"] for x in lines)]
    what, more = "shares with the cue otherwise", "grey: controls, orange: data, blue: training"
    success_chart(out, groups, what, more)
