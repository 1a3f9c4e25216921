"""Titles and colours of policies, sets and factors, the same wherever the report names them."""

from __future__ import annotations

from toyshift.diagnostics.reporting.data import ReportData
from toyshift.diagnostics.retention import FLAG, undertrained

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


class Names:
    """Titles and colours of policies and sets, the same wherever they appear."""

    def __init__(self, data: ReportData) -> None:
        self._data = data
        seen = [*(s.policy for s in data.success), *(p.result.policy for p in data.sensitivity)]
        seen += [*(c.policy for c in data.curves), *(p.policy for p in data.shifts)]
        seen += [policy for panel in data.objects for policy in panel.policies]
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


def inside(title: str) -> str:
    """Returns a title as it reads inside a sentence: "Test toys" as "test toys", "YCB-like objects" unchanged."""
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


def factor_title(name: str) -> str:
    return FACTOR_TITLES.get(name, name.replace("_", " ").capitalize())
