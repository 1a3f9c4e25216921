"""Makes chapters of studies of their table.json, whatever its columns are: rates, intervals and differences are known.

A study's table is a mapping of sections; a section that is a list of mappings becomes a table. Values are recognised by
their shape: {"value", "low", "high"}, {"value_low_high": [...]}, paired differences, and pairs of numbers whose name
ends in 95.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toyshift.core.errors import ConfigError
from toyshift.diagnostics.reporting.chapter_data import StudyFigure, StudyPanel
from toyshift.diagnostics.reporting.numbers import Column, Numbers
from toyshift.diagnostics.reporting.study_words import STUDY_WORDS, UNKNOWN

RATES = ("rate", "dsl", "share", "success", "success_rate", "mask_missed")  # names, and ends of names, of shares
MOST_BARS = 40
Line = dict[str, Any]
Columns = dict[str, Column]  # title -> column


def study_panel(name: str, table: Any, n: int, commands: Sequence[str]) -> StudyPanel:
    """Returns what a study's table.json says.

    Args:
        name: the study's word, or its folder's name.
        table: what the file holds.
        n: episodes in its rows.
        commands: that made the rows, and the table from them.

    Raises:
        ConfigError: the table is no mapping of sections.
    """
    if not isinstance(table, Mapping):
        raise ConfigError(f"the table of the study {name} is no mapping of sections")
    title, *sentences = STUDY_WORDS.get(name, (words(name), *UNKNOWN))
    figures, facts = [], []
    for section, value in table.items():
        lines = value if isinstance(value, list) else [value] if isinstance(value, Mapping) else []
        told = [line for line in lines if isinstance(line, Mapping)]
        if section in ("settings", "manifest"):
            continue
        if told and len(told) == len(lines):
            figures.append(_figure(f"{name}_{section}", words(section), told, n, commands))
        elif isinstance(value, list):
            facts.append(f"{words(section)}: {_listed(value)}." if value else f"{words(section)}: none yet.")
        elif value is not None:
            facts.append(f"{words(section)}: {value}.")
    if isinstance(settings := table.get("settings"), Mapping) and settings:
        facts.append(f"Settings: {_text(settings)}.")
    return StudyPanel(name, title, sentences[0], sentences[1], figures, facts, tuple(commands))


def words(name: str) -> str:
    """Returns a key in words: "ood_success" as "Ood success"."""
    text = name.replace("_", " ").replace("-", " ").strip()
    return text[:1].upper() + text[1:]


def _listed(value: Sequence[Any], most: int = 12) -> str:
    more = f", and {len(value) - most} more" if len(value) > most else ""
    return ", ".join(map(_text, value[:most])) + more


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{str(key).replace('_', ' ')} {_text(inner)}" for key, inner in value.items()) or "none"
    if isinstance(value, list | tuple):
        return "; ".join(map(_text, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _figure(
    name: str, title: str, lines: Sequence[Mapping[str, Any]], n: int, commands: Sequence[str]
) -> StudyFigure:
    columns: Columns = {}
    flat: list[Line] = []
    for line in lines:
        out: Line = {}
        for key, value in line.items():
            _add(key, value, out, columns)
        flat.append(out)
    same_everywhere = [
        key for key, column in columns.items() if column.is_text and len({str(x.get(column.keys[0])) for x in flat}) == 1
    ]
    if len(flat) > 1:  # what all lines share needs no column
        columns = {key: column for key, column in columns.items() if key not in same_everywhere}
    ordered = sorted(columns.values(), key=lambda column: not column.is_text)
    numbers = Numbers(name, ordered, flat, f"{n:,} episodes in all" if n else "", tuple(commands))
    return StudyFigure(title, numbers, _bars(ordered, flat))


def _is_rate(key: str) -> bool:
    return any(key == rate or key.endswith(f"_{rate}") for rate in RATES)


def _numeric(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _add(key: str, value: Any, out: Line, columns: Columns) -> None:
    """Puts a value into a flat line, and its column or columns beside the others."""
    title = words(key)

    def put(suffix: str, kind: str, values: Mapping[str, Any], title: str = title) -> None:
        out.update(values)
        columns.setdefault(f"{key}{suffix}", Column(title, kind, tuple(values)))

    if isinstance(value, Mapping) and "difference" in value and "p_value" in value:
        d = value["difference"]
        put("", "points", {key: d["value"]})
        put(" 95", "points between", {f"{key}_low": d["low"], f"{key}_high": d["high"]}, f"{title}, 95\u00a0%")
        p = "p_holm" if value.get("p_holm") is not None else "p_value"
        put(" p", "p", {f"{key}_p": value[p]}, f"{title}, {'Holm p' if p == 'p_holm' else 'p'}")
    elif isinstance(value, Mapping) and (triple := _triple(value)):
        rate = _is_rate(key)
        put("", "percent" if rate else "number", {key: triple[0]})
        bounds = {f"{key}_low": triple[1], f"{key}_high": triple[2]}
        put(" 95", "percents" if rate else "between", bounds, f"{title}, 95\u00a0%")
    elif isinstance(value, list) and len(value) == 2 and key.endswith("95") and all(map(_numeric, value)):
        put("", "percents", {f"{key}_low": value[0], f"{key}_high": value[1]}, title.replace("95", "95\u00a0%"))
    elif isinstance(value, Mapping) and value and not all(map(_numeric, value.values())):
        for inner, found in value.items():
            _add(f"{key}_{inner}", found, out, columns)
    elif isinstance(value, Mapping | list):
        put("", "text", {key: _text(value)})
    elif _numeric(value):
        rate = _is_rate(key) and 0 <= value <= 1
        put("", "percent" if rate else "p" if key.split("_")[0] == "p" else "number", {key: value})
    elif value is not None:
        put("", "text", {key: _text(value)})


def _triple(value: Mapping[str, Any]) -> tuple[Any, Any, Any] | None:
    if "value_low_high" in value:
        found = value["value_low_high"]
        return (found[0], found[1], found[2]) if isinstance(found, list) and len(found) == 3 else None
    return (value["value"], value["low"], value["high"]) if {"value", "low", "high"} <= value.keys() else None


def _bars(columns: Sequence[Column], lines: Sequence[Line]) -> list[tuple[str, float, float, float]]:
    """Returns label, rate and interval of every line, where the table has a rate with an interval."""
    rate = next((c.keys[0] for c in columns if c.kind == "percent" and any(_numeric(x.get(c.keys[0])) for x in lines)), "")
    ends = next((c.keys for c in columns if c.kind == "percents" and rate and _belongs(c, rate)), None)
    if not ends or len(lines) > MOST_BARS:
        return []
    told = [c.keys[0] for c in columns if c.is_text and all(len(str(x.get(c.keys[0], ""))) < 40 for x in lines)]
    told += [c.keys[0] for c in columns if c.keys[0] in ("level", "disparity", "diversity", "radius", "distance", "toys", "demos", "seed")]
    found = []
    for line in lines:
        values = [line.get(key) for key in (rate, *ends)]
        if all(map(_numeric, values)):
            label = ", ".join(_labelled(key, line[key]) for key in told if line.get(key) not in (None, ""))
            found.append((label, *(float(value) for value in values if value is not None)))
    return [(label, value, low, high) for label, value, low, high in found]


def _belongs(column: Column, rate: str) -> bool:
    return column.keys[0] == f"{rate}_low" or column.keys[0].startswith(("wilson", "clustered"))


def _labelled(key: str, value: Any) -> str:
    return f"{key} {_text(value)}" if _numeric(value) else str(value)
