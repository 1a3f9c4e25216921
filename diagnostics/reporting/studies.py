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
from toyshift.diagnostics.reporting.numbers import Numbers, TableColumn
from toyshift.diagnostics.reporting.study_words import COLUMN_TITLES, STUDY_WORDS, UNKNOWN

RATES = ("rate", "dsl", "success", "share", "by_chance", "mask_missed")  # names, and ends of names, of shares
HOLM = ("p_holm", "holm_p")  # what a corrected p value is called
MOST_BARS = 40
FIRST = (  # columns that say what a line is, in this order; then text, then figures as they come
    "policy", "set", "object_set", "repair", "pooling", "name", "cue", "factor", "level", "radius", "distance",
    "diversity", "disparity", "correlation", "toys", "demos", "scene", "masks", "compensation", "latency", "jitter",
    "n", "k", "rate",
)  # fmt: skip
LONG = ("failures", "verdict", "why", "by_seed", "counts", "note")  # starts of text columns that come last
ELSEWHERE = {"shifts": ("rows", "ranking", "pairs", "left_out", "episodes")}  # sections with a chapter of their own
Line = dict[str, Any]
Columns = dict[str, TableColumn]  # title -> column


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
    figures: list[StudyFigure] = []
    facts: list[str] = []
    empty: list[str] = []
    for section, value in table.items():
        lines = value if isinstance(value, list) else _lines_of(value)
        told = [line for line in lines if isinstance(line, Mapping)]
        if section in ("settings", "manifest", *ELSEWHERE.get(name, ())):
            continue
        if told and len(told) == len(lines):
            figures.append(_figure(f"{name}_{section}", words(section), told, n, commands))
        elif isinstance(value, list | Mapping) and not value:
            empty.append(words(section).lower())
        elif isinstance(value, list):
            facts.append(f"{words(section)}: {_listed(value)}.")
        elif value is not None:
            facts.append(f"{words(section)}: {_text(value)}.")
    if empty:
        facts.append(f"Nothing yet: {', '.join(empty)}.")
    if isinstance(settings := table.get("settings"), Mapping) and settings:
        facts.append(f"Settings: {_text(settings)}.")
    return StudyPanel(name, title, sentences[0], sentences[1], figures, facts, tuple(commands))


def words(name: str) -> str:
    """Returns a key in words: "ood_success" as "Ood success"."""
    if name in COLUMN_TITLES:
        return COLUMN_TITLES[name].replace(" %", "\u00a0%")
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
    if len(flat) > 1:  # what all lines share needs no column
        columns = {key: column for key, column in columns.items() if not _is_same(key, columns, flat)}
    ordered = [columns[key] for key in sorted(columns, key=lambda key: _place(key, columns[key]))]
    numbers = Numbers(name, ordered, flat, f"{n:,} episodes in all" if n else "", tuple(commands))
    bars, of = _bars(ordered, flat)
    return StudyFigure(title, numbers, bars, of)


def _is_same(key: str, columns: Columns, lines: Sequence[Line]) -> bool:
    column = columns[key]
    says_what = column.is_text or (key in FIRST and key not in ("n", "k", "rate") and f"{key} 95" not in columns)
    return says_what and len({str(line.get(column.keys[0])) for line in lines}) == 1


def _place(key: str, column: TableColumn) -> tuple[int, int, bool]:
    """Returns where a column stands: what a line is, then its success with intervals, other figures, long texts."""
    of = key.removesuffix(" 95")
    if of.startswith(("wilson", "clustered")):
        of = "rate"
    if column.is_text and of not in FIRST:
        return (3 if of.startswith(LONG) else 1, 0, False)
    return (0, FIRST.index(of), of != key) if of in FIRST else (2, 0, False)


def _has_parts(value: Any) -> bool:
    return isinstance(value, Mapping) and any(isinstance(inner, Mapping | list) for inner in value.values())


def _lines_of(value: Any) -> list[Any]:
    """Returns the lines of a section that is no list: one for each of its parts, where these are alike."""
    if not _has_parts(value):
        return []
    parts = list(value.values())
    alike = all(isinstance(part, Mapping) and "name" not in part for part in parts) and len(parts) > 1
    if alike and all(part.keys() & parts[0].keys() for part in parts):
        return [{"name": words(name)} | part for name, part in value.items()]
    return [value]


def _is_rate(key: str) -> bool:
    return any(key == rate or key.endswith(f"_{rate}") for rate in RATES)


def _numeric(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _add(key: str, value: Any, out: Line, columns: Columns) -> None:
    """Puts a value into a flat line, and its column or columns beside the others."""
    title = words(key)

    def put(suffix: str, kind: str, values: Mapping[str, Any], title: str = title) -> None:
        out.update(values)
        columns.setdefault(f"{key}{suffix}", TableColumn(title, kind, tuple(values)))

    if isinstance(value, Mapping) and "difference" in value and "p_value" in value:
        d = value["difference"]
        put("", "points", {key: d["value"]})
        put(" 95", "points between", {f"{key}_low": d["low"], f"{key}_high": d["high"]}, f"{title}, 95\u00a0%")
        p = next((name for name in HOLM if value.get(name) is not None), "p_value")
        put(" p", "p", {f"{key}_p": value[p]}, f"{title}, {'Holm p' if p in HOLM else 'p'}")
    elif isinstance(value, Mapping) and (triple := _triple(value)):
        rate = _is_rate(key) or _is_counted(value)
        put("", "percent" if rate else "number", {key: triple[0]})
        bounds = {f"{key}_low": triple[1], f"{key}_high": triple[2]}
        put(" 95", "percents" if rate else "between", bounds, f"{title}, 95\u00a0%")
    elif isinstance(value, list) and len(value) == 2 and key.endswith("95") and all(map(_numeric, value)):
        put("", "percents", {f"{key}_low": value[0], f"{key}_high": value[1]})
    elif isinstance(value, Mapping) and value and not all(map(_is_count, value.values())):
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
    if _is_counted(value):
        return value["k"] / value["n"] if value["n"] else None, value["low"], value["high"]
    return (value["value"], value["low"], value["high"]) if {"value", "low", "high"} <= value.keys() else None


def _is_counted(value: Mapping[str, Any]) -> bool:
    """Whether it is a share as k of n with an interval."""
    return value.keys() == {"k", "n", "low", "high"}


def _bars(
    columns: Sequence[TableColumn], lines: Sequence[Line]
) -> tuple[list[tuple[str, float, float, float]], str]:
    """Returns label, rate and interval of every line, and what the rate is, where the table has one with an interval.

    None where lines have one label in common: what tells them apart is then in no column that is known to name a line.
    """
    shares = {c.keys[0] for c in columns if c.kind == "percent"}
    rate = next((key for key in RATES if key in shares), next(iter(sorted(shares)), ""))
    ends = next((c.keys for c in columns if c.kind == "percents" and rate and _belongs(c, rate)), None)
    if not ends or len(lines) > MOST_BARS:
        return [], ""
    keys = [c.keys[0] for c in columns if c.keys[0] in FIRST[:-3] or (c.is_text and not c.keys[0].startswith(LONG))]
    told = [key for key in keys if len({str(line.get(key)) for line in lines}) > 1]
    found = []
    for line in lines:
        if all(_numeric(line.get(key)) for key in (rate, *ends)):
            label = ", ".join(_labelled(key, line[key]) for key in told if line.get(key) not in (None, ""))
            value, low, high = (float(line[key]) for key in (rate, *ends))
            found.append((label, value, low, high))
    if len({label for label, *_ in found}) < len(found):  # bars that no one can tell apart: the table says it all
        return [], ""
    return found, next(column.title for column in columns if column.keys == (rate,))


def _belongs(column: TableColumn, rate: str) -> bool:
    starts = ("wilson", "clustered") if rate == "rate" else ()
    return column.keys[0] == f"{rate}_low" or column.keys[0].startswith(starts)


def _labelled(key: str, value: Any) -> str:
    return f"{key} {_text(value)}" if _numeric(value) else str(value)
