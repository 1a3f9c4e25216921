"""What comes of the audit of weights: lines of its table, its page and its figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toyshift.scripts.studies.figures import markdown_table, percents
from toyshift.scripts.studies.weight_probes import auc

FACTORS = ("table", "azimuth", "light")
EVERY_FACTOR = "all"
OWN, SWAPPED = "own", "swapped"  # cues of the control
# what a probe has not seen of the checkpoints that it is asked about
QUESTIONS = {"other demonstrations": "number", "another factor": "factor"}
# Deals of ProbeX where its AUC lies above the linear probe's 95 % by chance; with fewer no p is told.
FULL_DEALS = 19


def lengths_of(moved: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns how far the layer moved on average, by factor and whether it told the place: a label by itself, if any.
    """
    import numpy as np

    kinds = dict.fromkeys((x["factor"], x["told"]) for x in moved)
    lines = {kind: [x["moved"] for x in moved if (x["factor"], x["told"]) == kind] for kind in kinds}
    return [
        {"factor": factor, "told": told, "n": len(some), "moved": float(np.mean(some))}
        for (factor, told), some in sorted(lines.items())
    ]


def control_lines(moved: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns by how much losses rise when the cue is swapped, told against clean: by factor, then all together.

    Pairs share their demonstrations, so the larger rise of the two says which is which.
    """
    import numpy as np

    from toyshift.diagnostics import wilson

    rises = {(x["tree"], x["factor"], x["number"], x["told"]): x[SWAPPED] - x[OWN] for x in moved}
    pairs = sorted(key[:3] for key in rises if key[3] and (*key[:3], False) in rises)
    lines = []
    for factor in (*FACTORS, EVERY_FACTOR):
        told, clean = (
            np.array([rises[*pair, kind] for pair in pairs if factor in (pair[1], EVERY_FACTOR)])
            for kind in (True, False)
        )
        if len(told):
            wins, n = int((told > clean).sum()), len(told)
            area = auc(np.concatenate([told, clean]), np.repeat([True, False], n))
            low, high = wilson(wins, n)
            lines.append({
                "factor": factor, "told": float(told.mean()), "clean": float(clean.mean()), "pairs": n, "wins": wins,
                "low": low, "high": high, "auc": area,
            })  # fmt: skip
    return lines


HEAD = "| tree | probe | never seen | AUC | with exchanged labels: mean, 95 % | p | right in pairs | 95 % |"
CONTROL_HEAD = (
    "| factor | loss more with the cue swapped, told | clean | larger in told, pairs | 95 % | AUC of the rise |"
)


def chance_cells(x: dict[str, Any]) -> tuple[str, str]:
    """Returns what a probe reaches with exchanged labels, and p; a few deals tell neither a 95 % nor a p."""
    deals = f"({x['deals']} deal{'s' * (x['deals'] != 1)})"
    if x["deals"] < FULL_DEALS:
        return f"{x['chance_mean']:.2f}, -", f"- {deals}"
    return f"{x['chance_mean']:.2f}, {x['chance_95']:.2f}", f"{x['p']:.2g} {deals}"


def markdown(table: dict[str, Any]) -> str:
    """Returns the made part of the page."""
    made = [
        f"**Not complete:** {len(table['missing'])} cells have not been run yet."
        if table["missing"] else "All cells have been run."
    ]  # fmt: skip
    if table["control"]:
        made.append(markdown_table(CONTROL_HEAD, [
            (x["factor"], f"{x['told']:+.3f}", f"{x['clean']:+.3f}", f"{x['wins']} of {x['pairs']}",
             percents(x["low"], x["high"]), f"{x['auc']:.2f}")
            for x in table["control"]
        ]))  # fmt: skip
        if table["control"][-1]["low"] > 0.5:
            made.append("The control tells checkpoints apart, so where a probe does not, their behaviour is not alike.")
        else:
            made.append(
                "The control is **not shown** to tell checkpoints apart: where no probe does either, nothing follows."
            )
    if table["probes"]:
        dealt = [x for x in table["probes"] if x["deals"] >= FULL_DEALS]
        made.append(markdown_table(HEAD, [
            (x["tree"], x["probe"], x["question"], f"{x['auc']:.2f}",
             *chance_cells(x), f"{x['wins']} of {x['pairs']}", percents(x["low"], x["high"]))
            for x in table["probes"]
        ]))  # fmt: skip
        told = [x for x in dealt if x["p"] <= 0.05 and x["auc"] > 0.5]
        made.append(
            f"A probe tells fragmented from plain tuning beyond exchanged labels (p at most 0.05, not corrected) in "
            f"{len(told)} of the {len(dealt)} lines that have a p."
        )
        if few := len(table["probes"]) - len(dealt):
            made.append(
                f"{few} lines of ProbeX have none: its AUC does not exceed the linear probe's 95 % by chance, so "
                f"labels were not exchanged {FULL_DEALS} times for it."
            )
    made.append(markdown_table("| factor | tells the place | checkpoints | layer moved by, mean |", [
        (x["factor"], "yes" if x["told"] else "no", x["n"], f"{x['moved']:.3g}") for x in table["moved"]
    ]))  # fmt: skip
    return "\n\n".join(made)


def draw(out: Path, lines: Sequence[dict[str, Any]]) -> None:
    """Draws the share of pairs told apart, a line for each probe and question, with Wilson's interval."""
    from toyshift.diagnostics import wilson
    from toyshift.scripts.studies.charts import Group, success_chart

    groups = []
    for question in QUESTIONS:
        some = [x for x in lines if x["question"] == question]
        rows: list[tuple[str, int, dict[str, Any]]] = []
        for probe in dict.fromkeys(x["probe"] for x in some):
            trees = [x for x in some if x["probe"] == probe]
            wins, pairs = sum(x["wins"] for x in trees), sum(x["pairs"] for x in trees)
            rates = {"rate": wins / pairs, "clustered_objects_95": list(wilson(wins, pairs))}
            rows.append((probe, 0, rates | {"by_seed": [x["wins"] / x["pairs"] for x in trees]}))
        groups.append(Group(f"never seen: {question}", rows))
    success_chart(out, groups, what="pairs told apart", more="line: Wilson's interval over pairs")
