"""What templates say of single values: verdicts, advice, measures, provenance, and where a shift lies on its bar."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from toyshift.diagnostics.diversity import Diversity
from toyshift.diagnostics.reporting.charts import curve_panel
from toyshift.diagnostics.reporting.data import Repair, ReportData, SensitivityPanel, Video
from toyshift.diagnostics.reporting.names import FACTOR_TITLES, Names, factor_title
from toyshift.diagnostics.sensitivity import FactorEffect, SensitivityResult, verdict
from toyshift.diagnostics.statistics import Estimate, PairedDifference, holm

ALPHA = 0.05
# true of one rows file, not of the report
OF_ONE_FILE = frozenset({"run_key", "policy_hash", "objects_hash", "objects"})


def bar_scale(panels: Sequence[SensitivityPanel]) -> Callable[[float], float]:
    """Returns where a shift lies on the bars of all panels, from 0 to 100."""
    ends = [v for p in panels for v in (p.result.target.high, *(f.shift.high for f in p.result.factors))]
    top = 1.05 * max(ends, default=1.0) or 1.0
    return lambda shift: 100 * shift / top


def in_order(factors: Sequence[FactorEffect]) -> list[FactorEffect]:
    order = {name: i for i, name in enumerate(FACTOR_TITLES)}
    return sorted(factors, key=lambda f: order.get(f.factor, len(order)))


def verdict_sentence(result: SensitivityResult) -> str:
    text = verdict(result, lambda name: factor_title(name).lower())
    return f"{text[:1].upper()}{text[1:]}."


def repaired(paired: PairedDifference, p_holm: float) -> tuple[str, str]:
    """Returns what a repair's difference is worth, repaired minus control, and its class in the style sheet.

    Better or worse takes both: an interval for new objects beyond 0, and p of at most 0.05 after Holm's correction for
    all comparisons of the chapter. An interval alone would find something in one of twenty that do nothing.
    """
    d = paired.difference
    way = 1 if d.low > 0 else -1 if d.high < 0 else 0
    if way and p_holm <= ALPHA:
        return ("better", "good") if way > 0 else ("worse", "bad")
    return ("not shown after the correction for all comparisons" if way else "no clear difference"), ""


def corrected(repairs: Sequence[Repair]) -> dict[int, float]:
    """Returns p after Holm's correction for all conditions of all repairs, by the identity of a condition's line."""
    lines = [line for repair in repairs for line in repair.lines]
    return dict(zip(map(id, lines), holm([line.difference.p_value for line in lines]), strict=True))


def entry(text: str) -> tuple[str, str]:
    """Returns what a card says to do, and the commands behind it."""
    first, _, commands = text.partition("\n")
    return first[:1].upper() + first[1:], commands


def curve_panels(data: ReportData, names: Names) -> list[dict[str, Any]]:
    panels = []
    for metric in dict.fromkeys(c.metric for c in data.curves):
        mine = [c for c in data.curves if c.metric == metric and len(c.steps)]
        chosen = [(names.policy(c.policy), names.colour(c.policy), c.steps, c.values) for c in mine]
        if chosen:
            panels.append(curve_panel(metric.replace("_", " ").capitalize(), chosen) | {"metric": metric})
    return panels


def measures(d: Diversity) -> list[tuple[str, Estimate, str]]:
    """Returns title, value and meaning of what was measured."""
    mixed = f"nearest {d.neighbours} from the own sub-dataset; mixed would be {d.purity_mixed or 0:.2f}, fragmented 1"
    within = "pairs inside one sub-dataset; larger is more diverse, 1 is a single picture"
    told = {
        "diversity": ("Diversity within", within),
        "disparity": ("Disparity between", "pairs across sub-datasets; larger is further apart"),
        "fragmentation": ("Fragmentation", "disparity over diversity; 1 when all sub-datasets look alike"),
        "purity": ("Neighbour purity", mixed),
        "probe": ("Linear probe", f"a linear guess of the sub-dataset is right; chance is {1 / len(d.names):.2f}"),
    }
    return [(told[name][0], value, told[name][1]) for name, value in d.estimates().items() if value is not None]


def provenance(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns groups of (name, value) pairs from a manifest; nested mappings become groups of their own."""
    order = ("made", "git", "seed", "gl_renderer", "command")
    plain = {k: v for k, v in manifest.items() if not isinstance(v, Mapping | list | tuple) and k not in OF_ONE_FILE}
    first = [k for k in order if k in plain] + sorted(k for k in plain if k not in order)
    groups = {"run": {k.replace("_", " "): plain[k] for k in first if plain[k] is not None}}
    groups |= {name: manifest[name] for name in ("machine", "versions") if isinstance(manifest.get(name), Mapping)}
    return [
        {"title": name.capitalize(), "pairs": [(str(k), _text(v)) for k, v in group.items()]}
        for name, group in groups.items() if group
    ]


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_text(inner) or 'none'}" for name, inner in value.items())
    return str(value)


def film_groups(videos: Sequence[Video]) -> list[list[Video]]:
    """Returns films by their start, those that several policies have played first; films of no known start alone."""
    groups: dict[object, list[Video]] = {}
    for i, video in enumerate(videos):
        groups.setdefault(video.start or i, []).append(video)
    return sorted(groups.values(), key=lambda films: len(films) == 1)


def films_of(videos: Sequence[Video], policies: Sequence[str]) -> list[list[Video]]:
    """Returns the films of starts that all of these policies have played, in the order of the policies."""
    found = []
    for films in film_groups(videos):
        by_policy = {film.policy: film for film in films}
        if policies and all(policy in by_policy for policy in policies):
            found.append([by_policy[policy] for policy in policies])
    return found
