"""Draws `ReportData` as one self-contained HTML file: no network, no script, every picture and film inside."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from toyshift.core.files import write_text
from toyshift.core.templates import templates
from toyshift.diagnostics.diversity import Diversity
from toyshift.diagnostics.failures import FAILURES
from toyshift.diagnostics.report_charts import curve_panel, image_uri, percent, points, short, span, video_uri
from toyshift.diagnostics.report_data import Headline, ReportData, SensitivityPanel
from toyshift.diagnostics.retention import FLAG, SAYS_NOTHING, retentions, undertrained
from toyshift.diagnostics.seen import ON_THESE, ZERO_SHOT
from toyshift.diagnostics.sensitivity import FactorEffect, SensitivityResult, verdict
from toyshift.diagnostics.statistics import Estimate, holm
from toyshift.diagnostics.summaries import Summary
from toyshift.diagnostics.tables import ratio_text
from toyshift.policies.parts import sees_mask

TEMPLATES = Path(__file__).parent / "assets" / "templates"
REFERENCES = {"oracle": "Oracle (expert)", "random": "Random actions"}
POOLINGS = {
    "detpool": "detection pooling", "mean": "mean pooling", "cls": "class token", "attention": "attention pooling",
    "attention-mask": "attention pooling, mask as input",
}
FACTOR_TITLES = {
    "table": "Table texture", "background": "Background texture", "azimuth": "Camera azimuth", "light": "Light",
    "object_colour": "Object colour",
}
SET_TITLES = {
    "toys:train": "Training toys", "toys:test": "Test toys", "toys:lego": "LEGO's toys", "ycb-like": "YCB-like objects",
    "ycb": "Real YCB scans",
}
# true of one rows file, not of the report
OF_ONE_FILE = frozenset({"run_key", "policy_hash", "objects_hash", "objects"})
LEFT_OUT = {
    "ran": "What was run: no description was given.",
    "success": "Success by set and pooling: no evaluation rows were given.",
    "cards": "Cards: no diagnosis ended in one.",
    "sensitivity": "What each policy is sensitive to: no diagnosis was run.",
    "repair": "What the repair changed: no repaired policy was evaluated against a control.",
    "objects": "Success by object: no per-object rows were given.",
    "curves": "Training curves: no metrics.jsonl was given.",
    "sheets": "Contact sheets: no pictures of toys or test objects were given.",
    "videos": "Rollout films: none were recorded.",
    "diversity": "Diversity of the training data: it was not measured.",
    "provenance": "Versions and seeds: no manifest was given.",
}
NAVIGATION = {
    "success": "Success", "cards": "Cards", "sensitivity": "Sensitivity", "repair": "Repair", "videos": "Films",
    "objects": "Objects", "diversity": "Data", "curves": "Training", "sheets": "Toys", "provenance": "Versions",
}


class _Names:
    """Titles and colours of policies and sets, the same wherever they appear."""

    def __init__(self, data: ReportData) -> None:
        self._data = data
        seen = [*(s.policy for s in data.success), *(p.result.policy for p in data.sensitivity)]
        seen += [*(c.policy for c in data.curves), *(policy for panel in data.objects for policy in panel.policies)]
        trained = [p for p in dict.fromkeys(seen) if p not in REFERENCES]
        self._colours = {p: f"c{i % 6}" for i, p in enumerate(trained)} | {name: name for name in REFERENCES}
        sets = dict.fromkeys([*(s.object_set for s in data.success), *(p.object_set for p in data.objects)])
        self._titles = [_set_title(name) for name in sets]
        self.undertrained = undertrained(data.success, data.trained_on)

    def policy(self, name: str) -> str:
        """Returns a policy's title, which says so where it has not learnt its own task."""
        title = {**POOLINGS, **REFERENCES, **self._data.policy_titles}.get(name, name)
        return title[:1].upper() + title[1:] + (f" ({FLAG})" if name in self.undertrained else "")

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


def _tested(data: ReportData, object_set: str) -> list[Summary]:
    """Returns the success of the trained policies on a set, in the order in which they were asked for."""
    order = list(dict.fromkeys(s.policy for s in data.success))
    mine = (s for s in data.success if s.object_set == object_set and s.policy not in REFERENCES)
    return sorted(mine, key=lambda s: order.index(s.policy))


def _sets(data: ReportData) -> list[str]:
    """Returns the object sets, those that the first policy was trained on last."""

    def trained(object_set: str) -> bool:
        return any(data.label(s) == ON_THESE for s in _tested(data, object_set)[:1])

    return sorted(dict.fromkeys(s.object_set for s in data.success), key=trained)


def _labels(data: ReportData, names: _Names) -> dict[str, list[tuple[str, str]]]:
    """Returns object set -> what is known of its objects, each with the policies of which it is; "" is nothing."""
    found: dict[str, list[tuple[str, str]]] = {}
    for object_set in _sets(data):
        by_label: dict[str, list[str]] = {}
        for s in _tested(data, object_set):
            by_label.setdefault(data.label(s), []).append(_inside(names.policy(s.policy)))
        found[object_set] = [(label, ", ".join(who)) for label, who in by_label.items()]
    return found


def _seen_by(data: ReportData, names: _Names, object_set: str, object_id: str) -> str:
    """Says who was trained on an object, in sets of which policies were trained on some objects."""
    tested = _tested(data, object_set)
    seen = {s.policy: data.seen[s.policy, object_set] for s in tested if (s.policy, object_set) in data.seen}
    who = [policy for policy, found in seen.items() if object_id in found.trained]
    if not who or {data.label(s) for s in tested} <= {ON_THESE, ZERO_SHOT, ""}:
        return ""
    of_whom = "" if len(who) == len(tested) else f" of {', '.join(_inside(names.policy(policy)) for policy in who)}"
    return f"in the training{of_whom}"


def derive_headlines(data: ReportData) -> list[Headline]:
    """Returns big numbers from the results: the first policy on each set, the first line of the first repair.

    The first that was asked for, not the best, also where it is undertrained: choosing by outcome would flatter, and
    the others stand beside it. Of a repair, put the condition that it was made for first.
    """
    names, out = _Names(data), []
    for object_set in _sets(data):
        if not (tested := _tested(data, object_set)):
            continue
        first, *others = tested
        label = data.label(first)
        kind = f"of {_inside(names.set(object_set))} lifted{label and ', ' + label}"
        detail = f"{names.policy(first.policy)}, {first.k} of {first.n}, 95\u00a0% interval {span(first.clustered)}"
        beside = [f"{names.policy(s.policy)} {percent(s.rate)} of {s.n} ({span(s.clustered)})" for s in others]
        out.append(Headline(percent(first.rate), kind, "; ".join([detail, *beside])))
    out = out[:3]
    for repair in data.repair[:1]:
        for line in repair.lines[:1]:
            d = line.difference.difference
            against = f"{line.title}, against a control trained as long on plain copies"
            detail = f"{against}; 95\u00a0% interval {points(d.low)} to {points(d.high)}"
            out.append(Headline(points(d.value), f"points of success from {_inside(repair.title)}", detail))
    return out


def _inside(title: str) -> str:
    """Returns a title as it reads inside a sentence: "Test toys" as "test toys", "YCB-like objects" unchanged."""
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


def _number(value: float, digits: int = 2) -> str:
    return "\u221e" if value == math.inf else "\u2013" if math.isnan(value) else f"{value:.{digits}f}"


def _notes(data: ReportData, names: _Names) -> list[str]:
    """Returns what must be known to read the table: who is given masks, what retention is, who is flagged."""
    masked = {s.policy for s in data.success if sees_mask(s.pooling) and "[masks " not in s.policy}
    told = [_inside(names.policy(name)) for name in dict.fromkeys(s.policy for s in data.success) if name in masked]
    notes = []
    if told:
        notes.append(
            f"Given the target's mask by the simulator, in every image and at test time too: {'; '.join(told)}. "
            "The other trained policies see images only."
        )
    if retentions(data.success, data.trained_on):
        notes.append(
            "Retention: success on the set over success on the training toys, with a 95\u00a0% interval for new "
            "objects and new toys. It keeps learning and transfer apart; the oracle's says how much harder the set is."
        )
    if names.undertrained:
        notes.append(f"{FLAG.capitalize()}: {SAYS_NOTHING}.")
    return notes


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _between(estimate: Estimate, digits: int = 2) -> str:
    return f"{_number(estimate.low, digits)}\u2013{_number(estimate.high, digits)}"


def _scale(panels: Sequence[SensitivityPanel]) -> Callable[[float], float]:
    """Returns where a shift lies on the bars of all panels, from 0 to 100."""
    ends = [v for p in panels for v in (p.result.target.high, *(f.shift.high for f in p.result.factors))]
    top = 1.05 * max(ends, default=1.0) or 1.0
    return lambda shift: 100 * shift / top


def _in_order(factors: Sequence[FactorEffect]) -> list[FactorEffect]:
    order = {name: i for i, name in enumerate(FACTOR_TITLES)}
    return sorted(factors, key=lambda f: order.get(f.factor, len(order)))


def _factor(name: str) -> str:
    return FACTOR_TITLES.get(name, name.replace("_", " ").capitalize())


def _verdict(result: SensitivityResult) -> str:
    """Returns a verdict as a sentence."""
    text = verdict(result, lambda name: _factor(name).lower())
    return f"{text[:1].upper()}{text[1:]}."


def _entry(text: str) -> tuple[str, str]:
    """Returns what a card says to do, and the commands behind it."""
    first, _, commands = text.partition("\n")
    return first[:1].upper() + first[1:], commands


def _curves(data: ReportData, names: _Names) -> list[dict[str, Any]]:
    panels = []
    for metric in dict.fromkeys(c.metric for c in data.curves):
        mine = [c for c in data.curves if c.metric == metric and len(c.steps)]
        chosen = [(names.policy(c.policy), names.colour(c.policy), c.steps, c.values) for c in mine]
        if chosen:
            panels.append(curve_panel(metric.replace("_", " ").capitalize(), chosen))
    return panels


def _measures(d: Diversity) -> list[tuple[str, Estimate, str]]:
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
    names, order = _Names(data), {"random": 2, "oracle": 1}
    retained = {(r.policy, r.object_set): ratio_text(r.ratio) for r in retentions(data.success, data.trained_on)}
    lines = [line for repair in data.repair for line in repair.lines]
    corrected = dict(zip(map(id, lines), holm([line.difference.p_value for line in lines]), strict=True))
    rank = {object_set: i for i, object_set in enumerate(_sets(data))}
    ordered = sorted(data.success, key=lambda s: order.get(s.policy, 0))
    sections: dict[str, Any] = {
        "ran": data.ran,
        "success": {object_set: [s for s in ordered if s.object_set == object_set] for object_set in rank},
        "cards": data.cards,
        "sensitivity": data.sensitivity,
        "repair": data.repair,
        "objects": data.objects,
        "curves": _curves(data, names),
        "sheets": data.sheets,
        "videos": data.videos,
        "diversity": data.diversity,
        "provenance": _provenance(data.manifest),
    }
    environment = templates(TEMPLATES)
    environment.filters |= {
        "percent": percent, "span": span, "points": points, "short": short, "number": _number, "between": _between,
        "policy": names.policy, "colour": names.colour, "set_title": names.set, "factor": _factor,
        "in_order": _in_order, "verdict": _verdict, "at": _scale(data.sensitivity), "measures": _measures,
        "image": image_uri, "film": video_uri, "p": _p, "seen": functools.partial(_seen_by, data, names),
        "entry": _entry, "holm": lambda line: corrected[id(line)],
    }
    return environment.get_template("report.html.j2").render(
        title=data.title, subtitle=data.subtitle, headlines=data.headlines or derive_headlines(data),
        left_out=[LEFT_OUT[name] for name, value in sections.items() if not value],
        navigation=[(name, title) for name, title in NAVIGATION.items() if sections[name]],
        notes=_notes(data, names), retained=retained,
        comparisons=sorted(data.comparisons, key=lambda c: rank.get(c.object_set, len(rank))),
        repairs=len(lines), labels=_labels(data, names), references=REFERENCES, failures=FAILURES,
        commands=data.commands,
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
