"""Draws `ReportData` as one self-contained HTML file: no network, no script, every picture and film inside."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toyshift.core.files import write_text
from toyshift.diagnostics.report_charts import curve_panel, image_uri, percent, points, short, span, video_uri
from toyshift.diagnostics.report_data import Headline, LeaningPanel, Repair, ReportData
from toyshift.diagnostics.rows import Summary
from toyshift.diagnostics.statistics import Estimate

TEMPLATES = Path(__file__).parent / "assets" / "templates"
REFERENCES = ("oracle", "random")
POOLINGS = {"detpool": "detection pooling", "mean": "mean pooling", "cls": "class token", "attention": "attention pooling"}
FACTOR_TITLES = {
    "table": "Table texture", "background": "Background texture", "azimuth": "Camera azimuth", "light": "Light", "object_colour": "Object colour",
}
FAILURE_TITLES = {
    "no_plan": "no grasp planned", "no_contact": "never touched it", "not_lifted": "touched, not lifted", "dropped": "dropped it",
    "not_held": "not held long enough", "timeout": "out of time", "unstable": "simulation diverged", "wrong_object": "lifted another object",
}
SET_TITLES = {"toys:train": "Training toys", "toys:test": "New toys", "toys:lego": "LEGO's toys", "ycb-like": "YCB-like objects", "ycb": "Real YCB scans"}
OF_ONE_FILE = frozenset({"run_key", "policy_hash", "objects_hash", "objects"})  # true of one rows file, not of the report
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
    "success": "Success", "leaning": "Leaning", "repair": "Repair", "videos": "Films", "objects": "Objects", "diversity": "Data",
    "curves": "Training", "sheets": "Toys", "provenance": "Versions",
}


class _Names:
    """Titles and colours of policies and sets, the same wherever they appear."""

    def __init__(self, data: ReportData) -> None:
        self._data = data
        seen = [s.policy for s in data.success] + [p.result.policy for p in data.leaning] + [c.policy for c in data.curves]
        seen += [policy for panel in data.objects for bar in panel.bars for policy in bar.counts]
        trained = [p for p in dict.fromkeys(seen) if p not in REFERENCES]
        self._colours = {p: f"c{i % 6}" for i, p in enumerate(trained)} | {"oracle": "oracle", "random": "random"}
        self._titles = [_set_title(name) for name in dict.fromkeys([s.object_set for s in data.success] + [p.object_set for p in data.objects])]

    def policy(self, name: str) -> str:
        default = {"oracle": "Oracle (planner)", "random": "Random actions"}.get(name, POOLINGS.get(name, name))
        title = self._data.policy_titles.get(name, default)
        return title[:1].upper() + title[1:]

    def pooling(self, name: str) -> str:
        return POOLINGS.get(name, name)

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
    wide = (min(summary.wilson[0], summary.clustered[0]), max(summary.wilson[1], summary.clustered[1]))
    failures = sorted(summary.failures.items(), key=lambda item: -item[1])
    return {
        "title": names.policy(summary.policy), "colour": names.colour(summary.policy), "reference": summary.policy in REFERENCES,
        "rate": 100 * summary.rate, "low": 100 * summary.wilson[0], "high": 100 * summary.wilson[1], "low2": 100 * wide[0], "high2": 100 * wide[1],
        "text": percent(summary.rate), "wilson": span(*summary.wilson), "clustered": span(*summary.clustered),
        "k": summary.k, "n": summary.n, "objects": summary.objects, "pooling": names.pooling(summary.pooling),
        "failures": [{"title": FAILURE_TITLES.get(kind, kind), "count": count} for kind, count in failures],
    }


def _success(data: ReportData, names: _Names) -> list[dict[str, Any]]:
    order = {"random": 2, "oracle": 1}
    panels = []
    for object_set in dict.fromkeys(s.object_set for s in data.success):
        group = sorted((s for s in data.success if s.object_set == object_set), key=lambda s: order.get(s.policy, 0))
        panels.append({
            "title": names.set(object_set), "spec": object_set, "training": object_set in data.training_sets, "rows": [_interval_row(s, names) for s in group],
        })
    return sorted(panels, key=lambda p: bool(p["training"]))


def derive_headlines(data: ReportData) -> list[Headline]:
    """Returns big numbers from the results: the best trained policy on each set, and the first line of the first repair.

    The first line, not the largest: choosing by outcome would flatter. Put the condition the repair was made for first.
    """
    names, out = _Names(data), []
    for panel in sorted(dict.fromkeys(s.object_set for s in data.success), key=lambda o: o in data.training_sets):
        trained = [s for s in data.success if s.object_set == panel and s.policy not in REFERENCES]
        if not trained:
            continue
        best = max(trained, key=lambda s: s.rate)
        others = "; ".join(f"{names.policy(s.policy)} {percent(s.rate)}" for s in trained if s is not best)
        kind = "of the toys it was trained on lifted" if panel in data.training_sets else f"of {_inside(names.set(panel))} lifted, zero-shot"
        out.append(Headline(percent(best.rate), kind, f"{names.policy(best.policy)}, 95\u00a0% interval {span(*best.clustered)}" + (f"; {others}" if others else "")))
    out = out[:3]
    for repair in data.repair[:1]:
        for line in repair.lines[:1]:
            d = line.difference.difference
            detail = f"{line.title}, against a control trained as long on plain copies; 95\u00a0% interval {points(d.low)} to {points(d.high)}"
            out.append(Headline(points(d.value), f"points of success from {_inside(repair.title)}", detail))
    return out


def _inside(title: str) -> str:
    """Returns a title as it reads inside a sentence: "New toys" as "new toys", "YCB-like objects" unchanged."""
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


def _number(value: float, digits: int = 2) -> str:
    return "\u221e" if value == float("inf") else ("\u2013" if value != value else f"{value:.{digits}f}")


def _leaning(panels: Sequence[LeaningPanel], names: _Names) -> dict[str, Any]:
    finite = [min(v, 4.0) for p in panels for f in p.result.factors for v in (f.ratio.high, f.ratio.value) if v == v]
    top = max([1.0, *finite]) * 1.05
    limit = panels[0].result.limits.get("leans_above", 0.5)

    def at(value: float) -> float:
        return 100 * min(max(value, 0.0), top) / top if value == value else 0.0

    def success(panel: LeaningPanel, factor: str) -> dict[str, str] | None:
        changed = panel.under.get(factor)
        if changed is None:
            return None
        delta = points(changed.rate - panel.base.rate) if panel.base else ""
        return {"text": percent(changed.rate), "interval": span(*changed.wilson), "delta": delta, "bad": "bad" if delta.startswith("\u2212") else ""}

    out, order = [], {name: i for i, name in enumerate(FACTOR_TITLES)}
    for panel in panels:
        result = panel.result
        rows = [
            {
                "title": FACTOR_TITLES.get(f.factor, f.factor.replace("_", " ").capitalize()), "label": f.label, "class": f.label.replace(" ", "-"),
                "ratio": _number(f.ratio.value), "interval": f"{_number(f.ratio.low)}\u2013{_number(f.ratio.high)}",
                "at": at(f.ratio.value), "low": at(f.ratio.low), "high": at(f.ratio.high), "success": success(panel, f.factor),
            }
            for f in sorted(result.factors, key=lambda f: order.get(f.factor, len(order)))
        ]
        ignorant = result.target.value < result.limits.get("ignorant_below", 0.0)
        out.append({
            "title": names.policy(result.policy), "colour": names.colour(result.policy), "rows": rows, "verdict": _sentence(result.verdict, ignorant),
            "target": _number(result.target.value), "target_interval": f"{_number(result.target.low)}\u2013{_number(result.target.high)}",
            "unit": result.unit, "scenes": result.scenes, "base": percent(panel.base.rate) if panel.base else "",
            "base_set": names.set(panel.base.object_set) if panel.base else "",
        })
    return {"panels": out, "limit": round(limit, 3), "limit_at": at(limit), "one_at": at(1.0), "move": f"{100 * panels[0].result.limits.get('target_shift_m', 0.05):g}"}


def _sentence(verdict: str, ignorant: bool) -> str:
    if verdict.startswith("leans on "):
        parts = [FACTOR_TITLES.get(p, p).lower() for p in verdict.removeprefix("leans on ").split(", ")]
        text = "Leans on " + (parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1])
        return text + (", and hardly follows its target" if ignorant else "") + "."
    return {
        "ignorant": "Ignorant: neither its target nor any factor moves it. That is not robustness.",
        "robust": "Robust: no factor moves it as much as the limit.",
    }.get(verdict, "Unclear: some intervals contain the limit; more scenes would tell.")


def _repair(repairs: Sequence[Repair], names: _Names) -> list[dict[str, Any]]:
    out = []
    for repair in repairs:
        lines = []
        for line in repair.lines:
            d = line.difference.difference
            bars = [("Before", line.before, "random"), ("Control", line.control, "oracle"), ("Repaired", line.repaired, "c0")]
            lines.append({
                "title": line.title, "difference": points(d.value), "interval": f"{points(d.low)} to {points(d.high)}",
                "sure": "better" if d.low > 0 else ("worse" if d.high < 0 else "no clear difference"), "class": "good" if d.low > 0 else ("bad" if d.high < 0 else ""),
                "only_a": line.difference.only_a, "only_b": line.difference.only_b, "p": "<0.001" if line.difference.p_value < 1e-3 else f"{line.difference.p_value:.3f}",
                "rows": [{**_interval_row(s, names), "title": title, "colour": colour} for title, s, colour in bars if s is not None],
            })
        out.append({"title": repair.title, "text": repair.text, "lines": lines})
    return out


def _objects(data: ReportData, names: _Names) -> list[dict[str, Any]]:
    out = []
    for panel in data.objects:
        policies = list(dict.fromkeys(p for bar in panel.bars for p in bar.counts))
        bars = [
            {
                "name": bar.name, "id": bar.object_id, "image": image_uri(bar.thumbnail, 112) if bar.thumbnail is not None else "",
                "bars": [
                    {"title": names.policy(p), "colour": names.colour(p), "width": round(100 * k / n, 1) if n else 0, "text": f"{k}/{n}"}
                    for p, (k, n) in bar.counts.items()
                ],
            }
            for bar in panel.bars
        ]
        out.append({"title": names.set(panel.object_set), "bars": bars, "legend": [{"title": names.policy(p), "colour": names.colour(p)} for p in policies]})
    return out


def _curves(data: ReportData, names: _Names) -> list[dict[str, Any]]:
    panels = []
    for metric in dict.fromkeys(c.metric for c in data.curves):
        chosen = [(names.policy(c.policy), names.colour(c.policy), c.steps, c.values) for c in data.curves if c.metric == metric and len(c.steps)]
        if chosen:
            panels.append(curve_panel(metric.replace("_", " ").capitalize(), chosen))
    return panels


def _diversity(data: ReportData) -> list[dict[str, str]]:
    d = data.diversity
    if d is None:
        return []
    m = len(d.names)

    def entry(title: str, value: Estimate | None, meaning: str) -> list[dict[str, str]]:
        return [] if value is None else [{"title": title, "value": _number(value.value), "interval": f"{_number(value.low)}\u2013{_number(value.high)}", "meaning": meaning}]

    return [
        *entry("Diversity within", d.diversity, "pairs inside one sub-dataset; larger is more diverse, 1 is a single picture"),
        *entry("Disparity between", d.disparity, "pairs across sub-datasets; larger is further apart"),
        *entry("Fragmentation", d.fragmentation, "disparity over diversity; 1 when all sub-datasets look alike"),
        *entry("Neighbour purity", d.purity, f"nearest {d.neighbours} from the own sub-dataset; mixed would be {d.purity_mixed or 0:.2f}, fragmented 1"),
        *entry("Linear probe", d.probe, f"a linear guess of the sub-dataset is right; chance is {1 / m:.2f}"),
    ]


def _provenance(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns groups of (name, value) pairs from a manifest; nested mappings become groups of their own."""
    order = ("made", "git", "seed", "gl_renderer", "command")
    flat = {k: v for k, v in manifest.items() if not isinstance(v, Mapping | list | tuple) and v is not None and k not in OF_ONE_FILE}
    first = [(k, str(flat[k])) for k in order if k in flat] + sorted((k, str(v)) for k, v in flat.items() if k not in order)
    groups: list[dict[str, Any]] = [{"title": "Run", "pairs": [(k.replace("_", " "), v) for k, v in first]}] if first else []
    for name in ("machine", "versions"):
        value = manifest.get(name)
        if isinstance(value, Mapping):
            groups.append({"title": name.capitalize(), "pairs": [(str(k), str(v)) for k, v in value.items()]})
    return groups


def render_report(data: ReportData) -> str:
    """Returns the page as a string of HTML."""
    import jinja2

    names = _Names(data)
    sections: dict[str, Any] = {
        "ran": list(data.ran),
        "success": _success(data, names),
        "leaning": _leaning(data.leaning, names) if data.leaning else None,
        "repair": _repair(data.repair, names),
        "objects": _objects(data, names),
        "curves": _curves(data, names),
        "sheets": [
            {"title": s.title, "caption": s.caption, "images": [{"label": label, "uri": image_uri(picture, 160)} for label, picture in s.images]} for s in data.sheets
        ],
        "videos": [{**dataclasses.asdict(v), "uri": video_uri(v.path)} for v in data.videos],
        "diversity": _diversity(data),
        "provenance": _provenance(data.manifest),
    }
    left_out = [LEFT_OUT[name] for name, value in sections.items() if not value]
    navigation = [(name, title) for name, title in NAVIGATION.items() if sections.get(name)]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["short"] = short
    return environment.get_template("report.html.j2").render(
        title=data.title, subtitle=data.subtitle, headlines=list(data.headlines) or derive_headlines(data), left_out=left_out, navigation=navigation,
        commands=list(data.commands), diversity_features=data.diversity.features if data.diversity else "",
        diversity_sets=list(zip(data.diversity.names, data.diversity.episodes, strict=True)) if data.diversity else [],
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
