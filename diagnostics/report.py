"""Draws `ReportData` as one self-contained HTML file: no network, no script, every picture and film inside."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toyshift.core.files import write_text
from toyshift.diagnostics.failures import FAILURES
from toyshift.diagnostics.report_charts import curve_panel, image_uri, percent, points, short, span, video_uri
from toyshift.diagnostics.report_data import (
    Headline,
    LeaningPanel,
    ObjectBar,
    ObjectPanel,
    Repair,
    RepairLine,
    ReportData,
)
from toyshift.diagnostics.statistics import Estimate
from toyshift.diagnostics.summaries import Summary

TEMPLATES = Path(__file__).parent / "assets" / "templates"
REFERENCES = {"oracle": "Oracle (expert)", "random": "Random actions"}
POOLINGS = {
    "detpool": "detection pooling", "mean": "mean pooling", "cls": "class token", "attention": "attention pooling",
}
FACTOR_TITLES = {
    "table": "Table texture", "background": "Background texture", "azimuth": "Camera azimuth", "light": "Light",
    "object_colour": "Object colour",
}
SET_TITLES = {
    "toys:train": "Training toys", "toys:test": "New toys", "toys:lego": "LEGO's toys", "ycb-like": "YCB-like objects",
    "ycb": "Real YCB scans",
}
# true of one rows file, not of the report
OF_ONE_FILE = frozenset({"run_key", "policy_hash", "objects_hash", "objects"})
LEFT_OUT = {
    "ran": "What was run: no description was given.",
    "success": "Success by set and pooling: no evaluation rows were given.",
    "leaning": "What each policy leans on: no diagnosis was run.",
    "repair": "What the repair changed: no repaired policy was evaluated against a control.",
    "objects": "Success by object: no per-object rows were given.",
    "curves": "Training curves: no metrics.jsonl was given.",
    "sheets": "Contact sheets: no pictures of toys or test objects were given.",
    "videos": "Rollout films: none were recorded.",
    "diversity": "Diversity of the training data: it was not measured.",
    "provenance": "Versions and seeds: no manifest was given.",
}
NAVIGATION = {
    "success": "Success", "leaning": "Leaning", "repair": "Repair", "videos": "Films", "objects": "Objects",
    "diversity": "Data", "curves": "Training", "sheets": "Toys", "provenance": "Versions",
}


class _Names:
    """Titles and colours of policies and sets, the same wherever they appear."""

    def __init__(self, data: ReportData) -> None:
        self._data = data
        seen = [*(s.policy for s in data.success), *(p.result.policy for p in data.leaning)]
        seen += [*(c.policy for c in data.curves), *(p for panel in data.objects for bar in panel.bars for p in bar.counts)]
        trained = [p for p in dict.fromkeys(seen) if p not in REFERENCES]
        self._colours = {p: f"c{i % 6}" for i, p in enumerate(trained)} | {name: name for name in REFERENCES}
        sets = dict.fromkeys([*(s.object_set for s in data.success), *(p.object_set for p in data.objects)])
        self._titles = [_set_title(name) for name in sets]

    def policy(self, name: str) -> str:
        title = {**POOLINGS, **REFERENCES, **self._data.policy_titles}.get(name, name)
        return title[:1].upper() + title[1:]

    def colour(self, name: str) -> str:
        return self._colours.get(name, "c5")

    def set(self, name: str) -> str:
        """Returns a set's title; where two sets of a report would share one, their strings tell them apart."""
        if name in self._data.set_titles:
            return self._data.set_titles[name]
        title = _set_title(name)
        return title if self._titles.count(title) <= 1 or title == name else f"{title} ({name})"


def _set_title(name: str) -> str:
    plain = name.split("?")[0].split("@")[0]
    return SET_TITLES.get(plain, SET_TITLES["ycb"] if plain.startswith("ycb:") and "+" not in plain else name)


def _interval_row(summary: Summary, names: _Names) -> dict[str, Any]:
    s, (low, high) = summary, summary.wilson
    failures = sorted(s.failures.items(), key=lambda item: -item[1])
    return {
        "title": names.policy(s.policy), "colour": names.colour(s.policy), "reference": s.policy in REFERENCES,
        "rate": 100 * s.rate, "low": 100 * low, "high": 100 * high,
        "low2": 100 * min(low, s.clustered[0]), "high2": 100 * max(high, s.clustered[1]),
        "text": percent(s.rate), "wilson": span(*s.wilson), "clustered": span(*s.clustered),
        "k": s.k, "n": s.n, "objects": s.objects,
        "failures": [{"title": FAILURES.get(kind, kind), "count": count} for kind, count in failures],
    }


def _success(data: ReportData, names: _Names) -> list[dict[str, Any]]:
    order = {"random": 2, "oracle": 1}
    panels = []
    for object_set in _sets(data):
        group = sorted((s for s in data.success if s.object_set == object_set), key=lambda s: order.get(s.policy, 0))
        panels.append({
            "title": names.set(object_set), "spec": object_set, "training": object_set in data.training_sets,
            "rows": [_interval_row(s, names) for s in group],
        })
    return panels


def _sets(data: ReportData) -> list[str]:
    """Returns the object sets, those that were trained on last."""
    return sorted(dict.fromkeys(s.object_set for s in data.success), key=lambda name: name in data.training_sets)


def derive_headlines(data: ReportData) -> list[Headline]:
    """Returns big numbers from the results: the best trained policy on each set, and the first line of the first repair.

    The first line, not the largest: choosing by outcome would flatter. Put the condition the repair was made for first.
    """
    names, out = _Names(data), []
    for object_set in _sets(data):
        trained = [s for s in data.success if s.object_set == object_set and s.policy not in REFERENCES]
        if not trained:
            continue
        best = max(trained, key=lambda s: s.rate)
        others = [f"{names.policy(s.policy)} {percent(s.rate)}" for s in trained if s is not best]
        zero_shot = f"of {_inside(names.set(object_set))} lifted, zero-shot"
        kind = "of the toys it was trained on lifted" if object_set in data.training_sets else zero_shot
        first = f"{names.policy(best.policy)}, 95\u00a0% interval {span(*best.clustered)}"
        out.append(Headline(percent(best.rate), kind, "; ".join([first, *others])))
    out = out[:3]
    for repair in data.repair[:1]:
        for line in repair.lines[:1]:
            d = line.difference.difference
            against = f"{line.title}, against a control trained as long on plain copies"
            detail = f"{against}; 95\u00a0% interval {points(d.low)} to {points(d.high)}"
            out.append(Headline(points(d.value), f"points of success from {_inside(repair.title)}", detail))
    return out


def _inside(title: str) -> str:
    """Returns a title as it reads inside a sentence: "New toys" as "new toys", "YCB-like objects" unchanged."""
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


def _number(value: float) -> str:
    return "\u221e" if value == math.inf else "\u2013" if math.isnan(value) else f"{value:.2f}"


def _between(estimate: Estimate) -> str:
    return f"{_number(estimate.low)}\u2013{_number(estimate.high)}"


def _leaning(panels: Sequence[LeaningPanel], names: _Names) -> dict[str, Any]:
    shown = [min(v, 4.0) for p in panels for f in p.result.factors for v in (f.ratio.high, f.ratio.value)]
    top = max([1.0, *(v for v in shown if not math.isnan(v))]) * 1.05
    limits = panels[0].result.limits
    limit = limits.get("leans_above", 0.5)

    def at(value: float) -> float:
        return 0.0 if math.isnan(value) else 100 * min(max(value, 0.0), top) / top

    def success(panel: LeaningPanel, factor: str) -> dict[str, str] | None:
        changed = panel.under.get(factor)
        if changed is None:
            return None
        delta = points(changed.rate - panel.base.rate) if panel.base else ""
        bad = "bad" if delta.startswith("\u2212") else ""
        return {"text": percent(changed.rate), "interval": span(*changed.wilson), "delta": delta, "bad": bad}

    out, order = [], list(FACTOR_TITLES)
    for panel in panels:
        result, base = panel.result, panel.base
        known = [f for name in order for f in result.factors if f.factor == name]
        rows = [
            {
                "title": FACTOR_TITLES.get(f.factor, f.factor.replace("_", " ").capitalize()),
                "label": f.label, "class": f.label.replace(" ", "-"),
                "ratio": _number(f.ratio.value), "interval": _between(f.ratio),
                "at": at(f.ratio.value), "low": at(f.ratio.low), "high": at(f.ratio.high),
                "success": success(panel, f.factor),
            }
            for f in [*known, *(f for f in result.factors if f not in known)]
        ]
        ignorant = result.target.value < result.limits.get("ignorant_below", 0.0)
        out.append({
            "title": names.policy(result.policy), "colour": names.colour(result.policy), "rows": rows,
            "verdict": _sentence(result.verdict, ignorant), "target": _number(result.target.value),
            "target_interval": _between(result.target), "unit": result.unit, "scenes": result.scenes,
            "base": percent(base.rate) if base else "", "base_set": names.set(base.object_set) if base else "",
        })
    move = f"{100 * limits.get('target_shift_m', 0.05):g}"
    return {"panels": out, "limit": round(limit, 3), "limit_at": at(limit), "move": move}


def _sentence(verdict: str, ignorant: bool) -> str:
    if verdict.startswith("leans on "):
        parts = [FACTOR_TITLES.get(p, p).lower() for p in verdict.removeprefix("leans on ").split(", ")]
        text = "Leans on " + (parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1])
        return text + (", and hardly follows its target" if ignorant else "") + "."
    return {
        "ignorant": "Ignorant: neither its target nor any factor moves it. That is not robustness.",
        "robust": "Robust: no factor moves it as much as the limit.",
    }.get(verdict, "Unclear: some intervals contain the limit; more scenes would tell.")


def _repair(repair: Repair, names: _Names) -> dict[str, Any]:
    def shown(line: RepairLine) -> dict[str, Any]:
        d, p_value = line.difference.difference, line.difference.p_value
        bars = [("Before", line.before, "random"), ("Control", line.control, "oracle"), ("Repaired", line.repaired, "c0")]
        sure, colour = ("better", "good") if d.low > 0 else ("worse", "bad") if d.high < 0 else ("no clear difference", "")
        return {
            "title": line.title, "difference": points(d.value), "interval": f"{points(d.low)} to {points(d.high)}",
            "sure": sure, "class": colour, "only_a": line.difference.only_a, "only_b": line.difference.only_b,
            "p": "<0.001" if p_value < 1e-3 else f"{p_value:.3f}",
            "rows": [_interval_row(s, names) | {"title": title, "colour": c} for title, s, c in bars if s is not None],
        }

    return {"title": repair.title, "text": repair.text, "lines": [shown(line) for line in repair.lines]}


def _objects(panel: ObjectPanel, names: _Names) -> dict[str, Any]:
    def key(policy: str) -> dict[str, str]:
        return {"title": names.policy(policy), "colour": names.colour(policy)}

    def counts(bar: ObjectBar) -> list[dict[str, Any]]:
        figures = {p: {"width": round(100 * k / n, 1) if n else 0, "text": f"{k}/{n}"} for p, (k, n) in bar.counts.items()}
        return [key(p) | figure for p, figure in figures.items()]

    def image(bar: ObjectBar) -> str:
        return "" if bar.thumbnail is None else image_uri(bar.thumbnail, 112)

    return {
        "title": names.set(panel.object_set), "legend": [key(p) for p in dict.fromkeys(p for b in panel.bars for p in b.counts)],
        "bars": [{"name": b.name, "id": b.object_id, "image": image(b), "bars": counts(b)} for b in panel.bars],
    }


def _curves(data: ReportData, names: _Names) -> list[dict[str, Any]]:
    panels = []
    for metric in dict.fromkeys(c.metric for c in data.curves):
        mine = [c for c in data.curves if c.metric == metric and len(c.steps)]
        chosen = [(names.policy(c.policy), names.colour(c.policy), c.steps, c.values) for c in mine]
        if chosen:
            panels.append(curve_panel(metric.replace("_", " ").capitalize(), chosen))
    return panels


def _diversity(data: ReportData) -> list[dict[str, str]]:
    d = data.diversity
    if d is None:
        return []
    mixed = f"nearest {d.neighbours} from the own sub-dataset; mixed would be {d.purity_mixed or 0:.2f}, fragmented 1"
    told = {
        "diversity": ("Diversity within", "pairs inside one sub-dataset; larger is more diverse, 1 is a single picture"),
        "disparity": ("Disparity between", "pairs across sub-datasets; larger is further apart"),
        "fragmentation": ("Fragmentation", "disparity over diversity; 1 when all sub-datasets look alike"),
        "purity": ("Neighbour purity", mixed),
        "probe": ("Linear probe", f"a linear guess of the sub-dataset is right; chance is {1 / len(d.names):.2f}"),
    }
    found = {told[name]: value for name, value in d.estimates().items() if value is not None}
    return [
        {"title": title, "value": _number(value.value), "interval": _between(value), "meaning": meaning}
        for (title, meaning), value in found.items()
    ]


def _provenance(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns groups of (name, value) pairs from a manifest; nested mappings become groups of their own."""
    order = ("made", "git", "seed", "gl_renderer", "command")
    plain = {k: v for k, v in manifest.items() if not isinstance(v, Mapping | list | tuple) and k not in OF_ONE_FILE}
    first = [k for k in order if k in plain] + sorted(k for k in plain if k not in order)
    groups = {"run": {k.replace("_", " "): plain[k] for k in first if plain[k] is not None}}
    groups |= {name: manifest[name] for name in ("machine", "versions") if isinstance(manifest.get(name), Mapping)}
    return [
        {"title": name.capitalize(), "pairs": [(str(k), str(v)) for k, v in group.items()]}
        for name, group in groups.items() if group
    ]


def render_report(data: ReportData) -> str:
    """Returns the page as a string of HTML."""
    import jinja2

    names = _Names(data)
    sections: dict[str, Any] = {
        "ran": list(data.ran),
        "success": _success(data, names),
        "leaning": _leaning(data.leaning, names) if data.leaning else None,
        "repair": [_repair(repair, names) for repair in data.repair],
        "objects": [_objects(panel, names) for panel in data.objects],
        "curves": _curves(data, names),
        "sheets": [
            {
                "title": s.title, "caption": s.caption,
                "images": [{"label": label, "uri": image_uri(picture, 160)} for label, picture in s.images],
            }
            for s in data.sheets
        ],
        "videos": [{**dataclasses.asdict(v), "uri": video_uri(v.path)} for v in data.videos],
        "diversity": _diversity(data),
        "provenance": _provenance(data.manifest),
    }
    left_out = [LEFT_OUT[name] for name, value in sections.items() if not value]
    navigation = [(name, title) for name, title in NAVIGATION.items() if sections.get(name)]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )
    environment.filters["short"] = short
    measured = data.diversity
    return environment.get_template("report.html.j2").render(
        title=data.title, subtitle=data.subtitle, headlines=list(data.headlines) or derive_headlines(data),
        left_out=left_out, navigation=navigation, commands=list(data.commands),
        diversity_features=measured.features if measured else "",
        diversity_sets=list(zip(measured.names, measured.episodes, strict=True)) if measured else [],
        made=str(data.manifest.get("made", "")), git=str(data.manifest.get("git", "")), **sections,
    )


def write_report(data: ReportData, path: Path) -> Path:
    """Writes the report atomically.

    Args:
        data: what to show.
        path: the HTML file.

    Raises:
        FileError: a film that is to be embedded cannot be read.
    """
    write_text(Path(path), render_report(data))
    return Path(path)
