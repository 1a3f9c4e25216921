"""The shift matrix from its rows: a line per factor and level, the ranking, the pairs, agreement with other rates."""

from __future__ import annotations

import collections
import dataclasses
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toyshift.core.errors import ConfigError, FileError
from toyshift.core.files import whole_files, write_json, write_text
from toyshift.scripts.studies.again import set_name
from toyshift.scripts.studies.cells import no_rows, write_page
from toyshift.scripts.studies.figures import figures, markdown_table, percents, points

if TYPE_CHECKING:
    from toyshift.diagnostics import Row
    from toyshift.diagnostics.seen import Seen
    from toyshift.diagnostics.statistics import Rate

NAME = "shifts"
CONTROL, FACTOR, PAIRS = "control", "factor", "pairs"  # kinds of cells
BELONGS = "belongs"  # in the manifest of a cell: what all cells of one policy on one set must share
ALPHA = 0.05
WHATS = {
    "policy": "policies of this name", "objects": "object sets of this name", "seed": "--seed", "levels": "--levels",
    "controls": "--controls",
}  # fmt: skip
AGAINST = "against.csv"  # kept beside the rows, so that the page can be made again
UNSHIFTED = "none"  # what no shift is called in tables


@dataclasses.dataclass
class PolicyRows:
    """The rows of one policy on one set.

    Attributes:
        single: without a shift, and under one.
        pairs: of the cell of pairs, on starts of their own.
        left_out: factor -> why it cannot reach the policy.
        seen: which of the objects it was trained on; None where it does not say.
    """

    single: list[Row] = dataclasses.field(default_factory=list)
    pairs: list[Row] = dataclasses.field(default_factory=list)
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)
    seen: Seen | None = None


def found_rows(folder: Path) -> dict[tuple[str, str], PolicyRows]:
    """Returns the rows that are there by policy and object set.

    Cells of another protocol began from other starts, and cells of one name may be of other weights, objects or plans
    (`ShiftMatrix.belongs`): no drop can be taken between them. They are named and left out, the latter all together,
    since nobody here knows which are meant.

    Raises:
        FileError: there are none, or none that belong together.
    """
    from toyshift.diagnostics import read_rows, read_rows_manifest
    from toyshift.diagnostics.evaluation import PROTOCOL
    from toyshift.diagnostics.seen import seen_of_files

    groups: dict[tuple[str, str], PolicyRows] = {}
    belongs: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    files: list[tuple[dict[str, Any], list[Row]]] = []
    for path in whole_files(folder / "rows", "*.parquet"):
        facts = read_rows_manifest(path)
        if facts.get("protocol") != PROTOCOL or BELONGS not in facts:
            print(f"left out, of an older protocol (delete it): {path.name}", file=sys.stderr)
            continue
        rows = read_rows(path)
        key = rows[0].policy, set_name(rows[0].object_set)
        belongs.setdefault(key, {})[path.name] = facts[BELONGS]
        files.append((facts, rows))
        group = groups.setdefault(key, PolicyRows())
        (group.pairs if facts["kind"] == PAIRS else group.single).extend(rows)
        group.left_out |= facts["left_out"]
    if not groups:
        raise no_rows(folder, f"{NAME} --policy DIR")
    for (policy, spec), cells in belongs.items():
        if told := disagreement(cells):
            print(f"left out, {policy} on {spec}: {told}", file=sys.stderr)
            del groups[policy, spec]
            if not groups:
                raise FileError(f"{folder / 'rows'} holds no rows that belong together; {policy} on {spec}: {told}")
    for (policy, objects), seen in seen_of_files(files).items():
        if (key := (policy, set_name(objects))) in groups:
            groups[key].seen = seen
    return groups


def disagreement(cells: Mapping[str, Mapping[str, Any]]) -> str:
    """Says which files of one policy on one set cannot be tabulated together; "" where all can.

    Args:
        cells: file -> what it belongs to.
    """
    for what in sorted({what for one in cells.values() for what in one}):
        files: dict[str, list[str]] = {}
        for name, one in cells.items():
            if what in one:
                files.setdefault(str(one[what]), []).append(name)
        if len(files) > 1:
            sides = " but ".join(f"{value} in {', '.join(names)}" for value, names in files.items())
            return f"its cells are of several {WHATS[what]} ({sides}); run the study to its end, or delete the others"
    return ""


def known_rates(path: Path, policies: Collection[str]) -> dict[str, Rate]:
    """Reads the rates to compare with: by shift, or by policy.

    Raises:
        FileError, UnknownNameError: see `agreement.read_rates`.
        ConfigError: some are by shift and some by policy.
    """
    from toyshift.diagnostics.comparing.agreement import read_rates
    from toyshift.envs.shift_table import LEVELS, SHIFT_FACTORS

    shifts = [UNSHIFTED, *(f"{factor}={level}" for factor in SHIFT_FACTORS for level in range(1, LEVELS + 1))]
    rates = read_rates(path, {*shifts, *policies})
    if not set(rates) <= set(policies) and not set(rates) <= set(shifts):
        told = f"{path} names policies ({', '.join(name for name in rates if name in policies)}) and shifts"
        raise ConfigError(f"{told}; give one file with rates by policy, or one by shift")
    return rates


def write_results(folder: Path, docs: Path, against: Path | None = None) -> dict[str, Any]:
    """Writes table.json, the generated part of shift_matrix.md and a figure per policy, of the rows that are there.

    Args:
        folder: of the results.
        docs: of page and figures.
        against: CSV file of other rates; None takes the one that an earlier call has kept.

    Returns:
        what table.json holds.
    """
    groups = found_rows(folder)
    table = tabulate(groups)
    kept = folder / AGAINST
    if against or kept.exists():
        rates = known_rates(against or kept, {policy for policy, _ in groups})
        if against:
            write_text(kept, _lines_of(rates))
        table["against"] = compared(groups, rates)
    write_json(folder / "table.json", table)
    charts = draw(docs, table)
    made = markdown(table) + "".join(f"\n\n![drop by factor and level]({path.name})" for path in charts)
    write_page(docs / "shift_matrix.md", NAME, folder, made)
    print(made)
    print(f"table: {folder / 'table.json'}, {docs / 'shift_matrix.md'}\nfigures: {', '.join(map(str, charts))}")
    return table


def tabulate(groups: dict[tuple[str, str], PolicyRows]) -> dict[str, Any]:
    """Returns table.json: lines of "rows", "ranking" and "pairs", what was left out, and counts of episodes.

    Holm's correction is for all comparisons of "rows", Bonferroni's for the pairs of one policy on one set.
    """
    from toyshift.diagnostics import summarise
    from toyshift.diagnostics.seen import not_unseen
    from toyshift.diagnostics.shift_matrix import conditions, interaction, ranking, to_json
    from toyshift.diagnostics.statistics import holm
    from toyshift.envs.shift_table import SHIFT_FACTORS

    lines, ranked, pairs, episodes = [], [], [], []
    for (policy, spec), group in groups.items():
        own = {"policy": policy, "set": spec}
        by_shift: dict[str, list[Row]] = {}
        for row in group.single:
            by_shift.setdefault(row.shift, []).append(row)
        rates = {shift: figures(summarise(rows)[0]) for shift, rows in by_shift.items()}
        if "" in rates:
            lines.append({**own, "factor": UNSHIFTED, "level": 0, "star_gen": "", **rates[""], "drop": None})
            played = conditions(group.single)
            order = list(SHIFT_FACTORS)
            for one in sorted(played, key=lambda x: (order.index(x.factor), x.level)):
                what = {"factor": one.factor, "level": one.level, "star_gen": SHIFT_FACTORS[one.factor].star_gen}
                lines.append({**own, **what, **rates[f"{one.factor}={one.level}"], "drop": one.drop.to_json()})
            for place, factor in enumerate(ranking(group.single), 1):
                axis = SHIFT_FACTORS[factor.factor].star_gen
                ranked.append({**own, "rank": place, "star_gen": axis, **to_json(factor)})
        together = [shift for shift in dict.fromkeys(row.shift for row in group.pairs) if "," in shift]
        for first, second in (shift.split(",") for shift in together):
            level = 1 - ALPHA / len(together)  # all pairs of a policy are looked at, and any of them may stand out
            found = interaction(group.pairs, first, second, confidence=level)
            pairs.append({**own, **to_json(found), "confidence": level})
        count = collections.Counter(bool(row.shift) for row in group.single)
        note = not_unseen([(policy, group.seen, len({row.object_id for row in (*group.single, *group.pairs)}))])
        counted = {"shifted": count[True], "controls": count[False], "of_pairs": len(group.pairs)}
        episodes.append({**own, **counted, "new_objects": note})
    compared_ = [x["drop"] for x in lines if x["drop"]]
    for drop, p in zip(compared_, holm([drop["p_value"] for drop in compared_]), strict=True):
        drop["p_holm"] = p
    left_out = [{"policy": p, "set": s, "factors": group.left_out} for (p, s), group in groups.items()]
    return {"rows": lines, "ranking": ranked, "pairs": pairs, "left_out": left_out, "episodes": episodes}


def _lines_of(rates: dict[str, Rate]) -> str:
    """Returns rates as `agreement.read_rates` reads them."""
    counted = [rate.episodes for rate in rates.values()] != [None] * len(rates)  # all say so, or none
    lines = [f"{name},{rate.value!r}" + f",{rate.episodes}" * counted for name, rate in rates.items()]
    return "\n".join(["name,rate" + ",episodes" * counted, *lines, ""])


def compared(groups: dict[tuple[str, str], PolicyRows], rates: dict[str, Rate]) -> list[dict[str, Any]]:
    """Returns how the rates agree with other ones: by policy once for each set, or by shift for each policy and set."""
    from toyshift.diagnostics.comparing.agreement import agreement
    from toyshift.diagnostics.shift_matrix import rates_by_condition

    here = {key: rates_by_condition(group.single) for key, group in groups.items()}
    if set(rates) <= {policy for policy, _ in groups}:
        out = []
        for spec in dict.fromkeys(spec for _, spec in groups):
            own = {p: found[UNSHIFTED] for (p, s), found in here.items() if s == spec and UNSHIFTED in found}
            out.append({"policy": "", "set": spec, "given": len(rates), **agreement(own, rates).to_json()})
        return out
    return [
        {"policy": policy, "set": spec, "given": len(rates), **agreement(found, rates).to_json()}
        for (policy, spec), found in here.items()
    ]


def draw(docs: Path, table: dict[str, Any]) -> list[Path]:
    """Draws a heat map for each policy and set, the worst factor on top."""
    from toyshift.scripts.studies.charts import HeatLine, heat_chart

    charts = []
    for policy, spec in dict.fromkeys((x["policy"], x["set"]) for x in table["ranking"]):
        own = [x for x in table["rows"] if (x["policy"], x["set"]) == (policy, spec)]
        cells = {(x["factor"], x["level"]): x["drop"] for x in own if x["drop"]}
        levels = sorted({level for _, level in cells})
        lines = []
        for line in (x for x in table["ranking"] if (x["policy"], x["set"]) == (policy, spec)):
            drops = [cells.get((line["factor"], level)) for level in levels]
            shown = [d and (d["difference"]["value"], d["p_holm"] <= ALPHA) for d in drops]
            lines.append(HeatLine(line["factor"], line["star_gen"] if line["star_gen"] != "none" else "", shown))
        (control,) = (x for x in own if not x["drop"])
        title = f"{policy} on {spec}: change of success under each shift, in points, from {100 * control['rate']:.0f} %"
        note = f"framed: Holm's p of all comparisons at most {ALPHA:g}; worst mean over levels on top\n"
        note += "behind: STAR-Gen's axis, our mapping"
        path = docs / f"shift_matrix_{policy}-{spec}.png".replace("/", "_").replace(":", "-")
        heat_chart(path, title, [f"level {level}" for level in levels], lines, note)
        charts.append(path)
    return charts


RANKING = "| policy | on | rank | factor | STAR-Gen (our mapping) | mean drop over levels, points | 95 % new objects |"
PAIRED = (
    "| policy | on | first | second | n | success without | drop of first | of second | of both | "
    "both minus each, points | interval, new objects | |"
)
AGREES_ABOUT = (
    "MMRV's bounds are of these conditions or policies; they know how many episodes a rate is of (`episodes` of the "
    "file, without which its rates are taken for the true ones). Pearson's interval, Fisher's, is of others of their "
    "kind.\n\n"
)
AGREES = "| policies or conditions of | on | compared | MMRV | bounds, at least 95 % | Pearson | 95 % | |"
HEAD = (
    "| policy | on | factor | level | STAR-Gen | n | success % | 95 % episodes | 95 % new objects | drop, points | "
    "95 % new objects | McNemar p | Holm p |"
)


def markdown(table: dict[str, Any]) -> str:
    """Returns what the rows say in Markdown."""
    parts = []
    for x in table["episodes"]:
        told = f"{x['shifted']} under one shift, {x['controls']} controls, {x['of_pairs']} of the pairs"
        parts.append(f"- `{x['policy']}` on {x['set']}, episodes: {told}.")
        if not x["controls"]:
            told = "no controls, so no success without a shift and no drop is known"
            parts.append(f"- `{x['policy']}` on {x['set']}: {told}.")
        if x["new_objects"]:
            parts.append(f"- On {x['set']}, {x['new_objects']}.")
    for x in table["left_out"]:
        for reason in dict.fromkeys(x["factors"].values()):
            names = ", ".join(factor for factor, why in x["factors"].items() if why == reason)
            parts.append(f"- `{x['policy']}`: left out, since {reason}: {names}.")
    made = "\n".join(parts)
    if table["ranking"]:
        made += f"\n\n{markdown_table(RANKING, map(_ranked, table['ranking']))}"
    if table["pairs"]:
        told = f"Pairs, on starts of their own; intervals at 1 - {ALPHA:g} / k for the k pairs of a policy on a set"
        made += f"\n\n{told}:\n\n{markdown_table(PAIRED, map(_pair, table['pairs']))}"
    if "against" in table:
        lines = markdown_table(AGREES, map(_agrees, table["against"]))
        made += f"\n\nAgainst the rates of `{AGAINST}`. {AGREES_ABOUT}{lines}"
    return f"{made}\n\n{markdown_table(HEAD, map(_line, table['rows']))}"


def _ranked(x: dict[str, Any]) -> tuple[object, ...]:
    head = f"`{x['policy']}`", x["set"], x["rank"], x["factor"], x["star_gen"]
    return (*head, f"{100 * x['drop']['value']:+.1f}", points(x["drop"]))


def _pair(x: dict[str, Any]) -> tuple[object, ...]:
    from toyshift.diagnostics.clusters import FEW

    found = x["interaction"]
    unknown = found["low"] is None
    if unknown:
        said = "unknown: too few objects differ"
    elif found["n"] < FEW:
        said = f"not told: fewer than {FEW} objects"
    elif found["low"] > 0:
        said = "compound"
    else:
        said = "less than their sum" if found["high"] < 0 else "no interaction is shown"
    if x["floor"]:
        said += "; their sum is more than there is to lose"
    drops = (f"{100 * drop:+.0f}" for drop in x["drops"])
    head = f"`{x['policy']}`", x["set"], x["first"], x["second"], x["n"], f"{100 * x['control']:.0f} %"
    interval = "-" if unknown else f"{points(found)} ({100 * x['confidence']:.1f} %)"
    return (*head, *drops, f"{100 * found['value']:+.0f}", interval, said)


def _agrees(x: dict[str, Any]) -> tuple[object, ...]:
    shown: list[str] = []
    for found in (x["mmrv"], x["pearson"]):
        known = found["value"] is not None
        shown += [f"{found['value']:.3f}", f"{found['low']:.3f} to {found['high']:.3f}"] if known else ["-", "-"]
    whose = f"`{x['policy']}`" if x["policy"] else "policies"
    return (whose, x["set"], f"{len(x['names'])} of {x['given']}", *shown, x["why"])


def _line(x: dict[str, Any]) -> tuple[object, ...]:
    drop, less = x["drop"], ("-", "-", "-", "-")
    if drop:
        value = f"{100 * drop['difference']['value']:+.0f}"
        less = (value, points(drop["difference"]), f"{drop['p_value']:.2g}", f"{drop['p_holm']:.2g}")
    head = f"`{x['policy']}`", x["set"], x["factor"], x["level"], x["star_gen"] or "-", x["n"]
    rates = f"{100 * x['rate']:.1f}", percents(*x["wilson_95"]), percents(*x["clustered_objects_95"])
    return (*head, *rates, *less)
