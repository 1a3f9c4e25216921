"""Tables of the report: texts, what is sorted by, and CSV that reads back to the same figures."""

from __future__ import annotations

import csv
import io
import math
import urllib.parse

import pytest

from toyshift.core.errors import ConfigError
from toyshift.diagnostics.reporting.numbers import Numbers, TableColumn
from toyshift.diagnostics.reporting.studies import study_panel
from toyshift.diagnostics.reporting.study_words import STUDY_WORDS
from toyshift.scripts import cli

COLUMNS = (
    TableColumn("Name", "text", ("name",)), TableColumn("Success", "percent", ("rate",)),
    TableColumn("95 %", "percents", ("low", "high")), TableColumn("Change", "points", ("change",)),
)  # fmt: skip


def test_csv_reads_back_to_the_same_figures() -> None:
    lines = [
        {"name": 'a, "b"\n\u00e9', "rate": 1 / 3, "low": 0.1, "high": 0.7, "change": -0.125},
        {"name": "none", "rate": None, "low": math.nan, "high": 0.5},
    ]
    numbers = Numbers("x", COLUMNS, lines)
    first, other = csv.DictReader(io.StringIO(urllib.parse.unquote(numbers.uri.split(",", 1)[1])))
    assert first["name"] == 'a, "b"\n\u00e9'
    assert [float(first[key]) for key in ("rate", "low", "high", "change")] == [1 / 3, 0.1, 0.7, -0.125]
    assert other == {"name": "none", "rate": "", "low": "", "high": "0.5", "change": ""}
    assert [cell.text for cell in numbers.cells[0][1:]] == ["33\u00a0%", "10\u201370\u00a0%", "\u221212"]
    assert [(cell.text, cell.sort) for cell in numbers.cells[1][1:]] == [("\u2013", "")] * 3
    assert numbers.cells[0][1].sort == str(1 / 3)


def test_kinds_of_columns_that_nobody_knows_are_refused() -> None:
    with pytest.raises(ConfigError, match="the table x has columns of the unknown kinds percnt"):
        Numbers("x", [TableColumn("Rate", "percnt", ("rate",))], [])


def test_the_shapes_of_a_studys_table_are_recognised() -> None:
    line = {
        "policy": "mine", "rate": 0.5, "wilson_95": [0.25, 0.75], "n": 8, "lr": 0.0025, "ok": True, "extra": None,
        "failures": {"dropped": 3}, "toys_dsl": {"value_low_high": [0.2, 0.1, 0.3]},
        "gain": {"difference": {"value": 0.25, "low": 0.0, "high": 0.5, "n": 8}, "p_value": 0.04, "holm_p": 0.08},
        "cost": {"value": 2.5, "low": 2.0, "high": 3.0, "n": 3},
        "toys": {"value": 0.0, "low": 0.0, "high": 1.0}, "by": {"left": {"rate": 0.25}, "right": {"rate": 0.75}},
    }
    other = {**line, "policy": "other", "rate": 0.125, "ok": False, "gain": None}
    table = {"rows": [line, other], "missing": ["a", "b"], "none": [], "minutes": 3.25, "settings": {"seed": 0}}
    panel = study_panel("my-study", table, 16, ("toyshift study my-study",))
    [figure] = panel.figures
    titles, cells = (column.title for column in figure.numbers.columns), figure.numbers.cells[0]
    shown = dict(zip(titles, (cell.text for cell in cells), strict=True))
    assert shown == {
        "Policy": "mine", "Success": "50\u00a0%", "95\u00a0% episodes": "25\u201375\u00a0%", "Episodes": "8",
        "Learning rate": "0.0025", "Ok": "yes", "Toys dsl": "20\u00a0%", "Toys dsl, 95\u00a0%": "10\u201330\u00a0%",
        "Gain": "+25", "Gain, 95\u00a0%": "0 to +50", "Gain, Holm p": "0.080", "Cost": "2.5",
        "Cost, 95\u00a0%": "2 to 3",
        "Toys": "0", "Toys, 95\u00a0%": "0 to 1", "By left rate": "25\u00a0%", "By right rate": "75\u00a0%",
    }  # the failures are the same in all lines
    assert next(iter(shown)) == "Policy"
    assert [bar[1:] for bar in figure.bars] == [(0.5, 0.25, 0.75), (0.125, 0.25, 0.75)]
    assert [bar[0] for bar in figure.bars] == ["mine, yes", "other, no"]
    assert figure.of == "Success"
    assert figure.numbers.lines[1].get("gain") is None
    assert set(panel.facts) == {"Missing: a, b.", "Minutes: 3.25.", "Nothing yet: none.", "Settings: seed 0."}
    assert (panel.title, figure.numbers.name) == ("My study", "my-study_rows")


def test_bars_are_told_apart_or_left_to_the_table() -> None:
    rates = {"rate": 0.5, "wilson_95": [0.25, 0.75]}
    late = [{"compensation": how, "latency": s, **rates} for how, s in ((None, 0.0), ("skip", 0.1), ("skip", 0.2))]
    [figure] = study_panel("latency", {"rows": late}, 0, ()).figures
    assert [bar[0] for bar in figure.bars] == ["latency 0", "skip, latency 0.1", "skip, latency 0.2"]
    assert [column.title for column in figure.numbers.columns[:2]] == ["Compensation", "Latency"]
    unknown = [{"policy": "mine", "weight": weight, **rates} for weight in (1.5, 2.5)]
    [figure] = study_panel("x", {"rows": unknown}, 0, ()).figures
    assert (figure.bars, figure.of) == ([], "")


def test_parts_that_are_alike_are_lines_and_counts_are_shares() -> None:
    found = {"k": 3, "n": 4, "low": 0.2, "high": 0.9}
    verdicts = {"all": {"alarms": found, "policies": 8}, "by_colour": {"alarms": {**found, "k": 0}}}
    [figure] = study_panel("exam", {"verdicts": verdicts}, 0, ()).figures
    assert [column.title for column in figure.numbers.columns] == ["Name", "Alarms", "Alarms, 95\u00a0%", "Policies"]
    assert [[cell.text for cell in line] for line in figure.numbers.cells] == [
        ["All", "75\u00a0%", "20\u201390\u00a0%", "8"], ["By colour", "0\u00a0%", "20\u201390\u00a0%", "\u2013"],
    ]  # fmt: skip
    apart = {"shortcut": {"k": 1}, "beside": {"other": 2}}  # nothing in common: one line
    [figure] = study_panel("exam", {"cards": apart}, 0, ()).figures
    assert len(figure.numbers.lines) == 1


def test_every_study_has_its_question_in_the_report() -> None:
    studies = set(cli.COMMANDS["study"].words)
    assert "dsl" in studies
    assert studies <= set(STUDY_WORDS), "say in STUDY_WORDS what it asks and how its tables are read"
    assert all(text.endswith("?") for _, text, _ in STUDY_WORDS.values())
